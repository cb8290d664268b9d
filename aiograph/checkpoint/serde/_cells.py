"""Values as trees of cells, so that storing a value again costs what has changed in it.

A cell is what a serializer makes of a value, or a node that puts other cells together. Whoever refers to a
cell names it by its address, which is made of its content: what is equal is stored once, whoever wrote it.
A long list becomes a row of segments, and a large dict one of smaller dicts. The references to them form a
tree whose nodes end where the address of a child says so. So an item that is added, changed or removed,
wherever it stands, leads to a new segment and new nodes above it, and to nothing else. (The same idea is
known as prolly trees, from the database Noms, and as content-defined chunking, from LBFS.)

| tag | the cell stands for |
|---|---|
| `@` | the value of the one cell it refers to |
| `list` | a list with the values of its entries |
| `map` | a dict: its keys, and the values of its entries |
| `list+` | the lists that it refers to, one after the other |
| `dict+` | the dicts that it refers to, one after the other |
| others | a value, as the serializer has encoded it |

Tags and layouts are part of the stored format; they never change their meaning.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import msgpack  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._seal import ADDRESS_BYTES, Seal
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.errors import CheckpointDeserializationError

T = TypeVar("T")

INLINE = 256
"""Bytes up to which a cell stands where it is needed, instead of being referred to."""

_ENTRY_LIMIT = 512
"""Bytes of a dict, and of a value in a dict, from which it is divided."""

_ITEM_LIMIT = 4096
"""Bytes of an item in a list from which it is divided in turn: a message is not, a table is."""

_SEGMENT = 256
"""Bytes that a segment should have at least."""

_BLOCK = 64
"""Items whose segments have the same length."""

_FANOUT_MASK = 15
"""A node ends at a child whose address has these bits clear: about every 16th."""

_FANOUT_LIMIT = 64

_DEPTH = 16
"""Levels of lists and dicts that are divided; what lies deeper is stored whole."""

MAX_VISITS = 1_000_000
"""Cells that a value may consist of, each counted as often as it is referred to."""

MAX_REPEATED = 128 * 1024 * 1024
"""Bytes that a value may have in cells beyond their first occurrence."""


class Cell(NamedTuple):
    """Encoded content."""

    tag: str
    data: bytes
    refs: bytes = b""
    """Addresses of the cells it refers to, one after the other."""


Cells = Mapping[bytes, Cell]
"""Cells by address."""


class Root(NamedTuple):
    """An encoded value."""

    cell: Cell
    reach: frozenset[bytes] = frozenset()
    """Addresses of all cells it leads to."""


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
        found: All cells that are referred to, by address.
    """

    def __init__(self, serde: SerializerProtocol, seal: Seal) -> None:
        self._serde = serde
        self._address = seal.address
        self.found: dict[bytes, Cell] = {}
        self._visits = self._repeated = 0

    def root(self, value: Any) -> Root:
        """A value, with the cells it leads to added to `found`.

        Raises:
            CheckpointSerializationError: The value cannot be stored.
        """
        cell = Cell(*self._serde.dumps_typed(value))
        if len(cell.data) <= INLINE:
            return Root(cell)
        self._visits = self._repeated = 0
        root = self._tracked(lambda: self._divided(value, cell, _ENTRY_LIMIT, _DEPTH))
        if self._visits > MAX_VISITS or self._repeated > MAX_REPEATED:
            root = self._tracked(lambda: cell)
        return root

    def mapping(self, values: Mapping[str, Root]) -> Root:
        """A dict whose values are encoded already; the cells they lead to are not counted as its own."""
        return self._tracked(lambda: self._mapping(values))

    def _mapping(self, values: Mapping[str, Root]) -> Cell:
        maps = [
            self._map(block, [values[name].cell for name in block]) for block in _blocks(list(values), _BLOCK)
        ]
        return self._joined("dict+", maps or [self._map([], [])])

    def _tracked(self, make: Callable[[], Cell]) -> Root:
        """What `make` makes, placed, with the cells that were put on the way."""
        outer, self.found = self.found, {}
        cell = self.placed(make())
        reach = frozenset(self.found)
        self.found.update(outer)
        return Root(cell, reach)

    def record(self, parts: Sequence[Cell]) -> Cell:
        """The cell of a list whose items are encoded already."""
        return Cell("list", *_packed(parts))

    def placed(self, cell: Cell) -> Cell:
        """The cell itself if it is small, else one that refers to it."""
        if len(cell.data) + len(cell.refs) <= INLINE:
            return cell
        return Cell("@", b"", self._put(cell))

    def _put(self, cell: Cell) -> bytes:
        address = self._address(*cell)
        self._visits += 1
        if address in self.found:
            self._repeated += len(cell.data)
        else:
            self.found[address] = cell
        return address

    def _divided(self, value: Any, whole: Cell, limit: int, depth: int) -> Cell:
        """A value in several cells where that pays; `whole` is it in one."""
        if len(whole.data) <= limit or depth == 0:
            return whole
        if type(value) is list:
            return self._divided_list(value, whole, depth)
        if type(value) is dict:
            return self._divided_dict(value, whole, depth)
        return whole

    def _divided_list(self, items: list[Any], whole: Cell, depth: int) -> Cell:
        def single(block: list[Any], whole: Cell) -> Cell:
            inner = self._divided(block[0], whole, _ITEM_LIMIT, depth - 1)
            return whole if inner is whole else self.record([self.placed(inner)])

        return self._joined("list+", self._segments(items, whole, list, single))

    def _divided_dict(self, entries: dict[Any, Any], whole: Cell, depth: int) -> Cell:
        def single(block: list[Any], whole: Cell) -> Cell:
            ((key, value),) = block
            inner = self._divided(value, whole, _ENTRY_LIMIT, depth - 1)
            return whole if inner is whole else self._map([key], [self.placed(inner)])

        return self._joined("dict+", self._segments(list(entries.items()), whole, dict, single))

    def _segments(
        self,
        items: list[Any],
        whole: Cell,
        make: Callable[[list[Any]], Any],
        single: Callable[[list[Any], Cell], Cell],
    ) -> list[Cell]:
        """The cells of consecutive items, few enough in each; `single` makes that of an item by itself."""
        if len(items) == 1:
            return [single(items, whole)]
        segments: list[Cell] = []
        for block in _blocks(items, _BLOCK):
            encoded = Cell(*self._serde.dumps_typed(make(block)))
            length = _segment_length(len(block), len(encoded.data))
            if length >= len(block) > 1:
                segments.append(encoded)
                continue
            for part in _blocks(block, length):
                cell = Cell(*self._serde.dumps_typed(make(part)))
                segments.append(single(part, cell) if len(part) == 1 else cell)
        return segments

    def _map(self, keys: Sequence[Any], values: Sequence[Cell]) -> Cell:
        data, refs = _packed([Cell(*self._serde.dumps_typed(list(keys))), *values])
        return Cell("map", data, refs)

    def _joined(self, tag: str, cells: list[Cell]) -> Cell:
        """The tree over some cells."""
        while len(cells) > 1:
            placed = [(self._put(cell), cell) for cell in cells]
            cells = [
                group[0][1] if len(group) == 1 else Cell(tag, b"", b"".join(address for address, _ in group))
                for group in _groups(placed)
            ]
        return cells[0]


