"""`UntrackedValue`: for what cannot or must not be stored."""

from collections.abc import Sequence
from typing import Self

from aiograph.channels._guarded import GuardedChannel
from aiograph.channels.base import MISSING, Missing, Value

__all__ = ["UntrackedValue"]


class UntrackedValue(GuardedChannel[Value]):
    """Keeps the last value written for the length of the run and is never stored.

    A run that goes on from a checkpoint finds it empty. With `guard` (the default) it takes one write
    per superstep; without, the last in task order stays.
    """

    __slots__ = ()

    persistent = False
    replaces = True

    def checkpoint(self) -> Missing:
        return MISSING

    def from_checkpoint(self, checkpoint: Value | Missing) -> Self:
        new = self.copy()
        new.value = MISSING
        return new

    def update(self, values: Sequence[Value]) -> bool:
        return self._take(values) if values else False
