"""Cancellation: outlasting it until what was started has ended, and noticing one that was swallowed."""

import asyncio
import sys
from collections.abc import Coroutine, Iterator
from contextlib import suppress
from typing import Any, Protocol, TypeVar

from aiograph._need_loop import task_here

T = TypeVar("T")


class Begun(Protocol):
    """Something that is under way, and that nobody withdraws."""

    async def certain_outcome(self) -> Any:
        """What came of it, or the error; a cancellation changes nothing. Is asked for once."""
        ...


class Host:
    """The task that something runs in, and how often it had been cancelled before."""

    __slots__ = ("_before", "_task")

    def __init__(self) -> None:
        self._task = task_here()
        self._before = 0 if self._task is None else self._task.cancelling()

    def is_cancelled(self) -> bool:
        """Whether it has been cancelled since, even if that was swallowed."""
        if self._task is None:  # it has begun without a loop, and has not been in a task before this one
            self._task = task_here()
        return self._task is not None and self._task.cancelling() > self._before


class Leaks:
    """Takes back what task groups forget to: before Python 3.13, one with a member that fails while the group
    waits for its end cancels its host, and the host counts as cancelled for ever after.

    Args:
        coroutine: What the host awaits.
    """

    __slots__ = ("_coroutine", "_mended")

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._mended: list[asyncio.TaskGroup] = []

    def mend(self) -> None:
        """To be called when a cancellation arrives, whosever it is, and before it is handed on."""
        if sys.version_info >= (3, 13):
            return
        host = asyncio.current_task()
        for group in _ending_groups(self._coroutine):
            has_cancelled = getattr(group, "_parent_cancel_requested", False)
            if host is not None and has_cancelled and group not in self._mended:
                self._mended.append(group)
                host.uncancel()


def _ending_groups(awaitable: Any) -> Iterator[asyncio.TaskGroup]:
    """The task groups whose end is waited for, from the outside to the inside."""
    while awaitable is not None:
        frame = getattr(awaitable, "cr_frame", None)
        if frame is not None and frame.f_code is asyncio.TaskGroup.__aexit__.__code__:
            yield frame.f_locals["self"]
        awaitable = getattr(awaitable, "cr_await", None)


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
