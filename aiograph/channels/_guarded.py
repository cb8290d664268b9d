"""What the channels share whose `guard` decides whether several writes in a superstep are an error."""

from collections.abc import Sequence
from typing import Any, Self

from aiograph.channels._value import ValueChannel
from aiograph.channels.base import Value


class GuardedChannel(ValueChannel[Value, Value]):
    """Keeps the last value written; with `guard`, takes one write per superstep."""

    __slots__ = ("guard",)

    def __init__(self, typ: type[Value], guard: bool = True, key: str = "") -> None:
        super().__init__(typ, key)
        self.guard = guard

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        new.guard = self.guard
        return new

    def _spec(self) -> tuple[Any, ...]:
        return (self.typ, self.guard)

    def _take(self, values: Sequence[Value]) -> bool:
        if self.guard and len(values) > 1:
            raise self._contradicted(
                f"takes one value per superstep and got {len(values)}; "
                f"with {type(self).__name__}(..., guard=False) the last one stays"
            )
        self.value = values[-1]
        return True
