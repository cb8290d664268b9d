"""Cells between rows and values: each is sealed to the place where it is stored.

What a row holds is bound to the lineage of its thread, which copies of the thread inherit, and to its place
in there. So with a seal that encrypts, a row that was moved, exchanged or made up does not open.
"""

from collections.abc import Iterator, Mapping, Sequence

from aiograph._sql.session import Row
from aiograph.checkpoint._relational._cache import Known
from aiograph.checkpoint.serde._cells import Cell, Cells
from aiograph.checkpoint.serde._seal import PLAIN, Seal
from aiograph.errors import CheckpointDeserializationError

StoredCell = tuple[str, bytes, bytes]
"""Type tag, references and data, as they stand in a row."""


class Sealer:
    """Closes and opens the cells of one thread.

    Args:
        seal: What closes and opens.
        lineage: The lineage of the thread.
    """

    __slots__ = ("_seal", "binds", "lineage")

    def __init__(self, seal: Seal, lineage: str) -> None:
        self._seal = seal
        self.lineage = lineage
        self.binds = seal is not PLAIN

    def close(self, cell: Cell, *place: str) -> StoredCell:
        """A cell as it goes into the row at a place."""
        tag, data = self._seal.close(cell.tag, cell.data, self._bound(cell.refs, place))
        return tag, cell.refs, data

    def open(self, stored: StoredCell, *place: str) -> Cell:
        """The cell of a row.

        Raises:
            CheckpointDeserializationError: It was not closed for this place, or is damaged.
        """
        tag, refs, data = stored
        return Cell(*self._seal.open(tag, data, self._bound(refs, place)), refs)

    def open_at(self, address: bytes, tag: str, refs: bytes, data: bytes) -> Cell:
        """The cell that is stored under an address.

        Raises:
            CheckpointDeserializationError: It is another one, or damaged.
        """
        tag, data = self._seal.open(tag, data, self._bound(refs, ()))
        if self._seal.address(tag, data, refs) != address:
            raise CheckpointDeserializationError(f"the part {address.hex()} is damaged")
        return Cell(tag, data, refs)

    def _bound(self, refs: bytes, place: tuple[str, ...]) -> bytes:
        if not self.binds:
            return b""
        parts = [self.lineage.encode(), refs, *(part.encode() for part in place)]
        return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


class SealedCells(Mapping[bytes, Cell]):
    """The cells of a thread by address, each opened when it is asked for.

    Args:
        sealer: What opens them.
        rows: Address, type tag, references and data of each.
        known: Those that need not be opened, beside these.
    """

    def __init__(self, sealer: Sealer, rows: Sequence[Row], known: Known) -> None:
        self.known = known
        self._open_at = sealer.open_at
        self._closed = {row[0]: row for row in rows}
        self._opened: dict[bytes, Cell] = {}
        self.size = sum([len(row[3]) for row in rows if isinstance(row[3], bytes)])
        """Bytes as they are stored. What is no bytes is refused when it is opened."""

    @property
    def opened(self) -> Cells:
        """What the rows hold, if all of them have been opened by now; else nothing."""
        return self._opened if len(self._opened) == len(self._closed) else {}

    def __getitem__(self, address: bytes) -> Cell:
        cell = self._opened.get(address)
        if cell is None:
            row = self._closed.get(address)
            if row is None:
                return self.known.cells[address]
            cell = self._opened[address] = self._open_at(*row)
        return cell

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._closed.keys() | self.known.cells.keys())

    def __len__(self) -> int:
        return len(self._closed.keys() | self.known.cells.keys())
