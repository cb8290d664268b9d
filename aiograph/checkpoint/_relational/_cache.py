"""The cells of threads that were used last, so that the next read of one need not fetch its values.

What is kept can never be outdated, as cells are named by their content: which ones a checkpoint is made of
is asked of the database each time.
"""

from collections import OrderedDict
from typing import NamedTuple

from aiograph._forking import lock_for_all
from aiograph.checkpoint.serde._cells import Cell, Cells

CACHED_BYTES = 32 * 2**20
"""What a saver keeps unless it is told otherwise."""

_BYTES_OF_A_CELL = 256
"""What a cell takes in memory besides what it holds, about."""

_ROOM = 65_536
"""Bytes of cells that a namespace may keep beyond twice what it needs, before it is gone through."""

_lock = lock_for_all()
"""Held while a cache is looked into or changed."""

Line = tuple[str, str]
"""Thread and namespace."""


class Known(NamedTuple):
    """What is known of a namespace."""

    cells: Cells
    """Some may be added to these, but none removed."""
    whole: frozenset[bytes]
    """Addresses of cells that are there with all that they lead to."""
    size: int
    """Bytes that the cells hold."""


NOTHING = Known({}, frozenset(), 0)


class CellCache:
    """The cells of some checkpoints per thread, mostly the newest one.

    Args:
        limit: How many bytes to keep; the namespaces that were not used for longest are forgotten.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: OrderedDict[Line, _Line] = OrderedDict()
        self._size = 0

    def known(self, line: Line) -> Known:
        """What is known of a namespace."""
        with _lock:
            kept = self._lines.get(line)
            if kept is None:
                return NOTHING
            self._lines.move_to_end(line)
            return Known(kept.cells, kept.whole, kept.size - _BYTES_OF_A_CELL * len(kept.cells))

    def learn(self, line: Line, known: Known, cells: Cells) -> None:
        """Keeps what a read has brought: cells that lead to each other, and to what was known before."""
        if not self._limit or not cells:
            return
        with _lock:
            kept = self._lines.get(line)
            if known.whole is not (NOTHING if kept is None else kept).whole:
                return  # it has changed meanwhile
            kept = self._taken(line)
            kept.add(cells)
            kept.whole = kept.whole.union(cells)
            if known is NOTHING:
                kept.settle()
            if not kept.is_full:  # else the next read finds out how much of it is needed
                self._keep(line, kept)

    def follow(self, line: Line, new: Cells, reached: frozenset[bytes]) -> None:
        """Keeps up with a checkpoint that was stored: cells that are new, and all that it leads to."""
        if not self._limit:
            return
        with _lock:
            kept = self._taken(line)
            kept.add({address: cell for address, cell in new.items() if address in reached})
            if not reached or reached.difference(kept.cells):
                return  # it has none, or some that are not kept any more
            kept.whole = reached
            if kept.is_full or kept.size > self._limit:
                kept.settle()
            self._keep(line, kept)

    def forget(self, thread_id: str) -> None:
        """Keeps nothing of a thread."""
        with _lock:
            for line in [line for line in self._lines if line[0] == thread_id]:
                self._taken(line)

    def _taken(self, line: Line) -> "_Line":
        """What is kept of a namespace, taken out."""
        kept = self._lines.pop(line, None)
        if kept is None:
            return _Line()
        self._size -= kept.size
        return kept

    def _keep(self, line: Line, kept: "_Line") -> None:
        if kept.size > self._limit:
            return  # nor is anything else given up for it
        self._lines[line] = kept
        self._size += kept.size
        while self._size > self._limit:
            self._size -= self._lines.popitem(last=False)[1].size


class _Line:
    """What is kept of a namespace; see `Known`."""

    __slots__ = ("_needed", "cells", "size", "whole")

    def __init__(self) -> None:
        self.cells: dict[bytes, Cell] = {}
        self.whole = NOTHING.whole
        self.size = 0
        self._needed = 0
        """Bytes in cells that were needed when that was found out last."""

    @property
    def is_full(self) -> bool:
        """Whether it is worth finding out what of it is needed."""
        return self.size > 2 * self._needed + _ROOM

    def add(self, cells: Cells) -> None:
        """Keeps some cells as well."""
        more = {address: cell for address, cell in cells.items() if address not in self.cells}
        self.cells.update(more)
        self.size += _size_of(more)

    def settle(self) -> None:
        """Keeps what is needed, and nothing else."""
        self.cells = {address: self.cells[address] for address in self.whole}
        self.size = self._needed = _size_of(self.cells)


def _size_of(cells: Cells) -> int:
    return sum(_BYTES_OF_A_CELL + len(cell.data) + len(cell.refs) for cell in cells.values())
