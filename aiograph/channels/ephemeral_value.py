"""`EphemeralValue`: for what concerns the next superstep only."""

from collections.abc import Sequence

from aiograph.channels._guarded import GuardedChannel
from aiograph.channels.base import Value

__all__ = ["EphemeralValue"]


class EphemeralValue(GuardedChannel[Value]):
    """Keeps what was written for one superstep; the next that does not write it empties it.

    With `guard` (the default) it takes one write per superstep; without, the last in task order stays.
    """

    __slots__ = ()

    transient = True
    replaces = True

    def update(self, values: Sequence[Value]) -> bool:
        return self._take(values) if values else self._clear()
