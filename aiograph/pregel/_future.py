"""The result of a called task, for whoever waits for it: on a loop, or on a thread."""

import asyncio
from collections.abc import Callable, Generator
from concurrent import futures
from typing import Any, TypeVar

from aiograph import bridge

T = TypeVar("T")

_RESULT = bridge.Verb("result", "await the future")
_EXCEPTION = bridge.Verb("exception", "await the future")


class TaskFuture(futures.Future[T]):
    """What calling a task returns, at once: the result is yet to come.

    On an event loop it is awaited, by itself or in `asyncio.gather`; synchronous code in a worker thread
    calls `result()`, or waits for several with `concurrent.futures.wait`.

    When whoever awaits it is cancelled, so is the task, as with `asyncio.Task`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._loop = loop
        """The loop that does the work."""
        self._worker: asyncio.Task[None] | None = None
        self._is_unwanted = False
        self.is_seen = False
        """Whether anybody has asked how the task ended."""

    # for whoever waits

    def __await__(self) -> Generator[Any, Any, T]:
        if not self.done():
            yield from self._end_or_cancel().__await__()
        return self.result()

    async def _end_or_cancel(self) -> None:
        try:
            await self._end()
        except asyncio.CancelledError:
            self.cancel()
            raise

    async def _end(self) -> None:
        """Waits until it is done, on whichever loop."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()
        if loop is self._loop:
            self.add_done_callback(lambda _: _wake(waiter))
        else:
            self.add_done_callback(lambda _: loop.call_soon_threadsafe(_wake, waiter))
        await waiter

    def result(self, timeout: float | None = None) -> T:
        """What the task returned, or raised.

        Args:
            timeout: Seconds to wait; the task itself goes on when they have passed.

        Raises:
            TimeoutError: The timeout has passed.
            SyncCallError: It was called on the event loop that has to do the work: await the future there.
            CancelledError: The task was cancelled.
            Exception: Whatever the task raised.
        """
        self._wait(_RESULT, timeout)
        self.is_seen = True
        try:
            return super().result()
        except futures.CancelledError:
            raise asyncio.CancelledError from None  # not for `except Exception` to swallow

    def exception(self, timeout: float | None = None) -> BaseException | None:
        """What the task raised, if it did; see `result`."""
        self._wait(_EXCEPTION, timeout)
        self.is_seen = True
        try:
            return super().exception()
        except futures.CancelledError:
            raise asyncio.CancelledError from None

    def _wait(self, verb: bridge.Verb, timeout: float | None) -> None:
        if not self.done():
            bridge.run(self._end, verb=verb, timeout=timeout)

    def cancel(self) -> bool:
        """Asks the task to end, from any thread; says whether it has not ended already."""
        if self.done():
            return False
        if bridge.running_loop() is self._loop:
            self._break_off()
        else:
            self._loop.call_soon_threadsafe(self._break_off)
        return True

    # on the loop that does the work

    def work(self, start: Callable[[], "asyncio.Task[None]"]) -> None:
        """Has the work begin, unless nobody wants it any more."""
        if self._is_unwanted:
            self.drop()
        else:
            self._worker = start()

    def _break_off(self) -> None:
        self._is_unwanted = True
        if self._worker is not None and not self._worker.cancelling():
            self._worker.cancel()

    def let_go(self) -> None:
        """Forgets the work, which has ended."""
        self._worker = None

    def drop(self) -> None:
        """Marks it as cancelled."""
        super().cancel()
        self.set_running_or_notify_cancel()


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)
