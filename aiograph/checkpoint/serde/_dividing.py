"""Dividing values into cells: what stands by itself, what stands in segments, and the trees over them.

What equal values become depends on nothing else, and a change shows in few of the cells.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple

from aiograph.checkpoint.serde._cells import MAX_REPEATED, MAX_VISITS, Cell, packed
from aiograph.checkpoint.serde._cutting import BLOCK, cut, nodes_over, segment_length
from aiograph.checkpoint.serde._seal import Seal
from aiograph.checkpoint.serde._unchanged import Snapshot, snapshot
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.errors import CheckpointSerializationError

INLINE = 256
"""Bytes up to which a cell stands where it is needed, instead of being referred to."""

_SHARED_FROM = 48
"""Bytes from which something that many checkpoints have in common is referred to."""

_ENTRY_LIMIT = 512
"""Bytes of a dict from which it is divided. A value of that size in there has a cell of its own: it is likely
to be the value of a channel, or a list whose parts are."""

_ITEM_LIMIT = 4096
"""Bytes of an item in a list, or of a dict in a dict, from which it is divided in turn: a message is not, a
table is."""

_ALONE_LIMIT = 65_536
"""Bytes up to which an instance that is written by itself is stored as a list of one: where a reducer adds it
to a list of large items, it has that cell already."""

_DEPTH = 16
"""Levels of lists and dicts that are divided; what lies deeper is stored whole."""


class Division(NamedTuple):
    """What has become of a block of items that took several cells."""

    segments: Sequence[bytes]
    """Addresses of the cells that hold the items."""
    sizes: Mapping[bytes, int]
    """By address, the bytes of data in these cells and in all that they lead to."""
    visits: int
    repeated: int


class Root(NamedTuple):
    """An encoded value."""

    cell: Cell
    reach: frozenset[bytes] = frozenset()
    """Addresses of all cells it leads to."""
    divisions: "Mapping[_BlockKey, Division]" = MappingProxyType({})
    """Its blocks, so that those that stay as they are need not be divided again."""
    nodes: Mapping[Cell, bytes] = MappingProxyType({})
    """Addresses of the nodes over them, so that those that stay as they are need not be hashed again."""
    blocks: "Mapping[int, Block]" = MappingProxyType({})
    """By place, its blocks as they were, so that those that stay as they are need not even be encoded again.
    They keep their items alive: keep them no longer than a run takes."""


class Draft(NamedTuple):
    """An encoded value, with what it takes to see that the next one is the same."""

    whole: Cell | None
    """What `short` says of it, which is large: keep it no longer than it is likely to come again."""
    root: Root
    cells: Mapping[bytes, Cell]
    """What was found on the way."""


_BlockKey = tuple[type, int, bytes]
"""Whether the items are those of a list or of a dict, how deep they lie, and a digest of what they are."""


class Block(NamedTuple):
    """A block of a long list, with what it takes to see that it stays as it is."""

    snapshot: Snapshot
    size: int
    """Bytes of it in one cell."""
    key: _BlockKey


class CellWriter:
    """Turns values into cells.

    Attributes:
        found: By address, the cells that are referred to, but for those of blocks and nodes that were known.
    """

    __slots__ = (
        "_address",
        "_blocks",
        "_divisions",
        "_dumps",
        "_known",
        "_nodes",
        "_repeated",
        "_sizes",
        "_visits",
        "found",
    )

    def __init__(self, serde: SerializerProtocol, seal: Seal) -> None:
        self._dumps = serde.dumps_typed
        self._address = seal.address
        self.found: dict[bytes, Cell] = {}

    def _start(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self._visits = self._repeated = 0

    def root(self, value: Any, before: Root | None = None) -> Root:
        """A value, with the cells it leads to added to `found`; see `divided`.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        whole = self.short(value)
        if whole is not None and len(whole.data) <= INLINE:
            return Root(whole)
        return self.divided(value, whole, before)

    def short(self, value: Any) -> Cell | None:
        """A value in one cell; `None` of a list or dict so long that it is encoded block by block."""
        if (type(value) is list or type(value) is dict) and len(value) > BLOCK:
            return None
        return self.whole(value)

    def whole(self, value: Any) -> Cell:
        """A value in one cell. Above `INLINE`, that is not what is stored of it, but what `divided` needs.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        tag, data = self._dumps(value)
        return Cell(tag, data)

    def divided(
        self, value: Any, whole: Cell | None, before: Root | None = None, draft: Draft | None = None
    ) -> Root:
        """A value that is too large to stand inline, with the cells it leads to added to `found`.

        Args:
            value: The value.
            whole: What `short` says of it.
            before: An earlier value whose cells are stored; a block of items that both have is neither
                divided nor added to `found` again, nor is a node over them.
            draft: The same value, perhaps: then it is divided already.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        if draft is None:
            draft = self._draft(value, whole, before)
        elif whole is None or draft.whole != whole:
            self.found.update(draft.cells)
            draft = self._draft(value, whole, before, draft.root)
        self.found.update(draft.cells)
        return draft.root

    def draft(self, value: Any, whole: Cell | None, before: Root | None = None) -> Draft:
        """What `divided` does, for a value that is likely to come again: what a task writes."""
        draft = self._draft(value, whole, before, is_item=_is_item(value, whole))
        self.found.update(draft.cells)
        return draft

    def _draft(self, value: Any, whole: Cell | None, *known: Root | None, is_item: bool = False) -> Draft:
        others, self.found = self.found, {}
        if is_item:
            root = self._tracked(lambda: self._only_item(value))
        elif whole is None:
            root = self._tracked(lambda: self._divided_long(value), *known)
        else:
            root = self._tracked(lambda: self._divided(value, whole, _ENTRY_LIMIT, _DEPTH), *known)
        if self._visits > MAX_VISITS or self._repeated > MAX_REPEATED:
            self.found = {}
            root = self._tracked(lambda: whole or self.whole(value))
        cells, self.found = self.found, others
        return Draft(whole, root, cells)

    def mapping(self, values: Mapping[Any, Cell]) -> Root:
        """A dict whose values are encoded already; the cells they lead to are not counted as its own."""
        if len(values) <= BLOCK:
            cell = self._map(list(values), list(values.values()))
            if len(cell.data) + len(cell.refs) <= INLINE:
                return Root(cell)
        return self._tracked(lambda: self._mapping(values))

    def _mapping(self, values: Mapping[Any, Cell]) -> Cell:
        maps = [self._map(block, [values[name] for name in block]) for block in cut(list(values), BLOCK)]
        return self._joined("d+", maps or [self._map([], [])])

    def _tracked(self, make: Callable[[], Cell], *known: Root | None) -> Root:
        """What `make` makes, placed, with the cells that were put on the way."""
        self._start()
        self._known = [root for root in known if root is not None and root.nodes]
        self._divisions: dict[_BlockKey, Division] = {}
        self._nodes: dict[Cell, bytes] = {}
        self._blocks: dict[int, Block] = {}
        cell = self.placed(make())
        return Root(cell, frozenset(self._sizes), self._divisions, self._nodes, self._blocks)

    def record(self, parts: Sequence[Cell]) -> Cell:
        """The cell of a list whose items are encoded already."""
        return Cell("l", *packed(parts))

    def shared(self, parts: Sequence[Root]) -> Root:
        """A list that many checkpoints have in common, of items that are encoded already."""
        self._start()
        cell = self.record([part.cell for part in parts])
        if len(cell.data) > _SHARED_FROM:
            cell = Cell("@", b"", self._put(cell))
        return Root(cell, frozenset(self._sizes).union(*(part.reach for part in parts)))

    def shared_if_known(self, parts: Sequence[Root], known: Set[bytes]) -> Root:
        """The same list, in a cell of its own only if that is stored already, or too long to stand inline."""
        cell = self.record([part.cell for part in parts])
        if len(cell.data) + len(cell.refs) > INLINE or self._address(*cell) in known:
            return self.shared(parts)
        return Root(cell, frozenset().union(*(part.reach for part in parts)))

    def placed(self, cell: Cell) -> Cell:
        """The cell itself if it is small, else one that refers to it."""
        if len(cell.data) + len(cell.refs) <= INLINE:
            return cell
        return Cell("@", b"", self._put(cell))

    def _only_item(self, value: Any) -> Cell:
        return Cell("1", b"", self._put(self.whole([value])))

    def _put(self, cell: Cell) -> bytes:
        address = self._address(*cell)
        self._visits += 1
        if address in self._sizes:
            self._repeated += len(cell.data)
        else:
            self._sizes[address] = len(cell.data)
            self.found[address] = cell
        return address

    # -- dividing

    def _divided(self, value: Any, whole: Cell, limit: int, depth: int) -> Cell:
        """A value in several cells where that pays; `whole` is it in one."""
        if len(whole.data) <= limit or depth == 0:
            return whole
        if type(value) is list or type(value) is dict:
            return self._divided_items(_items(value, depth), whole)
        return whole

    def _divided_items(self, given: "_Items", whole: Cell) -> Cell:
        if len(given.items) == 1:
            return self._single(given, given.items[0], whole)
        blocks = list(cut(given.items, BLOCK))
        cells = [whole] if len(blocks) == 1 else [self._encoded(given, block) for block in blocks]
        return self._joined_blocks(given, blocks, cells)

    def _divided_long(self, value: "list[Any] | dict[Any, Any]") -> Cell:
        """What `_divided` makes of a list or dict of several blocks, which is never encoded in one piece."""
        given = _items(value, _DEPTH)
        blocks = list(cut(given.items, BLOCK))
        same, shots = self._looked_at(blocks) if given.kind is list else ({}, {})
        try:
            cells = [same.get(place) or self._encoded(given, block) for place, block in enumerate(blocks)]
        except CheckpointSerializationError:
            self.whole(value)  # the error tells the path from the block; this one from the value
            raise
        if sum(map(_size, cells)) <= _ENTRY_LIMIT:
            return self.whole(value)
        joined = self._joined_blocks(given, blocks, cells)
        self._blocks = {**same, **self._new_blocks(shots, cells)}
        return joined

    def _looked_at(self, blocks: Sequence[list[Any]]) -> tuple[dict[int, Block], dict[int, Snapshot]]:
        """By place, the blocks of a list that are as they were, and what the others are, if that can be told.

        The next item is appended to the last block: it is not worth to be remembered before it is full.
        """
        same, shots = {}, {}
        for place, items in enumerate(blocks):
            if len(items) == BLOCK:
                before = [root.blocks[place] for root in self._known if place in root.blocks]
                if block := next((each for each in before if each.snapshot.holds(items)), None):
                    same[place] = block
                elif shot := snapshot(items):
                    shots[place] = shot
        return same, shots

    def _new_blocks(self, shots: Mapping[int, Snapshot], cells: Sequence[Cell | Block]) -> dict[int, Block]:
        found = {}
        for place, shot in shots.items():
            cell = cells[place]
            assert isinstance(cell, Cell)
            key = _block_key(list, _DEPTH, cell)
            if key in self._divisions:
                found[place] = Block(shot, len(cell.data), key)
        return found

    def _joined_blocks(
        self, given: "_Items", blocks: Sequence[list[Any]], cells: Sequence[Cell | Block]
    ) -> Cell:
        segments: list[bytes] = []
        for block, encoded in zip(blocks, cells, strict=True):
            if isinstance(encoded, Block):
                segments += self._again(encoded.key)
                continue
            length = segment_length(len(block), len(encoded.data))
            if length < len(block) or len(block) == 1:
                segments += self._division(given, block, encoded, length)
            elif len(block) < len(given.items):
                segments.append(self._put(encoded))
            else:
                return encoded
        return self._tree(given.tag, segments)

    def _division(self, given: "_Items", block: list[Any], encoded: Cell, length: int) -> Sequence[bytes]:
        """The segments of a block: as they were before, if there was such a block."""
        key = _block_key(given.kind, given.depth, encoded)
        division = self._known_division(key) or self._new_division(given, block, length)
        return self._counted(key, division)

    def _again(self, key: _BlockKey) -> Sequence[bytes]:
        """The segments of a block that there was before."""
        division = self._known_division(key)
        assert division is not None
        return self._counted(key, division)

    def _counted(self, key: _BlockKey, division: Division) -> Sequence[bytes]:
        self._divisions[key] = division
        self._visits += division.visits
        self._repeated += division.repeated
        self._repeated += sum(division.sizes[each] for each in division.sizes.keys() & self._sizes.keys())
        self._sizes.update(division.sizes)
        return division.segments

    def _known_division(self, key: _BlockKey) -> Division | None:
        for root in self._known:
            if key in root.divisions:
                return root.divisions[key]
        return None

    def _new_division(self, given: "_Items", block: list[Any], length: int) -> Division:
        outer = self._sizes, self._visits, self._repeated
        self._start()
        segments = [self._put(self._segment(given, part)) for part in cut(block, length)]
        division = Division(segments, self._sizes, self._visits, self._repeated)
        self._sizes, self._visits, self._repeated = outer
        return division

    def _segment(self, given: "_Items", part: list[Any]) -> Cell:
        whole = self._encoded(given, part)
        return self._single(given, part[0], whole) if len(part) == 1 else whole

    def _single(self, given: "_Items", item: Any, whole: Cell) -> Cell:
        """A segment of one item, which may be worth dividing; `whole` is the segment in one."""
        if given.kind is list:
            inner = self._divided(item, whole, _ITEM_LIMIT, given.depth - 1)
            return whole if inner is whole else self.record([self.placed(inner)])
        key, value = item
        return self._entry(key, value, whole, given.depth - 1)

    def _entry(self, key: Any, value: Any, whole: Cell, depth: int) -> Cell:
        if len(whole.data) <= _ENTRY_LIMIT:
            return whole
        limit = _ITEM_LIMIT if type(value) is dict else _ENTRY_LIMIT
        alone = self.whole(value)
        return self._map([key], [self.placed(self._divided(value, alone, limit, depth))])

    def _encoded(self, given: "_Items", part: list[Any]) -> Cell:
        return self.whole(part if given.kind is list else dict(part))

    def _map(self, keys: Sequence[Any], values: Sequence[Cell]) -> Cell:
        data, refs = packed([self.whole(list(keys)), *values])
        return Cell("m", data, refs)

    # -- trees

    def _joined(self, tag: str, cells: list[Cell]) -> Cell:
        """The tree over some cells; a single one needs none."""
        return cells[0] if len(cells) == 1 else self._tree(tag, [self._put(cell) for cell in cells])

    def _tree(self, tag: str, addresses: Sequence[bytes]) -> Cell:
        """The root of the tree over two or more cells, given by their addresses."""
        # A child's rank is the address of the last cell below it that is no node. So most changes leave it,
        # and with it where the nodes above end, as they are.
        ranks = addresses
        while True:
            groups = list(nodes_over(ranks))
            nodes = [Cell(tag, b"", b"".join(addresses[start:end])) for start, end in groups]
            if len(nodes) == 1:
                return nodes[0]
            addresses = [
                addresses[start] if end - start == 1 else self._put_node(node)
                for (start, end), node in zip(groups, nodes, strict=True)
            ]
            ranks = [ranks[end - 1] for _, end in groups]

    def _put_node(self, node: Cell) -> bytes:
        """The address of a node: as it was before, if there was such a node."""
        for root in self._known:
            if node in root.nodes:
                address = root.nodes[node]
                self._visits += 1
                self._sizes[address] = 0
                break
        else:
            address = self._put(node)
        self._nodes[node] = address
        return address


class _Items(NamedTuple):
    """What a list or a dict consists of."""

    tag: str
    """That of a tree over parts of it."""
    kind: type
    items: list[Any]
    depth: int
    """Levels that may be divided, this one included."""


def _items(value: "list[Any] | dict[Any, Any]", depth: int) -> _Items:
    if isinstance(value, dict):
        return _Items("d+", dict, list(value.items()), depth)
    return _Items("l+", list, value, depth)


def _size(encoded: Cell | Block) -> int:
    return encoded.size if isinstance(encoded, Block) else len(encoded.data)


def _block_key(kind: type, depth: int, encoded: Cell) -> _BlockKey:
    return (kind, depth, sha256(encoded.data).digest())


def _is_item(value: Any, whole: Cell | None) -> bool:
    """Whether a write is likely to become an item of a list: a message is, that a node returns by itself."""
    if whole is None:
        return False
    return type(value).__module__ != "builtins" and len(whole.data) <= _ALONE_LIMIT
