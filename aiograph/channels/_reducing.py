"""What the channels share that combine writes: where they start from, and what an `Overwrite` does."""

import collections.abc
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Annotated, Any, NotRequired, Required, Self, get_args, get_origin

from aiograph.channels._value import ValueChannel
from aiograph.channels.base import MISSING, Missing, Update, Value
from aiograph.constants import OVERWRITE
from aiograph.types import Overwrite

_CONCRETE: dict[Any, Any] = {
    collections.abc.Iterable: list,
    collections.abc.Collection: list,
    collections.abc.Sequence: list,
    collections.abc.MutableSequence: list,
    collections.abc.Set: set,
    collections.abc.MutableSet: set,
    collections.abc.Mapping: dict,
    collections.abc.MutableMapping: dict,
}
"""What stands in for collections that are abstract."""


def blank_of(typ: Any) -> Callable[[], Any] | None:
    """What makes an empty value of `typ`; `None` for a type that cannot be made from nothing."""
    while get_origin(typ) in (Annotated, Required, NotRequired):
        typ = get_args(typ)[0]
    plain = get_origin(typ) or typ
    maker = _CONCRETE.get(plain, plain)
    if maker in (object, type(None)) or not callable(maker):
        return None
    try:
        maker()
    except Exception:  # whatever a constructor raises that is called without what it needs
        return None
    return maker  # type: ignore[no-any-return]  # checked to be callable without arguments


def overwritten(write: Any) -> Any | Missing:
    """The value that `write` asks to put in place of the old one; `MISSING` for an ordinary write."""
    if isinstance(write, Overwrite):
        return write.value
    if isinstance(write, dict):
        if len(write) == 1:
            return write.get(OVERWRITE, MISSING)
        if len(write) == 2 and "value" in write:
            kind = write.get("type")
            return write["value"] if isinstance(kind, str) and kind == OVERWRITE else MISSING
    return MISSING


class ReducingChannel(ValueChannel[Value, Update]):
    """Combines each superstep's writes with the value it has.

    It starts from an empty value of its type, made anew whenever it is asked for: a node that changes it
    in place by mistake cannot reach other runs. An `Overwrite` replaces the value and wins over the
    superstep's other writes; two are an error.
    """

    __slots__ = ("blank",)

    def __init__(self, typ: Any, key: str = "") -> None:
        super().__init__(typ, key)
        self.blank: Callable[[], Value] | None = self._blank()

    def copy(self) -> Self:
        new = object.__new__(type(self))
        new.typ = self.typ
        new.key = self.key
        new.value = self.value
        new.blank = self.blank
        return new

    def named(self, key: str, typ: Any = None) -> Self:
        named = super().named(key, typ)
        if named.typ is not self.typ:
            named.blank = named._blank()
        return named

    def get(self) -> Value:
        value = self._current()
        if value is MISSING:
            raise self._empty()
        return value

    def is_available(self) -> bool:
        return self.value is not MISSING or self.blank is not None

    def checkpoint(self) -> Value | Missing:
        return self._current()

    def update(self, values: Sequence[Update]) -> bool:
        if not values:
            return False
        replacement = self._overwrite_among(values)
        if replacement is not MISSING:
            self.value = self._accepted(replacement)
            return True
        reduced = self._reduced(self._current(), values)
        if reduced is MISSING:
            return False
        self.value = reduced
        return True

    @abstractmethod
    def _reduced(self, current: Value | Missing, writes: Sequence[Update]) -> Value | Missing:
        """The value after one or more writes; `MISSING` if they make no difference."""

    def _blank(self) -> Callable[[], Value] | None:
        """What makes the value to start from; `None` to start empty."""
        return blank_of(self.typ)

    def _accepted(self, replacement: Any) -> Value:
        """An overwriting value as it is kept."""
        return replacement  # type: ignore[no-any-return]  # a user's value is what it is

    def _current(self) -> Value | Missing:
        if self.value is MISSING and self.blank is not None:
            return self.blank()
        return self.value

    def _overwrite_among(self, values: Sequence[Update]) -> Any | Missing:
        found: Any | Missing = MISSING
        for write in values:
            replacement = overwritten(write)
            if replacement is MISSING:
                continue
            if found is not MISSING:
                raise self._contradicted("takes one Overwrite per superstep and got several")
            found = replacement
        return found
