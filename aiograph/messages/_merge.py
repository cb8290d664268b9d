"""How new messages join a conversation: by id they replace and remove, all others are added. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from operator import attrgetter
from typing import Any

from aiograph._ids import random_id
from aiograph.messages._coerce import coerce_messages, is_pair
from aiograph.messages._duck import ATTRIBUTES, changed, is_chunk, is_removal, joined, whole
from aiograph.messages._values import Message

REMOVE_ALL_MESSAGES = "__remove_all__"
"""The id by which a `RemoveMessage` removes all messages so far."""

_id_of = attrgetter("id")


def merge_messages(left: Any, right: Any) -> list[Any]:
    """The conversation that `left` becomes when `right` is said; see `add_messages`.

    Neither list is changed, nor is any message: what gets an id is copied.

    Raises:
        TypeError: Something is not a message and does not stand for one.
        ValueError: Something stands for a message in a wrong way, or a message is to be removed that
            there is not.
    """
    history, news = _history(left), stamped(right)
    cut = _last_clearing(news)
    if cut is not None:
        history, news = [], news[cut + 1 :]
    ids = list(map(_id_of, history))
    if _is_only_added(news, ids):
        return [*history, *news]
    if None in ids:
        history = list(map(_with_id, history))
        ids = list(map(_id_of, history))
    return _merged(history, ids, news)


def stamped(things: Any) -> list[Any]:
    """What `coerce_messages` makes of something, pieces joined to messages, each with an id."""
    messages = coerce_messages(things)
    if any(map(is_chunk, messages)):
        messages = _without_pieces(messages)
    return [_with_id(message) for message in messages]


def prepare_messages(write: Any) -> Any:
    """What is to be added to a conversation, as messages with ids; what is one message stays one.

    What stands for no message is left as it is, for `merge_messages` to refuse.
    """
    try:
        messages = stamped(write)
    except (TypeError, ValueError):
        return write
    is_one = not isinstance(write, list | tuple) or (isinstance(write, tuple) and is_pair(write))
    return messages[0] if is_one else messages


def _history(left: Any) -> Sequence[Any]:
    """What there is, as messages; mostly it is that already, which a look at the types tells."""
    if type(left) is list and all(map(_is_whole, set(map(type, left)))):
        return left
    return list(map(whole, coerce_messages(left)))


@lru_cache(maxsize=64)
def _is_whole(cls: type) -> bool:
    """Whether instances of a class are messages, and not pieces of some."""
    is_ours = issubclass(cls, Message)
    is_message = is_ours or ATTRIBUTES.issubset(getattr(cls, "model_fields", ()))
    return is_message and not cls.__name__.endswith("Chunk")


def _with_id(message: Any) -> Any:
    if message.id is not None:
        return message
    if is_removal(message):
        raise ValueError("a message that removes another needs the id of that: RemoveMessage(id=...)")
    return changed(message, id=random_id())


def _without_pieces(messages: Iterable[Any]) -> list[Any]:
    """Joins pieces that follow each other and have one id; one without an id goes on with what is there."""
    runs: list[list[Any]] = []
    for message in messages:
        if runs and _continues(runs[-1][-1], message):
            runs[-1].append(message)
        else:
            runs.append([message])
    return [whole(joined(run)) for run in runs]


def _continues(before: Any, message: Any) -> bool:
    if type(before) is not type(message) or not is_chunk(message):
        return False
    return message.id is None or before.id == message.id


def _last_clearing(news: Sequence[Any]) -> int | None:
    for place in range(len(news) - 1, -1, -1):
        if news[place].id == REMOVE_ALL_MESSAGES and is_removal(news[place]):
            return place
    return None


def _is_only_added(news: Sequence[Any], ids: Iterable[str | None]) -> bool:
    """Whether nothing is replaced or removed, and all have ids: that is the rule, and has to be quick."""
    wanting = {None, *(message.id for message in news)}
    return len(wanting) > len(news) and wanting.isdisjoint(ids) and not any(map(is_removal, news))


def _merged(history: Sequence[Any], ids: Sequence[str], news: Iterable[Any]) -> list[Any]:
    messages = [*history]
    places = dict(zip(ids, range(len(ids)), strict=True))
    removed: set[str] = set()
    for message in news:
        place = places.get(message.id)
        if is_removal(message):
            if place is None:
                raise ValueError(f"there is no message with the id {message.id!r} to remove")
            removed.add(message.id)
        elif place is None:
            places[message.id] = len(messages)
            messages.append(message)
        else:
            messages[place] = message
            removed.discard(message.id)
    return [message for message in messages if message.id not in removed] if removed else messages
