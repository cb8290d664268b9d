"""`BinaryOperatorAggregate`: the channel behind `Annotated[T, reducer]`."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from aiograph.channels._reducing import ReducingChannel
from aiograph.channels.base import MISSING, Missing, Value

__all__ = ["BinaryOperatorAggregate"]


class BinaryOperatorAggregate(ReducingChannel[Value, Value]):
    """Folds writes into the value, one by one, in task order: `value = op(value, write)`.

    It starts from `typ()`, and `op` gets that as its first left side; if the type cannot be made from
    nothing, the channel starts empty and the first write is the value. What `op` raises is raised as it
    is, and none of the superstep's writes are taken. `op` must not change its arguments.

    If `op` has an attribute `prepare_write`, that is a function of one write. In state graphs it is called
    with what a node writes, once, before anybody sees it, and what it returns is written.
    """

    __slots__ = ("op",)

    def __init__(self, typ: type[Value], op: Callable[[Value, Value], Value], key: str = "") -> None:
        super().__init__(typ, key)
        self.op = op

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        new.blank = self.blank
        new.op = self.op
        return new

    def _spec(self) -> tuple[Any, ...]:
        return (self.typ, self.op)

    def _reduced(self, current: Value | Missing, writes: Sequence[Value]) -> Value:
        folded, rest = (writes[0], writes[1:]) if current is MISSING else (current, writes)
        op = self.op
        for write in rest:
            folded = op(folded, write)
        return folded
