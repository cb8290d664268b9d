"""Something that is handed to a thread which owns a connection, and the wait for it."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Generic, TypeVar

from aiograph._cancel import outlast

C = TypeVar("C")
T = TypeVar("T")


class Operation(Generic[C, T]):
    """Work on a connection on behalf of a loop."""

    __slots__ = ("_ticket", "_waiter", "about", "error", "is_over", "loop", "result", "work", "writes")

    def __init__(self, work: Callable[[C], T], about: object, *, writes: bool) -> None:
        self.work = work
        self.about = about
        self.writes = writes
        self.loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._ticket = [None]
        self.is_over = False
        self.result: T | None = None
        self.error: BaseException | None = None

    # from any thread

    def claim(self) -> bool:
        """Decides whether the work is done or withdrawn: only the first one to claim gets `True`."""
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True

    @property
    def is_claimed(self) -> bool:
        return not self._ticket

    # on the loop

    def finish(self) -> None:
        """Wakes whoever waits."""
        self.is_over = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(self) -> T:
        """What the work returned or raised.

        A cancellation withdraws work that has not begun; else it is held back until the work is over.
        """
        try:
            await self._ended()
        except asyncio.CancelledError:
            if not self.claim():
                await outlast(self._ended())
            raise
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback refers to this very frame
        return self.result  # type: ignore[return-value]  # set, as there was no error

    def _ended(self) -> "asyncio.Future[None]":
        self._waiter = self.loop.create_future()
        if self.is_over:
            self._waiter.set_result(None)
        return self._waiter


def deliver(operations: Iterable[Operation[Any, Any]]) -> None:
    """Tells the loops that these are over; each loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Operation[Any, Any]]] = {}
    for operation in operations:
        by_loop.setdefault(operation.loop, []).append(operation)
    for loop, finished in by_loop.items():
        try:
            loop.call_soon_threadsafe(_finish, finished)
        except RuntimeError:
            continue  # that loop was closed by somebody who did not wait


def _finish(operations: list[Operation[Any, Any]]) -> None:
    for operation in operations:
        operation.finish()
