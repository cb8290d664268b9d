"""How new messages join a conversation: by id they replace and remove, all others are added. Pure."""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

from aiograph._ids import random_id
from aiograph.messages._coerce import coerce_messages, is_pair
from aiograph.messages._duck import changed, is_chunk, is_message, is_removal, joined, whole

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
    if _is_all_new(history, news):
        return [*history, *news]
    return _merged(history, news)


def stamped(things: Any) -> list[Any]:
    """What `coerce_messages` makes of something, pieces joined to messages, each with an id."""
    messages = coerce_messages(things)
    if any(map(is_chunk, messages)):
        messages = _without_pieces(messages)
    return [message if message.id is not None else _with_id(message) for message in messages]


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
    """What there is, as messages with ids; mostly it is that already, as it was made here."""
    if isinstance(left, list):
        kinds = dict(zip(map(type, left), left, strict=True))  # of each type, the last
        is_whole = all(is_message(each) and not is_chunk(each) for each in kinds.values())
        if is_whole and None not in map(_id_of, left):
            return left
    return [m if m.id is not None else _with_id(m) for m in map(whole, coerce_messages(left))]


def _with_id(message: Any) -> Any:
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
    places = [place for place, message in enumerate(news) if message.id == REMOVE_ALL_MESSAGES]
    return next((place for place in reversed(places) if is_removal(news[place])), None)


def _is_all_new(history: Sequence[Any], news: Sequence[Any]) -> bool:
    """Whether there is nothing to replace or to remove: the common case, which costs one look at each id."""
    ids = {message.id for message in news}
    return len(ids) == len(news) and not any(map(is_removal, news)) and ids.isdisjoint(map(_id_of, history))


def _merged(history: Sequence[Any], news: Iterable[Any]) -> list[Any]:
    messages = [*history]
    places = {message.id: place for place, message in enumerate(messages)}
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
    return [message for message in messages if message.id not in removed]
