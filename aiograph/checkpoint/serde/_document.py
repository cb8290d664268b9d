"""A checkpoint without its values as one cell, and back: versions, what nodes have seen, names.

Channels are told by their places among the versions. The names of channels and nodes stand by themselves once
they stay the same.
"""

from collections.abc import Callable, Mapping, Set
from typing import Any, NamedTuple, TypeVar

from aiograph._ids import moment_of
from aiograph.checkpoint.base import Version
from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell, CellReader
from aiograph.checkpoint.serde._dividing import INLINE, CellWriter
from aiograph.checkpoint.serde._stored import Key, Skeleton
from aiograph.errors import CheckpointDeserializationError

T = TypeVar("T")

_NOTHING: frozenset[bytes] = frozenset()


Names = tuple[tuple[str, ...], tuple[str, ...]]
"""Of channels and of nodes, in order."""

_REMEMBERED = 256
"""Labels that a saver keeps, at most: a graph has as many as its nodes, until each of them has run."""


class Labels(NamedTuple):
    """The names that checkpoints of one graph have in common."""

    names: Names
    record: Root
    address: bytes
    """Of the record."""
    root: Root
    """What checkpoints have of it: the record, or what refers to it."""
    places: Mapping[str, int]
    """By channel, where it stands among them."""
    have_come_again: bool = False


# -- writing


def label(
    writer: CellWriter,
    skeleton: Skeleton,
    memo: dict[Names, Labels],
    before: Labels | None = None,
    known: Set[bytes] = _NOTHING,
) -> Labels:
    """The names in a checkpoint; those of the last one, if they are the same.

    Names that have just changed may well change again, as in the first supersteps of a sequence: unless they
    are long, they stand in the checkpoint. Those that come again have a cell of their own.

    Args:
        writer: Makes the cells.
        skeleton: Has the names.
        memo: The labels of other checkpoints.
        before: The names in the last checkpoint, if that is known.
        known: Addresses of cells that are stored.
    """
    names = tuple(skeleton.channel_versions), tuple(skeleton.versions_seen)
    if before is not None and before.names == names:
        return before if before.have_come_again else _shared(writer, before)._replace(have_come_again=True)
    labels = memo.get(names)
    if labels is None:
        labels = _labels(writer, names)
        _remember(memo, labels)
    cell = labels.record.cell
    is_long = len(cell.data) + len(cell.refs) > INLINE
    return _shared(writer, labels) if is_long or labels.address in known else labels


def _labels(writer: CellWriter, names: Names) -> Labels:
    channels, nodes = names
    record = writer.record([[*channels], [*nodes]])
    places = dict(zip(channels, range(len(channels)), strict=True))
    return Labels(names, record, writer.address(record.cell), record, places)


def _remember(memo: dict[Names, Labels], labels: Labels) -> None:
    if labels.record.reach:
        return  # the cells that it leads to belong to one writer
    if len(memo) >= _REMEMBERED:
        memo.clear()
    memo[labels.names] = labels


def _shared(writer: CellWriter, labels: Labels) -> Labels:
    return labels._replace(root=writer.shared(labels.record, labels.address))


def write_document(
    writer: CellWriter, skeleton: Skeleton, values: Mapping[str, Cell], labels: Labels
) -> Root:
    """A checkpoint as one cell."""
    place_of, updated = labels.places.get, skeleton.updated_channels
    seen = [
        [part for name, version in each.items() for part in (place_of(name, name), version)]
        for each in skeleton.versions_seen.values()
    ]
    return writer.record(
        (
            [skeleton.v, skeleton.ts, updated and [place_of(name, name) for name in updated]],
            labels.root,
            [*skeleton.channel_versions.values()],
            seen,
            writer.mapping({place_of(name, name): cell for name, cell in values.items()}),
        )
    )


# -- reading


def read_document(
    reader: CellReader, key: Key, document: Cell, created_at: int
) -> tuple[Skeleton, dict[str, Cell]]:
    """The skeleton and the values of a checkpoint that `write_document` made.

    Raises:
        CheckpointDeserializationError: It is not one.
    """
    return reading(key, "the checkpoint itself", lambda cell: _document(reader, cell, created_at), document)


def _document(reader: CellReader, document: Cell, moment: int) -> tuple[Skeleton, dict[str, Cell]]:
    head, labels, *more, values = reader.record(document)
    v, ts, updated = reader.value(head)
    names, nodes = map(reader.value, reader.record(labels))
    numbers, seen = map(reader.value, more)
    channel_versions = dict(zip(names, map(_version, numbers), strict=True))

    def name_of(place: Any) -> str:
        return str(names[place] if type(place) is int else place)

    skeleton = Skeleton(
        v,
        moment_of(moment).isoformat() if ts is None else ts,
        channel_versions,
        {
            node: {
                name_of(place): _version(version)
                for place, version in zip(each[::2], each[1::2], strict=True)
            }
            for node, each in zip(nodes, seen, strict=True)
        },
        None if updated is None else [name_of(place) for place in updated],
    )
    return skeleton, {name_of(place): cell for place, cell in reader.mapping(values).items()}


def _version(value: Any) -> Version:
    if not isinstance(value, int | str | float):
        raise TypeError("a version is neither a number nor text")
    return value


def reading(key: Key, what: str, read: Callable[[Any], T], data: Any) -> T:
    """What `read` makes of some part of a checkpoint.

    Raises:
        CheckpointDeserializationError: It fails; the message tells of which checkpoint and which part.
    """
    try:
        return read(data)
    except Exception as error:
        raise CheckpointDeserializationError(f"{key}, {what}: {error}") from error
