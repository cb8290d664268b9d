"""What the channels share that hold one value, or none."""

from typing import Self

from aiograph.channels.base import MISSING, BaseChannel, Missing, Update, Value


class ValueChannel(BaseChannel[Value, Update, Value]):
    """Holds one value in `value`, which is all that is stored. Subclasses say how it is updated."""

    __slots__ = ("value",)

    value: Value | Missing

    def __init__(self, typ: type[Value], key: str = "") -> None:
        super().__init__(typ, key)
        self.value = MISSING

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        return new

    def checkpoint(self) -> Value | Missing:
        return self.value

    def from_checkpoint(self, checkpoint: Value | Missing) -> Self:
        new = self.copy()
        new.value = checkpoint
        return new

    def get(self) -> Value:
        if self.value is MISSING:
            raise self._empty()
        return self.value

    def is_available(self) -> bool:
        return self.value is not MISSING

    def _clear(self) -> bool:
        if self.value is MISSING:
            return False
        self.value = MISSING
        return True
