"""`DeltaChannel`: a reducer that gets a superstep's writes as one batch."""

from collections.abc import Callable, Sequence
from typing import Any, Self

from aiograph.channels._reducing import ReducingChannel
from aiograph.channels.base import MISSING, Missing, Update, Value

__all__ = ["DeltaChannel"]


class DeltaChannel(ReducingChannel[Value, Update]):
    """Reduces all writes of a superstep at once: `value = reducer(value, [write, ...])`.

    Its checkpoint is the value itself, as savers store of a growing value only what it has grown by.

    The first superstep's `reducer` gets `typ()`, or `None` where the type cannot be made from nothing.
    What it raises is raised as it is, and none of the superstep's writes are taken. It must not change
    its arguments.

    Args:
        reducer: Combines a value and the writes of one superstep, which are in task order.
        typ: Type of the value; taken from the annotation where there is one, a list otherwise.
        snapshot_frequency: Has no effect; accepted so that code written for other savers runs.
        key: The state key.
    """

    __slots__ = ("reducer",)

    def __init__(
        self,
        reducer: Callable[[Any, list[Update]], Value],
        typ: Any = None,
        *,
        snapshot_frequency: int = 100,
        key: str = "",
    ) -> None:
        super().__init__(typ, key)
        self.reducer = reducer

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        new.blank = self.blank
        new.reducer = self.reducer
        return new

    def _spec(self) -> tuple[Any, ...]:
        return (self.typ, self.reducer)

    def _reduced(self, current: Value | Missing, writes: Sequence[Update]) -> Value:
        return self.reducer(None if current is MISSING else current, list(writes))

    def _blank(self) -> Callable[[], Value] | None:
        return super()._blank() if self.typ is not None else list  # type: ignore[return-value]  # no type, no check
