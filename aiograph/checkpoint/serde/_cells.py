"""Values as trees of cells, so that storing a value again costs what has changed in it.

A cell is what a serializer makes of a value, or a node that puts other cells together. Whoever refers to a
cell names it by its address, which is made of its content: what is equal is stored once, whoever wrote it.
A long list becomes a row of segments, and a large dict one of smaller dicts. The references to them form a
tree whose nodes end where the address of a leaf says so. So an item that is appended or changed leads to a
new segment and new nodes above it, and to nothing else. So does one that is inserted or removed, if the items
are large enough to have segments of their own; smaller ones share them by the dozen, and those that follow
move to other segments, which are stored again. (The same idea is known as prolly trees, from the database
Noms, and as content-defined chunking, from LBFS.)

| tag | the cell stands for |
|---|---|
| `@` | the value of the one cell it refers to |
| `1` | the only item of the list it refers to |
| `l` | a list with the values of its entries |
| `m` | a dict: its keys, and the values of its entries |
| `l+` | the lists that it refers to, one after the other |
| `d+` | the dicts that it refers to, one after the other |
| `n` | no value: cells side by side, each with a name |
| others | a value, as the serializer has encoded it |

Tags and layouts are part of the stored format; they never change their meaning.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, groupby
from operator import attrgetter
from struct import Struct
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._seal import ADDRESS_BYTES
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError

_SHORT_TAGS: Mapping[str, int] = {
    "msgpack": 0,
    "msgpack-rich": 1,
    "null": 2,
    "bytes": 3,
    "@": 4,
    "l+": 5,
    "d+": 6,
}
"""How frequent tags are written where cells stand side by side."""

_LONG_TAGS: Mapping[Any, str] = {short: tag for tag, short in _SHORT_TAGS.items()}

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


def addresses(refs: bytes) -> list[bytes]:
    """The addresses that a cell refers to; what is left over of damaged ones counts as one more."""
    if len(refs) % ADDRESS_BYTES:
        return [refs[start : start + ADDRESS_BYTES] for start in range(0, len(refs), ADDRESS_BYTES)]
    return [address for (address,) in _ADDRESS.iter_unpack(refs)]


_ADDRESS = Struct(f"{ADDRESS_BYTES}s")


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


# -- cells side by side


def pack_entries(entries: Iterable[tuple[str | int, Cell]]) -> Cell:
    """Named or numbered cells, of which some may have the same name, as one."""
    names, cells = zip(*entries, strict=True)
    data, refs = packed(cells)
    return Cell("n", msgpack.packb([names, data]), refs)


def unpack_entries(cell: Cell) -> list[tuple[str | int, Cell]]:
    """The cells of `pack_entries`.

    Raises:
        CheckpointDeserializationError: It is something else.
    """
    _expect(cell, "n")
    names, data = msgpack.unpackb(cell.data)
    return list(zip(names, _unpacked(cell._replace(data=data)), strict=True))


def packed(entries: Sequence[Cell]) -> tuple[bytes, bytes]:
    """Cells side by side: what they hold, and what they refer to."""
    short = _SHORT_TAGS.get
    parts = [
        (short(tag, tag), data, len(refs) // ADDRESS_BYTES) if refs else (short(tag, tag), data)
        for tag, data, refs in entries
    ]
    return msgpack.packb(parts), b"".join([refs for _, _, refs in entries])


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


# -- reading


_tag_of = attrgetter("tag")


class CellReader:
    """Turns cells back into values.

    Args:
        serde: The serializer that has encoded them. If it is ours, many small values are read in one piece.
        cells: What the cells refer to.
    """

    def __init__(self, serde: SerializerProtocol, cells: Cells) -> None:
        self._serde = serde
        self._loads = serde.loads_many if type(serde) is JsonPlusSerializer else self._loads_each
        self._cells = cells
        self._visits = self._repeated = 0
        self._seen: set[bytes] = set()
        self._nodes = {
            "@": lambda cell: self._value(self._at(cell.refs)),
            "1": self._only_item,
            "l": self._record,
            "m": self._map,
            "l+": self._list,
            "d+": self._dict,
        }

    @property
    def reached(self) -> frozenset[bytes]:
        """The addresses of all cells that the last value has led to."""
        return frozenset(self._seen)

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
        cell = self._followed(cell)
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
        cell = self._followed(cell)
        _expect(cell, "l")
        return _unpacked(cell)

    def _followed(self, cell: Cell) -> Cell:
        while cell.tag == "@":
            cell = self._at(cell.refs)
        return cell

    def _value(self, cell: Cell) -> Any:
        build = self._nodes.get(cell.tag)
        return self._serde.loads_typed(cell[:2]) if build is None else build(cell)

    def _loads_each(self, tag: str, blobs: Sequence[bytes]) -> list[Any]:
        return [self._serde.loads_typed((tag, blob)) for blob in blobs]

    def _only_item(self, cell: Cell) -> Any:
        items = self._value(self._at(cell.refs))
        if type(items) is not list or len(items) != 1:
            raise CheckpointDeserializationError("what should be a list of one item is something else")
        return items[0]

    def _record(self, cell: Cell) -> list[Any]:
        return [self._value(entry) for entry in _unpacked(cell)]

    def _map(self, cell: Cell) -> dict[Any, Any]:
        keys, *values = _unpacked(cell)
        return dict(zip(self._value(keys), map(self._value, values), strict=True))

    def _list(self, cell: Cell) -> list[Any]:
        return list(chain.from_iterable(self._parts(cell, list)))

    def _dict(self, cell: Cell) -> dict[Any, Any]:
        entries: dict[Any, Any] = {}
        for part in self._parts(cell, dict):
            entries.update(part)
        return entries

    def _parts(self, cell: Cell, kind: type) -> list[Any]:
        """The values of the leaves of a tree, which have to be of one type."""
        parts: list[Any] = []
        for tag, leaves in groupby(self._leaves(cell), _tag_of):
            if tag in self._nodes:
                parts += map(self._value, leaves)
            else:
                parts += self._loads(tag, [leaf.data for leaf in leaves])
        if not {kind}.issuperset(map(type, parts)):
            raise CheckpointDeserializationError(f"a part of a {kind.__name__} is none")
        return parts

    def _leaves(self, cell: Cell) -> Sequence[Cell]:
        """The cells below the nodes of a tree, in order."""
        level: Sequence[Cell] = [cell]
        tag = cell.tag
        while tag in (tags := set(map(_tag_of, level))):
            if len(tags) == 1:
                level = self._below(level)
            else:
                level = [
                    below
                    for each, cells in groupby(level, _tag_of)
                    for below in (self._below(cells) if each == tag else cells)
                ]
        return level

    def _below(self, nodes: Iterable[Cell]) -> Sequence[Cell]:
        """The children of some nodes, in order."""
        children = addresses(b"".join(node.refs for node in nodes))
        new = set(children)
        if len(new) < len(children) or not new.isdisjoint(self._seen):
            return list(map(self._at, children))
        try:
            found = list(map(self._cells.__getitem__, children))
        except KeyError:
            return list(map(self._at, children))  # which tells what is not there
        self._seen |= new  # what does not come twice is no more than there is: it need not be bounded
        return found

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
