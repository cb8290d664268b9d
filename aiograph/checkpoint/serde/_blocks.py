"""What is remembered of the blocks of a long list or dict, so that the next value can go on from there.

A block of a list whose items are proven to be what they were is taken over. One that has only become longer
keeps all segments but the last. Anything else is recognized by what it is encoded to, or cut anew.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from types import MappingProxyType
from typing import Any, NamedTuple

from aiograph.checkpoint.serde._cells import Cell
from aiograph.checkpoint.serde._cutting import BLOCK, Items, Level, cut, items_of
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
    """A block of a list or dict."""

    division: Division
    closed: Closed
    key: BlockKey | None = None
    """What it is known by as well, if it is."""


class Root(NamedTuple):
    """An encoded value."""

    cell: Cell
    reach: frozenset[bytes] = frozenset()
    """Addresses of all cells it leads to."""
    divisions: Mapping[BlockKey, Division] = MappingProxyType({})
    """Blocks that are known by what they are encoded to, so that those that stay as they are need not be cut
    again."""
    nodes: Mapping[Cell, bytes] = MappingProxyType({})
    """Addresses of the nodes over them, so that those that stay as they are need not be hashed again."""
    levels: Sequence[Level] = ()
    """Of these, where the nodes end, so that what stands before a change is not even looked at."""
    blocks: Mapping[int, Block] = MappingProxyType({})
    """By place, the blocks of a list, or of a dict with more than one."""
    snapshots: Mapping[int, Snapshot] = MappingProxyType({})
    """What is in them, so that what stays as it is need not even be encoded again. Those of messages keep
    these alive: keep them no longer than a run takes."""
    kind: type = list
    """What the blocks are parts of."""

    @property
    def tells_all(self) -> bool:
        """Whether the value follows from the snapshots."""
        plain = [shot for shot in self.snapshots.values() if shot.fields is None]
        return len(plain) == len(self.blocks) > 0

    @property
    def size(self) -> int:
        """Bytes in the snapshots of a value that follows from them."""
        return sum(len(shot.packed) for shot in self.snapshots.values())

    def value(self) -> Any:
        """The value once more, as nobody has it, if it follows from the snapshots."""
        blocks = (self.snapshots[place].items() for place in range(len(self.blocks)))
        parts = list(chain.from_iterable(blocks))
        return parts if self.kind is list else dict(zip(parts[::2], parts[1::2], strict=True))

    def stands_for(self, value: Any) -> bool:
        """Whether a list or dict is for sure what was encoded."""
        given, count = items_of(value, 0), -(-len(value) // BLOCK)
        if given.kind is not self.kind or not len(self.snapshots) == len(self.blocks) == count:
            return False
        blocks = enumerate(cut(given.items, BLOCK))
        return all(self.snapshots[place].holds(given.parts(block)) for place, block in blocks)

    def seen(self, value: Any) -> "Root":
        """The same, of a value that has just been read back, so that nobody can have changed it yet."""
        if not self.blocks or self.snapshots:
            return self
        given = items_of(value, 0)
        shots = enumerate(snapshot(given.parts(block)) for block in cut(given.items, BLOCK))
        return self._replace(snapshots={place: shot for place, shot in shots if shot is not None})


class Draft(NamedTuple):
    """An encoded value, with what it takes to see that the next one is the same."""

    whole: Cell | None
    """It in one cell, if it is not too long for that: keep it no longer than it is likely to come again."""
    root: Root
    cells: Mapping[bytes, Cell]
    """What was found on the way."""


class Seen(NamedTuple):
    """A block as it is now."""

    items: list[Any]
    snapshot: Snapshot | None
    """What the items are, if that can be told for sure."""
    before: Block | None = None
    """The block that these items, or the first of them, were before."""
    is_same: bool = False
    """Whether it had all of the items."""


def look_at(given: Items, known: Sequence[Root]) -> list[Seen]:
    """The blocks of a list or dict, compared with those of earlier ones."""
    return [
        _seen(
            given,
            block,
            ((each.snapshots[place], each.blocks[place]) for each in known if place in each.snapshots),
        )
        for place, block in enumerate(cut(given.items, BLOCK))
    ]


def _seen(given: Items, items: list[Any], known: Iterable[tuple[Snapshot, Block]]) -> Seen:
    parts = given.parts(items)
    for shot, block in known:
        count = len(shot.kinds)
        if count == len(parts) and shot.holds(parts):
            return Seen(items, shot, block, is_same=True)
        if count < len(parts) and shot.holds(parts[:count]):
            more = snapshot(parts[count:])
            return Seen(items, more and shot.followed_by(more), block)
    return Seen(items, snapshot(parts))


def grown(value: Any, before: Root | None) -> Sequence[Seen]:
    """The block of a list that goes on from one of a block that was divided; nothing of any other value.

    So it is divided, too, which of as few items only their size would tell.
    """
    if type(value) is not list or len(value) > BLOCK or before is None or len(before.blocks) != 1:
        return ()
    seen = look_at(items_of(value, 0), [before])
    return seen if seen and seen[0].before is not None else ()
