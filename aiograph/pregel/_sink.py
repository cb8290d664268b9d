"""Hands chunks from a run to one consumer: bounded, closable, and safe to fill from worker threads."""

import asyncio
from collections import deque
from contextlib import suppress
from typing import Any, Final

from aiograph import _threads

CHUNKS_AHEAD = 16
"""Chunks that may wait for the consumer before the run is held back at its next superstep or task."""

_FIRST_AHEAD = 1
"""How many at the beginning. A run that never waits would not let go of the loop before, and so the first
chunk would be late; each time the consumer has caught up, there may be twice as many."""


class Sink:
    """A bounded queue with one producer, the run, and one consumer."""

    END: Final = object()
    """What `take` returns once the sink is closed and empty."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._chunks: deque[Any] = deque()
        self._incoming: deque[Any] = deque()
        """Chunks that threads have left for the loop to take in."""
        self._ahead = _FIRST_AHEAD
        self._closed = False
        self._consumer: asyncio.Future[None] | None = None
        self._producers: list[asyncio.Future[None]] = []

    # the producer's end

    def push(self, chunk: Any) -> None:
        """Adds a chunk, on the run's loop; a run that is fast must await `room` now and then."""
        if not self._closed:
            self._chunks.append(chunk)
            self._wake_consumer()

    def push_from_anywhere(self, chunk: Any) -> None:
        """Adds a chunk from node code, on whichever thread; in a worker thread it waits for room."""
        if asyncio._get_running_loop() is self._loop:
            self.push(chunk)
            return
        if self._closed or self._loop.is_closed():
            return  # a writer that was kept beyond its run
        self._incoming.append(chunk)
        self._loop.call_soon_threadsafe(self._take_in)
        job = _threads.current_job.get()
        is_full = len(self._incoming) + len(self._chunks) >= CHUNKS_AHEAD
        # the thread that waits for the chunks must not wait for their being taken
        if is_full and job is not None and not job.on_caller:
            asyncio.run_coroutine_threadsafe(self.room(), self._loop).result()

    def _take_in(self) -> None:
        while self._incoming:
            self.push(self._incoming.popleft())

    @property
    def is_full(self) -> bool:
        """Whether the consumer should catch up first."""
        return len(self._chunks) >= self._ahead and not self._closed

    async def room(self) -> None:
        """Waits until the consumer has caught up, or is gone.

        Not on other loops, which graphs inside nodes may run on: there `push_from_anywhere` waits.
        """
        if asyncio._get_running_loop() is not self._loop:
            return
        while self.is_full:
            waiter = self._loop.create_future()
            self._producers.append(waiter)
            await waiter

    def close(self) -> None:
        """No more chunks will come, or nobody wants them."""
        self._closed = True
        self._wake_consumer()
        self._wake_producers()

    # the consumer's end

    async def take(self) -> Any:
        """The next chunk, or `END`."""
        while not self._chunks:
            if self._closed:
                return self.END
            self._consumer = self._loop.create_future()
            await self._consumer
        chunk = self._chunks.popleft()
        if not self._chunks:
            self._ahead = min(2 * self._ahead, CHUNKS_AHEAD)
        if len(self._chunks) < self._ahead and self._producers:
            self._wake_producers()
        return chunk

    def _wake_consumer(self) -> None:
        if self._consumer is not None and not self._consumer.done():
            self._consumer.set_result(None)

    def _wake_producers(self) -> None:
        waiters, self._producers = self._producers, []
        for waiter in waiters:
            with suppress(asyncio.InvalidStateError):
                waiter.set_result(None)
