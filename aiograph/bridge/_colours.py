"""Contracts whose verbs may be defined in either colour: completing a class with the other one."""

import functools
from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

from aiograph.bridge._call import off_loop
from aiograph.bridge._twins import blocking, blocking_iter

T = TypeVar("T")

_ITERATED_AT_ONCE = 64
"""Items that a plain iterating verb yields per visit to its worker thread."""


def require_verbs(cls: type, base: type, kind: str, verbs: Iterable[str]) -> None:
    """Refuses a class that defines neither colour of one of the verbs; `kind` says what it would be.

    Raises:
        TypeError: Names the class, and all that it lacks.
    """
    missing = ", ".join(f"{verb} (or a{verb})" for verb in verbs if _defines_neither(cls, base, verb))
    if missing:
        raise TypeError(f"{cls.__name__} is not a complete {kind}; it lacks {missing}")


def _defines_neither(cls: type, base: type, verb: str) -> bool:
    """Whether a class has both colours of a verb from `base`, which only declares it."""
    return all(getattr(cls, name) is getattr(base, name) for name in (verb, f"a{verb}"))


def complete_verb(cls: type, verb: str, *, is_iterated: bool = False) -> None:
    """Gives a class that itself defines one colour of a verb the other one.

    Plain methods are called on worker threads.
    """
    own = vars(cls)
    if f"a{verb}" in own and verb not in own:
        derive = blocking_iter if is_iterated else blocking
        setattr(cls, verb, derive(own[f"a{verb}"]))
    elif verb in own and f"a{verb}" not in own:
        derive_async = _iterate_off_loop if is_iterated else _call_off_loop
        setattr(cls, f"a{verb}", derive_async(own[verb]))


def _call_off_loop(method: Callable[..., T]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def averb(self: Any, *args: Any, **kwargs: Any) -> T:
        # not asyncio's pool: an object that hands on to another one may need a thread to free this one
        return await off_loop(functools.partial(method, self, *args, **kwargs))

    averb.__name__ = f"a{method.__name__}"
    return averb


def _iterate_off_loop(method: Callable[..., Iterable[T]]) -> Callable[..., AsyncIterator[T]]:
    @functools.wraps(method)
    async def averb(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[T]:
        items = await off_loop(lambda: iter(method(self, *args, **kwargs)))
        while batch := await off_loop(lambda: list(islice(items, _ITERATED_AT_ONCE))):
            for item in batch:
                yield item

    averb.__name__ = f"a{method.__name__}"
    return averb
