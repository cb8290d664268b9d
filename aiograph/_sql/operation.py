"""Something that is asked of a database, and the wait for it.

`Pending` is the wait; `Operation` is work that is handed to a thread which owns a connection.
"""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from aiograph._cancel import outlast

C = TypeVar("C")
T = TypeVar("T")


class Pending(Generic[T]):
    """Something that is done, once, on behalf of somebody on a loop."""

    __slots__ = ("_ticket", "_waiter", "about", "error", "is_abandoned", "is_over", "loop", "result")

    def __init__(self, about: object) -> None:
        self.about = about
        self.loop = asyncio.get_running_loop()
        self._waiter: asyncio.Future[None] | None = None
        self._ticket = [None]
        self.is_over = False
        self.is_abandoned = False
        """Whether whoever waits was cancelled when it had begun: a failure need not be tried again."""
        self.result: T | None = None
        self.error: BaseException | None = None

    # from any thread

    def claim(self) -> bool:
        """Decides whether it is done or withdrawn: only the first one to claim gets `True`."""
        try:
            self._ticket.pop()
        except IndexError:
            return False
        return True

    @property
    def is_claimed(self) -> bool:
        return not self._ticket

    def unclaim(self) -> None:
        """Has it wait once more, by whoever has claimed it: it can be withdrawn again."""
        self._ticket.append(None)

    # on the loop

    def finish(self) -> None:
        """Wakes whoever waits."""
        self.is_over = True
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(self) -> T:
        """What came of it, or the error.

        A cancellation withdraws what has not begun; else it is held back until it is over.
        """
        try:
            await self._ended()
        except asyncio.CancelledError:
            if not self.claim():
                self.is_abandoned = True
                await outlast(self._ended())
            raise
        return self._settled()

    async def certain_outcome(self) -> T:
        """The same, of something that nobody withdraws: a cancellation changes nothing."""
        with suppress(asyncio.CancelledError):
            await outlast(self._ended())
        return self._settled()

    def _settled(self) -> T:
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


class Operation(Pending[T], Generic[C, T]):
    """Work on a connection that a thread owns."""

    __slots__ = ("work", "writes")

    def __init__(self, work: Callable[[C], T], about: object, *, writes: bool) -> None:
        super().__init__(about)
        self.work = work
        self.writes = writes


def deliver(operations: Iterable[Pending[Any]]) -> None:
    """Tells the loops that these are over; each loop is woken once."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Pending[Any]]] = {}
    for operation in operations:
        by_loop.setdefault(operation.loop, []).append(operation)
    for loop, finished in by_loop.items():
        try:
            loop.call_soon_threadsafe(_finish, finished)
        except RuntimeError:
            continue  # that loop was closed by somebody who did not wait


def _finish(operations: list[Pending[Any]]) -> None:
    for operation in operations:
        operation.finish()
