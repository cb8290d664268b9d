"""`Topic`: a list that tasks publish to."""

from collections.abc import Callable, Sequence
from typing import Any, Self, Union

from aiograph.channels._reducing import ReducingChannel
from aiograph.channels.base import MISSING, Missing, Value

__all__ = ["Topic"]


class Topic(ReducingChannel[list[Value], Value | list[Value]]):
    """Collects elements in task order; a written list adds its elements, one level deep.

    With `accumulate` it keeps them all and starts as an empty list. Without, it holds what the last
    superstep published, and no value if that was nothing. A list that `get` returned never changes.
    An `Overwrite` takes the place of everything collected.
    """

    __slots__ = ("accumulate", "transient")

    def __init__(self, typ: type[Value], accumulate: bool = False, key: str = "") -> None:
        self.accumulate = accumulate
        self.transient = not accumulate
        super().__init__(typ, key)

    @property
    def ValueType(self) -> Any:
        return Sequence[self.typ]  # type: ignore[name-defined]  # a type made at run time

    @property
    def UpdateType(self) -> Any:
        # not with a bar, as typ may be a string
        return Union[self.typ, list[self.typ]]  # type: ignore[name-defined]  # noqa: UP007

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        new.blank = self.blank
        new.accumulate = self.accumulate
        new.transient = self.transient
        return new

    def _spec(self) -> tuple[Any, ...]:
        return (self.typ, self.accumulate)

    def update(self, values: Sequence[Value | list[Value]]) -> bool:
        return super().update(values) if self.accumulate else self._publish(values)

    def _publish(self, values: Sequence[Value | list[Value]]) -> bool:
        replacement = self._overwrite_among(values)
        published = _flat(values) if replacement is MISSING else self._accepted(replacement)
        was_empty = self.value is MISSING
        self.value = published or MISSING
        return bool(published) or not was_empty

    def _reduced(
        self, current: list[Value] | Missing, writes: Sequence[Value | list[Value]]
    ) -> list[Value] | Missing:
        added = _flat(writes)
        if not added:
            return MISSING
        return added if current is MISSING else current + added

    def _accepted(self, replacement: Any) -> list[Value]:
        return _flat([replacement])

    def _blank(self) -> Callable[[], list[Value]] | None:
        return list if self.accumulate else None


def _flat(writes: Sequence[Any]) -> list[Any]:
    flat: list[Any] = []
    for write in writes:
        if isinstance(write, list):
            flat += write
        else:
            flat.append(write)
    return flat
