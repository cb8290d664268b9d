"""Cancellation: outlasting it until what was started has ended, and noticing one that was swallowed."""

import asyncio
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


class Host:
    """The task that something runs in, and how often it had been cancelled before."""

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self._before = 0 if self._task is None else self._task.cancelling()

    def is_cancelled(self) -> bool:
        """Whether it has been cancelled since, even if that was swallowed."""
        return self._task is not None and self._task.cancelling() > self._before


async def outlast(future: "asyncio.Future[T]") -> T:
    """Awaits a future that must not be left alone.

    A cancellation, of the single or of the repeated kind, is held back until the future is done, and
    is raised after that; the future itself is not cancelled.
    """
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError as cancelled:
        await until_done(future)
        if not future.cancelled() and (error := future.exception()) is not None:
            cancelled.__cause__ = error
        raise


async def until_done(future: "asyncio.Future[Any]") -> None:
    """Waits for a future, whatever its outcome, through cancellations of either kind, which it swallows.

    For those who have been cancelled already, and raise that once this returns.
    """
    from anyio import CancelScope

    with CancelScope(shield=True):
        while not future.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait([future])
