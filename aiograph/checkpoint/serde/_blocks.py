"""What is remembered of the blocks of a long list or dict, so that the next value can go on from there.

A block of a list whose items are proven to be what they were is taken over. One that has only become longer
keeps all segments but the last. Anything else is recognized by what it is encoded to, or cut anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from aiograph.checkpoint.serde._cutting import BLOCK, cut
from aiograph.checkpoint.serde._unchanged import Snapshot, snapshot

BlockKey = tuple[type, int, bytes]
"""Whether the items are those of a list or of a dict, how deep they lie, and a digest of what they are."""


class Division(NamedTuple):
    """What has become of items that took one or several cells."""

    segments: Sequence[bytes]
    """Addresses of the cells that hold the items."""
    sizes: Mapping[bytes, int]
    """By address, the bytes of data in these cells and in all that they lead to."""
    visits: int
    repeated: int


class Closed(NamedTuple):
    """The segments of a block that stay what they are when items are appended."""

    division: Division
    place: int
    """Where the next segment begins."""
    length: int
    """Items that the next segment may have; 0 if nothing is known of how large they are."""


NOTHING_CLOSED = Closed(Division((), MappingProxyType({}), 0, 0), 0, 0)


class Block(NamedTuple):
    """A block of a list."""

    division: Division
    closed: Closed
    key: BlockKey | None = None
    """What it is known by as well, if it is."""


class Seen(NamedTuple):
    """A block of a list as it is now."""

    items: list[Any]
    snapshot: Snapshot | None
    """What the items are, if that can be told for sure."""
    before: Block | None = None
    """The block that these items, or the first of them, were before."""
    is_same: bool = False
    """Whether it had all of the items."""


class Known(NamedTuple):
    """The blocks of an earlier list, by place."""

    blocks: Mapping[int, Block]
    snapshots: Mapping[int, Snapshot]
    """What their items were, as far as that can be told for sure."""


def look_at(items: list[Any], known: Sequence[Known]) -> list[Seen]:
    """The blocks of a list, compared with those of earlier ones."""
    return [
        _seen(
            block, ((each.snapshots[place], each.blocks[place]) for each in known if place in each.snapshots)
        )
        for place, block in enumerate(cut(items, BLOCK))
    ]


def _seen(items: list[Any], known: Iterable[tuple[Snapshot, Block]]) -> Seen:
    for shot, block in known:
        count = len(shot.kinds)
        if count == len(items) and shot.holds(items):
            return Seen(items, shot, block, is_same=True)
        if count < len(items) and shot.holds(items[:count]):
            more = snapshot(items[count:])
            return Seen(items, more and shot.followed_by(more), block)
    return Seen(items, snapshot(items))


def snapshots_of(items: list[Any], blocks: Mapping[int, Block]) -> dict[int, Snapshot]:
    """What the items of some blocks are, by place, where nobody can have changed them yet."""
    shots = ((place, snapshot(items[place * BLOCK : (place + 1) * BLOCK])) for place in blocks)
    return {place: shot for place, shot in shots if shot is not None}