def _blocks(items: list[T], length: int) -> Iterator[list[T]]:
    return (items[start : start + length] for start in range(0, len(items), length))


def _segment_length(count: int, size: int) -> int:
    """Items per segment, where `count` of them have `size` bytes; a power of two, as that rarely changes."""
    wanted = _SEGMENT * count // size
    return 1 << wanted.bit_length() if wanted else 1


def _groups(placed: Iterable[tuple[bytes, Cell]]) -> Iterator[list[tuple[bytes, Cell]]]:
    group: list[tuple[bytes, Cell]] = []
    for address, cell in placed:
        group.append((address, cell))
        ends = not address[0] & _FANOUT_MASK or len(group) == _FANOUT_LIMIT
        if ends and len(group) > 1:
            yield group
            group = []
    if group:
        yield group


def _packed(entries: Sequence[Cell]) -> tuple[bytes, bytes]:
    """Cells side by side: what they hold, and what they refer to."""
    data = [(tag, data, len(refs) // ADDRESS_BYTES) for tag, data, refs in entries]
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

    def mapping(self, cell: Cell) -> dict[str, Cell]:
        """The entries of a dict, as cells."""
        while cell.tag == "@":
            cell = self._at(cell.refs)
        if cell.tag == "map":
            keys, *values = _unpacked(cell)
            return dict(zip(self._value(keys), values, strict=True))
        _expect(cell, "dict+")
        return {
            key: value
            for address in addresses(cell.refs)
            for key, value in self.mapping(self._at(address)).items()
        }

    def record(self, cell: Cell) -> list[Cell]:
        """The items of a list, as cells."""
        _expect(cell, "list")
        return _unpacked(cell)

    def _value(self, cell: Cell) -> Any:
        match cell.tag:
            case "@":
                return self._value(self._at(cell.refs))
            case "list":
                return [self._value(entry) for entry in _unpacked(cell)]
            case "map":
                keys, *values = _unpacked(cell)
                return dict(zip(self._value(keys), map(self._value, values), strict=True))
            case "list+":
                return [item for part in self._parts(cell, list) for item in part]
            case "dict+":
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
    for tag, data, count in msgpack.unpackb(cell.data):
        end = start + count * ADDRESS_BYTES
        entries.append(Cell(tag, data, cell.refs[start:end]))
        start = end
    return entries


def _expect(cell: Cell, tag: str) -> None:
    if cell.tag != tag:
        raise CheckpointDeserializationError(
            f"a cell of the kind {cell.tag!r:.100} stands where {tag!r} belongs"
        )
