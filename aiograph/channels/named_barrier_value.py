"""Barriers with fixed names: what makes a node wait until several others have run."""

from collections.abc import Iterable, Sequence
from typing import Any, Generic, Self

from aiograph.channels.base import MISSING, BaseChannel, Checkpoint, Missing, Value

__all__ = ["NamedBarrierValue", "NamedBarrierValueAfterFinish"]


class _Barrier(BaseChannel[None, Value, Checkpoint], Generic[Value, Checkpoint]):
    """Counts off names. Subclasses say what is stored, and what it takes to open beside the names."""

    __slots__ = ("names", "seen")

    def __init__(self, typ: type[Value], names: Iterable[Value], key: str = "") -> None:
        super().__init__(typ, key)
        self.names = frozenset(names)
        if not self.names:
            raise ValueError(f"{type(self).__name__} needs at least one name to wait for")
        self.seen: frozenset[Value] = frozenset()

    def _spec(self) -> tuple[Any, ...]:
        return (self.typ, self.names)

    def get(self) -> None:
        if not self.is_available():
            raise self._empty(self._awaited())

    def update(self, values: Sequence[Value]) -> bool:
        unknown = [value for value in values if not self._is_known(value)]
        if unknown:
            raise self._refused(f"waits for {_listed(self.names)} and got {_listed(unknown)}")
        seen = self.seen.union(values)
        if len(seen) == len(self.seen):
            return False
        self.seen = seen
        return True

    def _is_known(self, value: object) -> bool:
        try:
            return value in self.names
        except TypeError:  # not hashable
            return False

    def _awaited(self) -> str:
        return f"it still waits for {_listed(self.names - self.seen)}"

    def _restored(self, seen: Iterable[Value]) -> frozenset[Value]:
        # a graph that has changed since the checkpoint may not know a name any more
        return self.names.intersection(seen)


class NamedBarrierValue(_Barrier[Value, list[Value]]):
    """Is available, with the value `None`, once every name has been written; starts over when consumed."""

    __slots__ = ()

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.names = self.names
        new.seen = self.seen
        return new

    def checkpoint(self) -> list[Value] | Missing:
        return _ordered(self.seen) if self.seen else MISSING

    def from_checkpoint(self, checkpoint: list[Value] | Missing) -> Self:
        new = self.copy()
        new.seen = self._restored(() if checkpoint is MISSING else checkpoint)
        return new

    def is_available(self) -> bool:
        return self.seen == self.names

    def consume(self) -> bool:
        if self.seen != self.names:
            return False
        self.seen = frozenset()
        return True


class NamedBarrierValueAfterFinish(_Barrier[Value, tuple[list[Value], bool]]):
    """Is available once every name has been written and nothing else would run; starts over when consumed."""

    __slots__ = ("finished",)

    def __init__(self, typ: type[Value], names: Iterable[Value], key: str = "") -> None:
        super().__init__(typ, names, key)
        self.finished = False

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.names = self.names
        new.seen = self.seen
        new.finished = self.finished
        return new

    def checkpoint(self) -> tuple[list[Value], bool] | Missing:
        return (_ordered(self.seen), self.finished) if self.seen else MISSING

    def from_checkpoint(self, checkpoint: tuple[list[Value], bool] | Missing) -> Self:
        seen, finished = ((), False) if checkpoint is MISSING else checkpoint
        new = self.copy()
        new.seen = self._restored(seen)
        new.finished = finished and new.seen == new.names
        return new

    def is_available(self) -> bool:
        return self.finished

    def consume(self) -> bool:
        if not self.finished:
            return False
        self.seen = frozenset()
        self.finished = False
        return True

    def finish(self) -> bool:
        if self.finished or self.seen != self.names:
            return False
        self.finished = True
        return True

    def _awaited(self) -> str:
        if self.seen == self.names:
            return "every name has come; it is held back until nothing else would run"
        return super()._awaited()


def _ordered(names: Iterable[Value]) -> list[Value]:
    """The same names always in the same order, so that equal checkpoints are stored as equal bytes."""
    return sorted(names, key=repr)


def _listed(names: Iterable[object]) -> str:
    return ", ".join(sorted(map(repr, names)))
