"""Which messages a run shows, to whom: what models say, and what else there is in what nodes write. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from typing import Any

from aiograph import _ids
from aiograph._context import Listener
from aiograph.constants import RETURN
from aiograph.pregel._plan import Write
from aiograph.types import Overwrite

_KINDS = frozenset(("human", "ai", "system", "tool", "function", "chat"))
"""What messages say of themselves. What removes one is none that could be shown."""


def is_message(value: Any) -> bool:
    """Whether something is a message or a piece of one, ours or LangChain's."""
    kind = getattr(value, "type", None)
    if not isinstance(kind, str) or not (kind in _KINDS or kind.endswith("MessageChunk")):
        return False
    return hasattr(value, "content") and hasattr(value, "id")


def messages_in(value: Any) -> Iterator[Any]:
    """The messages in what one key holds: one, or those in a list."""
    if isinstance(value, Overwrite):
        value = value.value
    if is_message(value):
        yield value
    elif isinstance(value, list | tuple):
        yield from filter(is_message, value)


def messages_taken_in(input: Any) -> Iterator[Any]:
    """The messages in what a node is called with, under whichever key."""
    for value in (input, *_values_of(input)):
        yield from messages_in(value)


def _values_of(input: Any) -> Iterable[Any]:
    if isinstance(input, Mapping):
        return input.values()
    if isinstance(input, list | tuple) or is_message(input):
        return ()
    if is_dataclass(input):
        return [getattr(input, each.name, None) for each in fields(input)]
    return getattr(input, "__dict__", {}).values()


def messages_written(writes: Sequence[Write]) -> Iterator[Any]:
    """The messages in what a task has written, to whichever channel."""
    for channel, value in writes:
        yield from messages_in(value[1] if channel == RETURN else value)


def named(message: Any) -> Any:
    """The message itself, which gets an id, unless it has one: state and stream are to agree on it."""
    if message.id is None:
        with suppress(AttributeError, ValueError):  # one of a frozen class stays nameless
            message.id = _ids.random_id()
    return message


class Heard:
    """The messages that a consumer has been shown, or that nodes had before they began."""

    __slots__ = ("_ids", "_nameless")

    def __init__(self) -> None:
        self._ids: set[str] = set()
        self._nameless: dict[int, Any] = {}
        """Those without an id, by that of the object, which is kept so that no other gets it."""

    def __contains__(self, message: Any) -> bool:
        return message.id in self._ids or id(message) in self._nameless

    def add(self, message: Any) -> None:
        if message.id is None:
            self._nameless[id(message)] = message
        else:
            self._ids.add(message.id)


class Messages:
    """Shows messages to those who listen to them."""

    __slots__ = ("_views",)

    def __init__(self, views: Sequence[Listener]) -> None:
        self._views = [view for view in views if "messages" in view.modes]

    def hear(self, message: Any, metadata: Mapping[str, Any]) -> None:
        """Shows what a model says, or a piece of it; from any loop or thread."""
        for view in self._views:
            view.heard.add(message)
            view.show("messages", (message, metadata))

    def take_in(self, input: Any) -> None:
        """Notes the messages that a node is called with: that it hands them on is nothing new."""
        for message in messages_taken_in(input):
            for view in self._views:
                view.heard.add(message)

    def read(self, writes: Sequence[Write], metadata: Mapping[str, Any]) -> None:
        """Shows the messages that a task has written, to those who have not heard them yet."""
        for message in messages_written(writes):
            for view in self._views:
                if message not in view.heard:
                    view.heard.add(named(message))
                    view.show("messages", (message, metadata))
