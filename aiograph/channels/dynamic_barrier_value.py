"""`DynamicBarrierValue`: a barrier that is told in the course of the run which names to wait for."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias

from aiograph.channels.base import MISSING, BaseChannel, Missing

__all__ = ["DynamicBarrierValue", "WaitForNames"]

Stored: TypeAlias = tuple[list[str], list[str]]
"""The names waited for, and those of them that have come; sorted, so that equal means equal bytes."""


@dataclass(frozen=True, slots=True)
class WaitForNames:
    """Announces to a `DynamicBarrierValue` which names to wait for."""

    names: frozenset[str]


class DynamicBarrierValue(BaseChannel[None, str | WaitForNames, Stored]):
    """Is available, with the value `None`, once all announced names have come; starts over when consumed.

    A `WaitForNames` announces, a string is a name that comes. Within a superstep announcements count
    first. Names that nobody waits for are ignored. An announcement made while another is under way adds
    to it, and a name that is announced again has to come again.
    """

    __slots__ = ("awaited", "seen")

    def __init__(self, typ: type[str] = str, key: str = "") -> None:
        super().__init__(typ, key)
        self.awaited: frozenset[str] | None = None
        self.seen: frozenset[str] = frozenset()

    @property
    def UpdateType(self) -> Any:
        return str | WaitForNames

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.awaited = self.awaited
        new.seen = self.seen
        return new

    def checkpoint(self) -> Stored | Missing:
        return MISSING if self.awaited is None else (sorted(self.awaited), sorted(self.seen))

    def from_checkpoint(self, checkpoint: Stored | Missing) -> Self:
        new = self.copy()
        if checkpoint is MISSING:
            new._start_over()
        else:
            new.awaited, new.seen = map(frozenset, checkpoint)
        return new

    def get(self) -> None:
        if self.awaited is None:
            raise self._empty("it has not been told which names to wait for")
        if self.seen != self.awaited:
            raise self._empty(f"it still waits for {sorted(self.awaited - self.seen)}")

    def is_available(self) -> bool:
        return self.seen == self.awaited

    def update(self, values: Sequence[str | WaitForNames]) -> bool:
        awaited, seen = self.awaited, self.seen
        for value in values:
            if isinstance(value, WaitForNames):
                awaited = value.names.union(awaited or ())
                seen -= value.names
            elif not isinstance(value, str):
                raise self._refused(f"takes names and WaitForNames and got {value!r:.100}")
        if awaited is not None:
            seen = awaited.intersection(seen.union(value for value in values if isinstance(value, str)))
        if (awaited, seen) == (self.awaited, self.seen):
            return False
        self.awaited, self.seen = awaited, seen
        return True

    def consume(self) -> bool:
        if not self.is_available():
            return False
        self._start_over()
        return True

    def _start_over(self) -> None:
        self.awaited = None
        self.seen = frozenset()
