"""Dividing values into cells: what stands by itself, what stands in segments, and the trees over them.

What equal values become depends on nothing else, and a change shows in few of the cells.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from itertools import pairwise
from typing import Any

from aiograph.checkpoint.serde._blocks import (
    NOTHING_CLOSED,
    Block,
    BlockKey,
    Closed,
    Division,
    Draft,
    Root,
    Seen,
    grown,
    look_at,
)
from aiograph.checkpoint.serde._cells import MAX_REPEATED, MAX_VISITS, Cell, packed
from aiograph.checkpoint.serde._cutting import (
    BLOCK,
    NO_LEVEL,
    SEGMENT,
    Items,
    Level,
    cut,
    ends_of_nodes,
    first_length,
    items_of,
    next_length,
    shorter_length,
)
from aiograph.checkpoint.serde._seal import ADDRESS_BYTES, Seal
from aiograph.checkpoint.serde._unchanged import Snapshot
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
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
        "_dumps_plain",
        "_kind",
        "_known",
        "_levels",
        "_nodes",
        "_repeated",
        "_sizes",
        "_snapshots",
        "_visits",
        "found",
    )

    def __init__(self, serde: SerializerProtocol, seal: Seal) -> None:
        self._dumps = serde.dumps_typed
        # any other has to see all that is stored, one that is derived from ours too
        self._dumps_plain = serde.dumps_plain if type(serde) is JsonPlusSerializer else serde.dumps_typed
        self._address = seal.address
        self.found: dict[bytes, Cell] = {}

    def _start(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self._visits = self._repeated = 0

    def _start_root(self) -> None:
        self._start()
        self._divisions: dict[BlockKey, Division] = {}
        self._nodes: dict[Cell, bytes] = {}
        self._levels: Sequence[Level] = ()
        self._blocks: dict[int, Block] = {}
        self._snapshots: dict[int, Snapshot] = {}
        self._kind: type = list

    def root(self, value: Any, before: Root | None = None, draft: Draft | None = None) -> Root:
        """A value, with the cells it leads to added to `found`.

        Args:
            value: The value.
            before: An earlier value whose cells are stored; a block of items that both have is neither
                divided nor added to `found` again, nor is a node over them.
            draft: The same value, perhaps: then it is divided already.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        seen = () if before is None else grown(value, before)
        whole = None if seen else self.short(value)
        if whole is not None and len(whole.data) <= INLINE:
            return Root(whole)
        if draft is None:
            draft = self._draft(value, whole, before, seen=seen)
        elif not (draft.root.stands_for(value) if whole is None else draft.whole == whole):
            self.found.update(draft.cells)
            draft = self._draft(value, whole, before, draft.root, seen=seen)
        self.found.update(draft.cells)
        return draft.root

    def short(self, value: Any) -> Cell | None:
        """A value in one cell; `None` of a list or dict so long that it is encoded block by block."""
        if (type(value) is list or type(value) is dict) and len(value) > BLOCK:
            return None
        return Cell(*self._dumps(value))

    def whole(self, value: Any) -> Cell:
        """A value in one cell. Above `INLINE`, that is not what is stored of it.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        return Cell(*self._dumps(value))

    def draft(self, value: Any, whole: Cell | None, before: Root | None = None) -> Draft:
        """What `root` does, for a value that is likely to come again: what a task writes."""
        draft = self._draft(value, whole, before, is_item=_is_item(value, whole))
        self.found.update(draft.cells)
        return draft

    def _draft(
        self,
        value: Any,
        whole: Cell | None,
        *known: Root | None,
        seen: Sequence[Seen] = (),
        is_item: bool = False,
    ) -> Draft:
        others, self.found = self.found, {}
        if is_item:
            root = self._tracked(lambda: self._only_item(value))
        else:
            root = self._tracked(lambda: self._divided_value(value, whole, seen), *known)
        if self._visits > MAX_VISITS or self._repeated > MAX_REPEATED:
            self.found = {}
            root = self._tracked(lambda: whole or self.whole(value))
        cells, self.found = self.found, others
        return Draft(whole, root, cells)

    def mapping(self, values: Mapping[Any, Cell]) -> Root:
        """A dict whose values are encoded already; the cells they lead to are not counted as its own."""
        if len(values) <= BLOCK:
            cell = self._map(Cell(*self._dumps_plain([*values])), values.values())
            if len(cell.data) + len(cell.refs) <= INLINE:
                return Root(cell)
        return self._tracked(lambda: self._mapping(values))

    def _mapping(self, values: Mapping[Any, Cell]) -> Cell:
        maps = [
            self._map(self.whole(block), [values[name] for name in block])
            for block in cut(list(values), BLOCK)
        ]
        return self._joined("d+", maps)

    def _tracked(self, make: Callable[[], Cell], *known: Root | None) -> Root:
        """What `make` makes, placed, with the cells that were put on the way."""
        self._known = [root for root in known if root is not None]
        self._start_root()
        cell = self.placed(make())
        reach = frozenset(self._sizes)
        tree = self._divisions, self._nodes, self._levels
        return Root(cell, reach, *tree, self._blocks, self._snapshots, self._kind)

    def record(self, parts: Iterable[list[Any] | Root]) -> Root:
        """A list of what is encoded already, and of lists of our own: of names, numbers and such lists."""
        cells, reached = list[Cell](), list[frozenset[bytes]]()
        for part in parts:
            cell = None if isinstance(part, Root) else self._plain(part)
            if cell is None:
                root = part if isinstance(part, Root) else self.root(part)
                reached.append(root.reach)
                cell = root.cell
            cells.append(cell)
        return Root(Cell("l", *packed(cells)), frozenset().union(*reached))

    def _plain(self, items: list[Any]) -> Cell | None:
        """Such a list in one cell, unless it is long."""
        if len(items) > BLOCK:
            return None
        cell = Cell(*self._dumps_plain(items))
        return cell if len(cell.data) <= INLINE else None

    def address(self, cell: Cell) -> bytes:
        """By what a cell is referred to."""
        return self._address(*cell)

    def shared(self, record: Root, address: bytes) -> Root:
        """A list that many checkpoints have in common, in a cell of its own unless it is very short."""
        if len(record.cell.data) <= _SHARED_FROM:
            return record
        self.found[address] = record.cell
        return Root(Cell("@", b"", address), record.reach | {address})

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

    def _divided_value(self, value: Any, whole: Cell | None, seen: Sequence[Seen]) -> Cell:
        """A value in several cells where that pays; `whole` is it in one, if it is not too long."""
        if whole is not None and (type(value) is not list or len(whole.data) <= _ENTRY_LIMIT):
            return self._divided(value, whole, _ENTRY_LIMIT, _DEPTH)
        given = items_of(value, _DEPTH)
        if len(given.items) == 1:
            return self._single(given, given.items[0], self.whole(value))
        try:
            return self._divided_blocks(given, seen or look_at(given, self._known)) or self._alone(value)
        except CheckpointSerializationError:
            self.whole(value)  # the error tells the path from some part; this one from the value
            raise

    def _divided(self, value: Any, whole: Cell, limit: int, depth: int) -> Cell:
        if len(whole.data) <= limit or depth == 0:
            return whole
        if type(value) is list or type(value) is dict:
            return self._divided_items(items_of(value, depth), whole)
        return whole

    def _divided_items(self, given: Items, whole: Cell) -> Cell:
        if len(given.items) == 1:
            return self._single(given, given.items[0], whole)
        blocks = list(cut(given.items, BLOCK))
        cells = [whole] if len(blocks) == 1 else [self._encoded(given, block) for block in blocks]
        segments: list[bytes] = []
        for block, encoded in zip(blocks, cells, strict=True):
            _, division = self._recognized(given, block, encoded)
            segments += self._counted(division).segments
        return self._tree(given.tag, segments)

    # -- what goes on from an earlier value

    def _divided_blocks(self, given: Items, seen: Sequence[Seen]) -> Cell | None:
        """The tree over all segments; `None` if there is too little for one."""
        self._kind = given.kind
        divisions = [self._block(given, place, each) for place, each in enumerate(seen)]
        segments = [address for division in divisions for address in division.segments]
        size = sum(sum(division.sizes.values()) for division in divisions)
        if len(segments) == len(seen) and size <= _ENTRY_LIMIT:
            return None
        before = next((root.levels for root in self._known if root.levels), ())
        cell, self._levels = self._tree_after(before, given.tag, segments)
        return cell

    def _alone(self, value: Any) -> Cell:
        """A value in one cell after all; nothing must be remembered of cells that are not stored."""
        self._start_root()
        self.found.clear()
        return self.whole(value)

    def _block(self, given: Items, place: int, seen: Seen) -> Division:
        """What becomes of a block, which is remembered."""
        block = self._new_block(given, seen) if not seen.is_same or seen.before is None else seen.before
        self._blocks[place] = block
        if seen.snapshot is not None:
            self._snapshots[place] = seen.snapshot
        if block.key is not None:
            self._divisions[block.key] = block.division
        return self._counted(block.division)

    def _new_block(self, given: Items, seen: Seen) -> Block:
        is_full = len(seen.items) == BLOCK
        if seen.snapshot is not None and (seen.before is not None or not is_full):
            return Block(*self._cut(given, seen.items, seen.before.closed if seen.before else NOTHING_CLOSED))
        key, division = self._recognized(given, seen.items, self._encoded(given, seen.items))
        return Block(division, NOTHING_CLOSED, key)

    # -- blocks

    def _recognized(self, given: Items, block: list[Any], encoded: Cell) -> tuple[BlockKey, Division]:
        """A block by what it is encoded to: as it was cut before, if there was such a block."""
        key = (given.kind, given.depth, sha256(encoded.data).digest())
        division = self._known_division(key) or self._cut(given, block)[0]
        self._divisions[key] = division
        return key, division

    def _known_division(self, key: BlockKey) -> Division | None:
        for root in self._known:
            if key in root.divisions:
                return root.divisions[key]
        return None

    def _counted(self, division: Division) -> Division:
        self._visits += division.visits
        self._repeated += division.repeated
        self._repeated += sum(division.sizes[each] for each in division.sizes.keys() & self._sizes.keys())
        self._sizes.update(division.sizes)
        return division

    def _cut(
        self, given: Items, block: list[Any], closed: Closed = NOTHING_CLOSED
    ) -> tuple[Division, Closed]:
        """The segments of a block, and those of them that stay as they are when it becomes longer.

        Each has as many items as fit to judge by the one before it. So where one ends, nothing tells but the
        items up to there and the next few, and what was cut up to there may be handed in as `closed`.
        """
        outer = self._sizes, self._visits, self._repeated
        before, place, length = closed
        segments = [*before.segments]
        self._sizes, self._visits, self._repeated = {**before.sizes}, before.visits, before.repeated
        is_open = False
        while place < len(block):
            part, whole, length = self._next_part(given, block, place, length)
            is_open = len(part) < length
            if is_open:
                closed = Closed(self._so_far(segments), place, length)
            segments.append(self._put(whole if len(part) > 1 else self._single(given, part[0], whole)))
            place += len(part)
            length = next_length(len(part), len(whole.data))
        division = self._so_far(segments)
        self._sizes, self._visits, self._repeated = outer
        return division, closed if is_open else Closed(division, place, length)

    def _so_far(self, segments: Sequence[bytes]) -> Division:
        return Division(tuple(segments), {**self._sizes}, self._visits, self._repeated)

    def _next_part(
        self, given: Items, block: list[Any], start: int, length: int
    ) -> tuple[list[Any], Cell, int]:
        """The items of the next segment, these in one cell, and how many there might have been."""
        if length == 0:
            length = first_length(len(self._encoded(given, block[start : start + 1]).data))
        while True:
            part = block[start : start + length]
            whole = self._encoded(given, part)
            if len(part) == 1 or len(whole.data) <= SEGMENT:
                return part, whole, length
            length = shorter_length(len(part))

    def _single(self, given: Items, item: Any, whole: Cell) -> Cell:
        """A segment of one item, which may be worth dividing; `whole` is the segment in one."""
        if given.kind is list:
            inner = self._divided(item, whole, _ITEM_LIMIT, given.depth - 1)
            return whole if inner is whole else Cell("l", *packed([self.placed(inner)]))
        key, value = item
        return self._entry(key, value, whole, given.depth - 1)

    def _entry(self, key: Any, value: Any, whole: Cell, depth: int) -> Cell:
        if len(whole.data) <= _ENTRY_LIMIT:
            return whole
        limit = _ITEM_LIMIT if type(value) is dict else _ENTRY_LIMIT
        alone = self.whole(value)
        return self._map(self.whole([key]), [self.placed(self._divided(value, alone, limit, depth))])

    def _encoded(self, given: Items, part: list[Any]) -> Cell:
        return self.whole(part if given.kind is list else dict(part))

    def _map(self, keys: Cell, values: Iterable[Cell]) -> Cell:
        return Cell("m", *packed([keys, *values]))

    # -- trees

    def _joined(self, tag: str, cells: list[Cell]) -> Cell:
        """The tree over some cells; a single one needs none."""
        return cells[0] if len(cells) == 1 else self._tree(tag, [self._put(cell) for cell in cells])

    def _tree(self, tag: str, addresses: Sequence[bytes]) -> Cell:
        """The root of the tree over two or more cells, given by their addresses."""
        return self._tree_after((), tag, addresses)[0]

    def _tree_after(
        self, before: Sequence[Level], tag: str, addresses: Sequence[bytes]
    ) -> tuple[Cell, Sequence[Level]]:
        """The same with its levels, where those of an earlier tree are known."""
        # A child's rank is the address of the last cell below it that is no node. So most changes leave it,
        # and with it where the nodes above end, as they are.
        ranks, levels = addresses, list[Level]()
        while True:
            kept = before[len(levels)].until(addresses) if len(levels) < len(before) else NO_LEVEL
            ends = [*kept.ends, *ends_of_nodes(ranks, kept.end)]
            if len(ends) == 1:
                return Cell(tag, b"", b"".join(addresses)), levels
            nodes = [*kept.nodes]
            nodes += [
                Cell(tag, b"", b"".join(addresses[start:end]))
                for start, end in pairwise([kept.end, *ends[len(nodes) :]])
            ]
            addresses, children = self._put_nodes(nodes, kept), addresses
            levels.append(Level(children, ends, nodes, addresses))
            ranks = [ranks[end - 1] for end in ends]

    def _put_nodes(self, nodes: Sequence[Cell], kept: Level) -> list[bytes]:
        """The addresses of nodes; a single child goes without one."""
        self._visits += len(kept.nodes)
        self._sizes.update(dict.fromkeys(kept.addresses, 0))
        self._nodes.update(zip(kept.nodes, kept.addresses, strict=True))
        return [
            *kept.addresses,
            *(
                node.refs if len(node.refs) == ADDRESS_BYTES else self._put_node(node)
                for node in nodes[len(kept.nodes) :]
            ),
        ]

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


def _is_item(value: Any, whole: Cell | None) -> bool:
    """Whether a write is likely to become an item of a list: a message is, that a node returns by itself."""
    if whole is None:
        return False
    return type(value).__module__ != "builtins" and len(whole.data) <= _ALONE_LIMIT
