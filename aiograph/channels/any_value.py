"""`AnyValue`: for writers that are known to agree."""

from collections.abc import Sequence

from aiograph.channels._value import ValueChannel
from aiograph.channels.base import Value

__all__ = ["AnyValue"]


class AnyValue(ValueChannel[Value, Value]):
    """Takes several writes per superstep on the understanding that they are equal; lasts one superstep.

    They are not compared. Should they differ, the last in task order stays.
    """

    __slots__ = ()

    transient = True
    replaces = True

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            return self._clear()
        self.value = values[-1]
        return True
