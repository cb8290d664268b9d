"""Values as trees of cells, so that storing a value again costs what has changed in it.

A cell is what a serializer makes of a value, or a node that puts other cells together. Whoever refers to a
cell names it by its address, which is made of its content: what is equal is stored once, whoever wrote it.
A long list becomes a row of segments, and a large dict one of smaller dicts. The references to them form a
tree whose nodes end where the address of a child says so. So an item that is appended or changed leads to a
new segment and new nodes above it, and to nothing else. So does one that is inserted or removed, if the items
are large enough to have segments of their own; smaller ones share them by the dozen, and those that follow
move to other segments, which are stored again. (The same idea is
known as prolly trees, from the database Noms, and as content-defined chunking, from LBFS.)

| tag | the cell stands for |
|---|---|
| `@` | the value of the one cell it refers to |
| `l` | a list with the values of its entries |
| `m` | a dict: its keys, and the values of its entries |
| `l+` | the lists that it refers to, one after the other |
| `d+` | the dicts that it refers to, one after the other |
| `n` | no value: cells side by side, each with a name |
| others | a value, as the serializer has encoded it |

Tags and layouts are part of the stored format; they never change their meaning.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

import msgpack  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._seal import ADDRESS_BYTES, Seal
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.errors import CheckpointDeserializationError

T = TypeVar("T")

INLINE = 256
"""Bytes up to which a cell stands where it is needed, instead of being referred to."""

_ENTRY_LIMIT = 512
"""Bytes of a dict from which it is divided. A value of that size in there has a cell of its own: it is likely
to be the value of a channel, or a list whose parts are."""

_ITEM_LIMIT = 4096
"""Bytes of an item in a list, or of a dict in a dict, from which it is divided in turn: a message is not, a
table is."""

_SEGMENT = 256
"""Bytes that a segment should have at least."""

_BLOCK = 64
"""Items whose segments have the same length."""

_NEIGHBOURHOOD = 3
"""A node ends at a child whose address is the smallest of these many children before and after it: about every
seventh. Whether it is, nothing further away can change."""

_FANOUT_LIMIT = 64
"""Children of a node, whatever their addresses are."""

_SHORT_TAGS: Mapping[str, int] = {"msgpack": 0, "msgpack-rich": 1, "null": 2, "bytes": 3, "@": 4}
"""How frequent tags are written where cells stand side by side."""

_LONG_TAGS = {short: tag for tag, short in _SHORT_TAGS.items()}

_DEPTH = 16
"""Levels of lists and dicts that are divided; what lies deeper is stored whole."""

MAX_VISITS = 1_000_000
"""Cells that a value may consist of, each counted as often as it is referred to."""

MAX_REPEATED = 16 * 1024 * 1024
"""Bytes that a value may have in cells beyond their first occurrence; what has more is stored whole.

