"""Which messages a run shows, to whom: what models say, and what else there is in what nodes write. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import Any

from aiograph import _ids
from aiograph._onlookers import Listener
from aiograph.constants import RETURN
from aiograph.messages._duck import changed, is_message, is_removal
from aiograph.pregel._plan import Write
from aiograph.types import Overwrite


class Messages:
    """Shows messages to those who listen to them."""

    __slots__ = ("_views", "speaking")

    def __init__(self, views: Sequence[Listener]) -> None:
        self.speaking: dict[Any, Any] = {}
        """See `Audience`."""
        self._views = [view for view in views if "messages" in view.modes]

    def hear(self, message: Any, metadata: Mapping[str, Any]) -> None:
        """Shows what a model says, or a piece of it; from any loop or thread."""
        for view in self._views:
            view.heard.add(message)
            view.show("messages", (message, metadata))

    async def room(self) -> None:
        """Waits while one of them is slow."""
        for view in self._views:
            await view.room()

    def take_in(self, input: Any) -> None:
        """Notes the messages that a node is called with: that it hands them on is no news."""
        for message in messages_taken_in(input):
            for view in self._views:
                view.heard.add(message)

    def read(self, writes: Sequence[Write], metadata: Mapping[str, Any]) -> list[Write]:
        """Shows the messages that a task has written, to those who do not know them.

        Returns:
            The writes, where those messages have ids: what is kept is to have the id that was shown.
        """
        read = with_ids(writes, self._is_known)
        for message in messages_written(read):
            for view in self._views:
                if message not in view.heard:
                    view.heard.add(message)
                    view.show("messages", (message, metadata))
        return read

    def _is_known(self, message: Any) -> bool:
        return any(message in view.heard for view in self._views)


# -- where messages are --------------------------------------------------------------------------------


def messages_in(value: Any) -> Iterator[Any]:
    """The messages in what one key holds: one, or those in a list."""
    if isinstance(value, Overwrite):
        value = value.value
    for each in value if isinstance(value, list | tuple) else (value,):
        if is_message(each) and not is_removal(each):
            yield each


def messages_taken_in(input: Any) -> Iterator[Any]:
    """The messages in what a node is called with, under whichever key."""
    for value in (input, *_values_of(input)):
        yield from messages_in(value)


def _values_of(input: Any) -> Iterable[Any]:
    if isinstance(input, Mapping):
        return input.values()
    if is_message(input):
        return ()
    if isinstance(input, tuple):  # how a task was called: positional arguments, and a dict of others
        return chain.from_iterable(map(_arguments, input))
    if is_dataclass(input):
        return [getattr(input, each.name, None) for each in fields(input)]
    return getattr(input, "__dict__", {}).values()


def _arguments(passed: Any) -> Iterable[Any]:
    if isinstance(passed, Mapping):
        return passed.values()
    return passed if isinstance(passed, list | tuple) else ()


def messages_written(writes: Sequence[Write]) -> Iterator[Any]:
    """The messages in what a task has written, to whichever channel."""
    for channel, value in writes:
        yield from messages_in(value[1] if channel == RETURN else value)


# -- ids -----------------------------------------------------------------------------------------------


def with_ids(writes: Sequence[Write], is_known: Callable[[Any], bool]) -> list[Write]:
    """The writes of a task, with ids for messages that have none, unless they are known without one.

    They are copied: a node may return one object again and again, and mean another message each time.
    """
    nameless = [each for each in messages_written(writes) if each.id is None and not is_known(each)]
    if not nameless:
        return list(writes)
    named = {id(each): changed(each, id=_ids.random_id()) for each in nameless}
    return [(channel, _replaced(value, named)) for channel, value in writes]


def _replaced(value: Any, named: Mapping[int, Any]) -> Any:
    """A value in which messages are replaced by their named copies."""
    if isinstance(value, Overwrite):
        return Overwrite(_replaced(value.value, named))
    if type(value) in (list, tuple):
        return type(value)(_replaced(each, named) for each in value)
    return named.get(id(value), value)
