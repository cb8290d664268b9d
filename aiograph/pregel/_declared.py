"""The classes that annotations of tasks mention. Whatever keeps results of tasks has to know them.

A task may be declared long after the graph whose nodes call it was compiled. So savers are told when they are
used; that is cheap, as they leave alone what they know already.
"""

from collections.abc import Iterable, Mapping
from typing import Protocol

from aiograph._forking import lock_for_all


class Keeper(Protocol):
    """A saver or a cache."""

    def allow_types(self, types: Iterable[type], /) -> None:
        """Lets it store instances of these types."""


_changing = lock_for_all()
_declared: Mapping[str, type] = {}
"""By the names under which instances are stored: one that is declared anew replaces the older. Never changed
in place, so that it can be read without the lock."""


def declare(types: Iterable[type]) -> None:
    """Notes what the annotations of a task mention."""
    global _declared
    with _changing:
        named = {f"{cls.__module__}:{cls.__qualname__}": cls for cls in types}
        if any(_declared.get(name) is not cls for name, cls in named.items()):
            _declared = {**_declared, **named}


def declared() -> Mapping[str, type]:
    """What tasks have declared so far: another object whenever there is more."""
    return _declared


def tell_declared(keeper: Keeper) -> None:
    """Lets a saver or a cache store what tasks have declared so far."""
    if _declared:
        with _changing:  # a second thread that tells it the same goes on only when it knows
            keeper.allow_types(_declared.values())
