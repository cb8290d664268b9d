"""What else than a message may stand for one: text, a pair, a dict. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, NoReturn, TypeAlias, TypeGuard

from aiograph.messages._dicts import ACCEPTED, message_from_dict
from aiograph.messages._duck import is_message
from aiograph.messages._values import AnyMessage, HumanMessage, Message

MessageLike: TypeAlias = AnyMessage | str | tuple[str, Any] | list[Any] | Mapping[str, Any] | Any
"""What `coerce_message` accepts; messages of LangChain's are known by their attributes, not by a type."""


def coerce_message(thing: MessageLike) -> Any:
    """The message that something stands for.

    Args:
        thing: A string is what the user says; a pair is a role and content; a dict has `"role"` or
            `"type"`, `"content"`, and what else there is in the style of OpenAI or under the names of
            the fields. Messages are returned as they are, LangChain's as well.

    Raises:
        TypeError: It is nothing of that kind.
        ValueError: Its role is not known, or it lacks something that its role needs.
    """
    if is_message(thing):
        return thing
    if isinstance(thing, str):
        return HumanMessage(thing)
    if isinstance(thing, Mapping):
        return message_from_dict(thing)
    if is_pair(thing):
        return message_from_dict({"role": thing[0], "content": thing[1]})
    raise TypeError(f"{thing!r:.200} is a {type(thing).__name__}: {ACCEPTED}")


def coerce_messages(things: Any) -> list[Any]:
    """The messages that something stands for.

    Args:
        things: A list or tuple of what `coerce_message` accepts, or one of those alone. A tuple of two
            of which the first is a string is one message.

    Raises:
        TypeError: Something among it does not stand for a message; the text names its index.
        ValueError: As above.
    """
    if not isinstance(things, list | tuple) or (isinstance(things, tuple) and is_pair(things)):
        return [coerce_message(things)]
    try:
        return [thing if isinstance(thing, Message) else coerce_message(thing) for thing in things]
    except (TypeError, ValueError):
        _raise_with_index(things)


def is_pair(thing: Any) -> TypeGuard[tuple[str, Any]]:
    """Whether something looks like a role and content."""
    return isinstance(thing, list | tuple) and len(thing) == 2 and isinstance(thing[0], str)


def _raise_with_index(things: Sequence[Any]) -> NoReturn:
    for index, thing in enumerate(things):
        try:
            coerce_message(thing)
        except (TypeError, ValueError) as error:
            raise type(error)(f"message {index}: {error}") from None
    raise AssertionError("one of them was refused a moment ago")
