"""How the large values of the threads used last were divided, so that the next run can go on from there.

A checkpoint never changes, so what is remembered of one holds for as long as that is the one that is read.
"""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import NamedTuple

from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell

_LINES = 128
"""Namespaces of threads that are remembered; for each item of a list, some hundred bytes."""


class _Memo(NamedTuple):
    checkpoint_id: str
    roots: Mapping[str, Root]


class Memos:
    """What is remembered, by thread and namespace."""

    def __init__(self) -> None:
        self._lines: OrderedDict[tuple[str, str], _Memo] = OrderedDict()
        self._lock = threading.Lock()

    def note(self, line: tuple[str, str], checkpoint_id: str, values: Mapping[str, Root]) -> None:
        """Remembers the values of a checkpoint that were worth dividing, if any were."""
        roots = {
            name: root._replace(snapshots={})
            for name, root in values.items()
            if root.divisions or root.blocks
        }
        if not roots:
            return
        with self._lock:
            self._lines[line] = _Memo(checkpoint_id, roots)
            self._lines.move_to_end(line)
            while len(self._lines) > _LINES:
                self._lines.popitem(last=False)

    def root(self, line: tuple[str, str], checkpoint_id: str, name: str, cell: Cell) -> Root | None:
        """A value of a checkpoint, if it is remembered."""
        memo = self._lines.get(line)
        if memo is None or memo.checkpoint_id != checkpoint_id:
            return None
        root = memo.roots.get(name)
        return root if root is not None and root.cell == cell else None
