"""What the threads used last have in large values, so that the next run can go on from there.

That is how they were divided, and of values without messages also what is in them: then these need not be put
together from their cells. A checkpoint never changes, so what is remembered of one holds for as long as that
is the one that is read.
"""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, NamedTuple

from aiograph._forking import lock_for_all
from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell

KEPT_BYTES = 16 * 2**20
"""What a saver keeps of what is in values, unless it is told otherwise."""

_LINES = 128
"""Namespaces of threads that are remembered; for each item of a list, some hundred bytes."""


_lock = lock_for_all()
"""Held while something is remembered or forgotten."""


class _Memo(NamedTuple):
    checkpoint_id: str
    roots: Mapping[str, Root]
    size: int
    """Bytes of what is in the values."""


class Memos:
    """What is remembered, by thread and namespace.

    Args:
        limit: How many bytes to keep of what is in values.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lines: OrderedDict[tuple[str, str], _Memo] = OrderedDict()
        self._size = 0

    def note(self, line: tuple[str, str], checkpoint_id: str, values: Mapping[str, Root]) -> None:
        """Remembers the values of a checkpoint that were worth dividing, if any were."""
        roots, size = {}, 0
        for name, root in values.items():
            if root.tells_all and size + root.size <= self._limit:
                roots[name] = root
                size += root.size
            elif root.divisions or root.blocks:
                roots[name] = root._replace(snapshots={})
        if not roots:
            return
        with _lock:
            self._drop(line)
            self._lines[line] = _Memo(checkpoint_id, roots, size)
            self._size += size
            while self._size > self._limit or len(self._lines) > _LINES:
                self._drop(next(iter(self._lines)))

    def _drop(self, line: tuple[str, str]) -> None:
        if line in self._lines:
            self._size -= self._lines.pop(line).size

    def forget(self, thread_id: str) -> None:
        """Remembers nothing of a thread."""
        with _lock:
            for line in [line for line in self._lines if line[0] == thread_id]:
                self._drop(line)

    def root(self, line: tuple[str, str], checkpoint_id: str, name: str, cell: Cell) -> Root | None:
        """A value of a checkpoint, if it is remembered."""
        memo = self._lines.get(line)
        if memo is None or memo.checkpoint_id != checkpoint_id:
            return None
        root = memo.roots.get(name)
        return root if root is not None and root.cell == cell else None

    def value(
        self, line: tuple[str, str], checkpoint_id: str, name: str, cell: Cell
    ) -> tuple[Any, frozenset[bytes]] | None:
        """A value of a checkpoint, and the addresses of the cells that it leads to, if that is remembered."""
        root = self.root(line, checkpoint_id, name, cell)
        return None if root is None or not root.snapshots else (root.value(), root.reach)