As much may come of a few bytes that somebody has forged, and a byte may become a dict.
"""


class Cell(NamedTuple):
    """Encoded content."""

    tag: str
    data: bytes
    refs: bytes = b""
    """Addresses of the cells it refers to, one after the other."""


Cells = Mapping[bytes, Cell]
"""Cells by address."""


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


_BlockKey = tuple[type, int, bytes]
"""Whether the items are those of a list or of a dict, how deep they lie, and a digest of what they are."""


def addresses(refs: bytes) -> Iterator[bytes]:
    """The addresses that a cell refers to."""
    return (refs[start : start + ADDRESS_BYTES] for start in range(0, len(refs), ADDRESS_BYTES))


def reach(roots: Iterable[Cell], cells: Cells) -> set[bytes]:
    """The addresses of all cells that some lead to, as far as they are there."""
    found: set[bytes] = set()
    left = [address for cell in roots for address in addresses(cell.refs)]
    while left:
        address = left.pop()
        if address not in found:
            found.add(address)
            left.extend(addresses(cells[address].refs) if address in cells else ())
    return found


# -- encoding


class CellWriter:
    """Turns values into cells.

    Attributes:
        found: By address, the cells that are referred to, but for those of blocks that were known.
    """

    def __init__(self, serde: SerializerProtocol, seal: Seal) -> None:
        self._serde = serde
        self._address = seal.address
        self.found: dict[bytes, Cell] = {}
        self._known: Mapping[_BlockKey, Division] = {}
        self._divisions: dict[_BlockKey, Division] = {}
        self._start()

    def _start(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self._visits = self._repeated = 0

    def root(self, value: Any, before: Root | None = None) -> Root:
        """A value, with the cells it leads to added to `found`.

        Args:
            value: The value.
            before: An earlier value whose cells are stored; a block of items that both have is neither
                divided nor added to `found` again.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        cell = Cell(*self._serde.dumps_typed(value))
        if len(cell.data) <= INLINE:
            return Root(cell)
        self._known = {} if before is None else before.divisions
        self._divisions = {}
        others, self.found = self.found, {}
        root = self._tracked(lambda: self._divided(value, cell, _ENTRY_LIMIT, _DEPTH))
        if self._visits > MAX_VISITS or self._repeated > MAX_REPEATED:
            self.found, self._divisions = {}, {}
            root = self._tracked(lambda: cell)
        self.found.update(others)
        return root._replace(divisions=self._divisions)

    def mapping(self, values: Mapping[Any, Root]) -> Root:
        """A dict whose values are encoded already; the cells they lead to are not counted as its own."""
        return self._tracked(lambda: self._mapping(values))

    def _mapping(self, values: Mapping[Any, Root]) -> Cell:
        maps = [
            self._map(block, [values[name].cell for name in block]) for block in _blocks(list(values), _BLOCK)
        ]
        return self._joined("d+", maps or [self._map([], [])])

    def _tracked(self, make: Callable[[], Cell]) -> Root:
        """What `make` makes, placed, with the cells that were put on the way."""
        self._start()
        cell = self.placed(make())
        return Root(cell, frozenset(self._sizes))

    def record(self, parts: Sequence[Cell]) -> Cell:
        """The cell of a list whose items are encoded already."""
        return Cell("l", *_packed(parts))

    def placed(self, cell: Cell) -> Cell:
        """The cell itself if it is small, else one that refers to it."""
        if len(cell.data) + len(cell.refs) <= INLINE:
            return cell
        return Cell("@", b"", self._put(cell))

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
        if type(value) is list:
            return self._divided_items(_Items("l+", list, value, depth), whole)
        if type(value) is dict:
            return self._divided_items(_Items("d+", dict, list(value.items()), depth), whole)
        return whole

    def _divided_items(self, given: "_Items", whole: Cell) -> Cell:
        if len(given.items) == 1:
            return self._single(given, given.items[0], whole)
        segments: list[bytes] = []
        for block in _blocks(given.items, _BLOCK):
            encoded = self._encoded(given, block)
            length = _segment_length(len(block), len(encoded.data))
            if length < len(block) or len(block) == 1:
                segments += self._division(given, block, encoded, length)
            elif len(block) < len(given.items):
                segments.append(self._put(encoded))
            else:
                return encoded
        return self._tree(given.tag, segments)

    def _division(self, given: "_Items", block: list[Any], encoded: Cell, length: int) -> Sequence[bytes]:
        """The segments of a block: as they were before, if there was such a block."""
        key = (given.kind, given.depth, sha256(encoded.data).digest())
        division = self._known.get(key) or self._new_division(given, block, length)
        self._divisions[key] = division
        self._visits += division.visits
        self._repeated += division.repeated
        self._repeated += sum(division.sizes[each] for each in division.sizes.keys() & self._sizes.keys())
        self._sizes.update(division.sizes)
        return division.segments

    def _new_division(self, given: "_Items", block: list[Any], length: int) -> Division:
        outer = self._sizes, self._visits, self._repeated
        self._start()
        segments = [self._put(self._segment(given, part)) for part in _blocks(block, length)]
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
        alone = Cell(*self._serde.dumps_typed(value))
        return self._map([key], [self.placed(self._divided(value, alone, limit, depth))])

    def _encoded(self, given: "_Items", part: list[Any]) -> Cell:
        return Cell(*self._serde.dumps_typed(part if given.kind is list else dict(part)))

    def _map(self, keys: Sequence[Any], values: Sequence[Cell]) -> Cell:
        data, refs = _packed([Cell(*self._serde.dumps_typed(list(keys))), *values])
        return Cell("m", data, refs)

    # -- trees

    def _joined(self, tag: str, cells: list[Cell]) -> Cell:
        """The tree over some cells; a single one needs none."""
        return cells[0] if len(cells) == 1 else self._tree(tag, [self._put(cell) for cell in cells])

    def _tree(self, tag: str, children: Sequence[bytes]) -> Cell:
        """The root of the tree over two or more cells, given by their addresses."""
        while True:
            groups = list(_groups(children))
            nodes = [Cell(tag, b"", b"".join(group)) for group in groups]
            if len(groups) == 1:
                return nodes[0]
            children = [
                group[0] if len(group) == 1 else self._put(node)
                for group, node in zip(groups, nodes, strict=True)
            ]


class _Items(NamedTuple):
    """What a list or a dict consists of."""

    tag: str
    """That of a tree over parts of it."""
    kind: type
    items: list[Any]
    depth: int
    """Levels that may be divided, this one included."""


