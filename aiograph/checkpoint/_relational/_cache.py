"""The cells of threads that were used last, so that the next run on one of them need not fetch its values.

What is kept can never be outdated, as cells are named by their content: which ones a checkpoint is made of
is asked of the database each time.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping

from aiograph.checkpoint.serde._cells import Cell, Cells, reach

Line = tuple[str, str]
"""Thread and namespace."""


class CellCache:
    """The cells of the newest checkpoints of some threads.

    Args:
        size: How many namespaces of threads to remember; those that were not used for longest are forgotten.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._lines: OrderedDict[Line, Cells] = OrderedDict()
        self._lock = threading.Lock()

    def __bool__(self) -> bool:
        return self._size > 0

    def cells(self, line: Line) -> Cells:
        """What is known of a namespace."""
        with self._lock:
            if line in self._lines:
                self._lines.move_to_end(line)
            return self._lines.get(line, {})

    def remember(self, line: Line, cells: Cells) -> None:
        """Keeps the cells of the newest checkpoint of a namespace, and forgets older ones."""
        with self._lock:
            self._lines[line] = cells
            self._lines.move_to_end(line)
            while len(self._lines) > self._size:
                self._lines.popitem(last=False)

    def follow(self, line: Line, new: Mapping[bytes, Cell], reached: Iterable[bytes]) -> None:
        """Keeps up with a checkpoint that was stored: `new` cells, and which ones it leads to."""
        old = self.cells(line)
        known = {address: new.get(address) or old.get(address) for address in reached}
        self.remember(line, {address: cell for address, cell in known.items() if cell is not None})


def needed(roots: Iterable[Cell], cells: Cells) -> Cells | None:
    """The cells that some lead to; `None` if one of them is not there."""
    addresses = reach(roots, cells)
    if not all(address in cells for address in addresses):
        return None
    return {address: cells[address] for address in addresses}
