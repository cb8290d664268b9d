"""Channels that keep the last value written: `LastValue`, and its form for deferred nodes."""

from collections.abc import Sequence
from typing import Self

from aiograph.channels._value import ValueChannel
from aiograph.channels.base import MISSING, BaseChannel, Missing, Value

__all__ = ["LastValue", "LastValueAfterFinish"]


class LastValue(ValueChannel[Value, Value]):
    """Keeps the last value written; takes one write per superstep. What a key without annotation gets."""

    __slots__ = ()

    replaces = True

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            return False
        if len(values) > 1:
            raise self._contradicted(
                f"takes one value per superstep and got {len(values)}; to combine them, give the key "
                "a reducer, such as Annotated[list, operator.add]"
            )
        self.value = values[0]
        return True


class LastValueAfterFinish(BaseChannel[Value, Value, tuple[Value, bool]]):
    """Keeps the last value written and shows it once nothing else would run; emptied when consumed.

    Several writes in one superstep are fine: the last in task order stays.
    """

    __slots__ = ("finished", "value")

    def __init__(self, typ: type[Value], key: str = "") -> None:
        super().__init__(typ, key)
        self.value: Value | Missing = MISSING
        self.finished = False

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        new.finished = self.finished
        return new

    def checkpoint(self) -> tuple[Value, bool] | Missing:
        return MISSING if self.value is MISSING else (self.value, self.finished)

    def from_checkpoint(self, checkpoint: tuple[Value, bool] | Missing) -> Self:
        new = self.copy()
        new.value, new.finished = (MISSING, False) if checkpoint is MISSING else checkpoint
        return new

    def get(self) -> Value:
        if self.value is MISSING:
            raise self._empty()
        if not self.finished:
            raise self._empty("its value is held back until nothing else would run")
        return self.value

    def is_available(self) -> bool:
        return self.finished

    def update(self, values: Sequence[Value]) -> bool:
        if not values:
            return False
        self.value = values[-1]
        self.finished = False
        return True

    def consume(self) -> bool:
        if not self.finished:
            return False
        self.value = MISSING
        self.finished = False
        return True

    def finish(self) -> bool:
        if self.finished or self.value is MISSING:
            return False
        self.finished = True
        return True