def _blocks(items: list[T], length: int) -> Iterator[list[T]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def _segment_length(count: int, size: int) -> int:
    """Items per segment, where `count` of them have `size` bytes; a power of two, as that rarely changes."""
    wanted = _SEGMENT * count // size
    return 1 << wanted.bit_length() if wanted else 1


def _groups(children: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    start = 0
    for place, address in enumerate(children, 1):
        around = children[max(0, place - 1 - _NEIGHBOURHOOD) : place + _NEIGHBOURHOOD]
        ends = address == min(around) or place - start == _FANOUT_LIMIT
        if ends and place - start > 1:
            yield children[start:place]
            start = place
    if start < len(children):
        yield children[start:]


def pack_entries(entries: Iterable[tuple[str, Cell]]) -> Cell:
    """Named cells, of which some may have the same name, as one."""
    names, cells = zip(*entries, strict=True)
    data, refs = _packed(cells)
    return Cell("n", msgpack.packb([names, data]), refs)


def unpack_entries(cell: Cell) -> list[tuple[str, Cell]]:
    """The named cells of `pack_entries`.

    Raises:
        CheckpointDeserializationError: It is something else.
    """
    _expect(cell, "n")
    names, data = msgpack.unpackb(cell.data)
    return list(zip(names, _unpacked(cell._replace(data=data)), strict=True))


def _packed(entries: Sequence[Cell]) -> tuple[bytes, bytes]:
    """Cells side by side: what they hold, and what they refer to."""
    data = [
        (_SHORT_TAGS.get(tag, tag), data, *([len(refs) // ADDRESS_BYTES] if refs else ()))
        for tag, data, refs in entries
    ]
    return msgpack.packb(data), b"".join(cell.refs for cell in entries)


# -- decoding


class CellReader:
    """Turns cells back into values.

    Args:
        serde: The serializer that has encoded them.
        cells: What the cells refer to.
    """

    def __init__(self, serde: SerializerProtocol, cells: Cells) -> None:
        self._serde = serde
        self._cells = cells
        self._visits = self._repeated = 0
        self._seen: set[bytes] = set()

    def value(self, cell: Cell) -> Any:
        """The value of a cell.

        Raises:
            CheckpointDeserializationError: It cannot be read back, or something it refers to is not there.
        """
        self._visits = self._repeated = 0
        self._seen.clear()
        return self._value(cell)

    def mapping(self, cell: Cell) -> dict[Any, Cell]:
        """The entries of a dict, as cells."""
        while cell.tag == "@":
            cell = self._at(cell.refs)
        if cell.tag == "m":
            keys, *values = _unpacked(cell)
            return dict(zip(self._value(keys), values, strict=True))
        _expect(cell, "d+")
        return {
            key: value
            for address in addresses(cell.refs)
            for key, value in self.mapping(self._at(address)).items()
        }

    def record(self, cell: Cell) -> list[Cell]:
        """The items of a list, as cells."""
        _expect(cell, "l")
        return _unpacked(cell)

    def _value(self, cell: Cell) -> Any:
        match cell.tag:
            case "@":
                return self._value(self._at(cell.refs))
            case "l":
                return [self._value(entry) for entry in _unpacked(cell)]
            case "m":
                keys, *values = _unpacked(cell)
                return dict(zip(self._value(keys), map(self._value, values), strict=True))
            case "l+":
                return [item for part in self._parts(cell, list) for item in part]
            case "d+":
                return {key: value for part in self._parts(cell, dict) for key, value in part.items()}
            case _:
                return self._serde.loads_typed((cell.tag, cell.data))

    def _parts(self, cell: Cell, kind: type) -> Iterator[Any]:
        for address in addresses(cell.refs):
            part = self._value(self._at(address))
            if type(part) is not kind:
                raise CheckpointDeserializationError(f"a part of a {kind.__name__} is none")
            yield part

    def _at(self, address: bytes) -> Cell:
        cell = self._cells.get(address)
        if cell is None:
            raise CheckpointDeserializationError(
                f"a part of it, {address.hex()}, is not in the storage any more"
            )
        self._visits += 1
        if address in self._seen:
            self._repeated += len(cell.data)
        self._seen.add(address)
        if self._visits > MAX_VISITS or self._repeated > MAX_REPEATED:
            raise CheckpointDeserializationError("it is larger than anything that is ever stored")
        return cell


def _unpacked(cell: Cell) -> list[Cell]:
    entries, start = [], 0
    for tag, data, *count in msgpack.unpackb(cell.data):
        end = start + sum(count) * ADDRESS_BYTES
        entries.append(Cell(_LONG_TAGS.get(tag, tag), data, cell.refs[start:end]))
        start = end
    return entries


def _expect(cell: Cell, tag: str) -> None:
    if cell.tag != tag:
        raise CheckpointDeserializationError(
            f"a cell of the kind {cell.tag!r:.100} stands where {tag!r} belongs"
        )
