"""Synchronous iteration over an asynchronous iterator that lives on a loop."""

import asyncio
import contextlib
import functools
import queue
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

from aiograph.bridge._call import Call
from aiograph.bridge._loop import Loop

T = TypeVar("T")

BUFFERED_ITEMS = 16
"""Items that may wait for the consumer before the producer is held back."""


class _Pipe(Generic[T]):
    """Items on their way from a loop to the thread that iterates; bounded."""

    def __init__(self, source: AsyncIterator[T]) -> None:
        self._source = source
        self._items: deque[T] = deque()
        self._notified = False
        self._room: asyncio.Future[None] | None = None

    # on the loop

    async def pump(self, call: Call[None]) -> None:
        try:
            async for item in self._source:
                self._items.append(item)
                if not self._notified:
                    self._notified = True
                    call.notify()
                if len(self._items) >= BUFFERED_ITEMS:
                    await self._wait_for_room(call.loop)
        finally:
            close = getattr(self._source, "aclose", None)
            if close is not None:
                await close()

    async def _wait_for_room(self, loop: Loop) -> None:
        self._room = loop.create_future()
        # the consumer may have emptied the buffer before it could see the future
        if len(self._items) >= BUFFERED_ITEMS:
            await self._room
        self._room = None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # on the iterating thread

    def take(self, loop: Loop) -> deque[T]:
        self._notified = False
        taken: deque[T] = deque()
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._items.popleft())
        if self._room is not None:
            loop.call_soon_threadsafe(self._make_room)
        return taken


class BlockingIterator(Iterator[T]):
    """Iterates an asynchronous iterator from synchronous code.

    Nothing starts before the first item is asked for. `close()` cancels the work and waits for its
    clean-up, and so does leaving a `with` block; an iterator that is garbage collected only asks for
    the cancellation.
    """

    def __init__(self, make: Callable[[], AsyncIterator[T]], verb: str, timeout: float | None = None) -> None:
        self._make = make
        self._verb = verb
        self._timeout = timeout
        self._deadline: float | None = None
        self._call: Call[None] | None = None
        self._pipe: _Pipe[T] | None = None
        self._ready: deque[T] = deque()
        self._closed = False

    def __iter__(self) -> "BlockingIterator[T]":
        return self

    def __next__(self) -> T:
        if self._ready:
            return self._ready.popleft()
        if self._closed:
            raise StopIteration
        call, pipe = self._open()
        while not self._ready:
            self._fill(call, pipe)
        return self._ready.popleft()

    def _open(self) -> tuple[Call[None], _Pipe[T]]:
        if self._call is None or self._pipe is None:
            if self._timeout is not None:
                self._deadline = time.monotonic() + self._timeout
            call: Call[None] = Call(self._verb, patient=self._timeout is None)
            pipe = _Pipe(self._make())
            # the work refers to pipe and call, never to this object, so that it can be collected
            call.start(functools.partial(pipe.pump, call))
            self._call, self._pipe = call, pipe
        return self._call, self._pipe

    def _fill(self, call: Call[None], pipe: _Pipe[T]) -> None:
        try:
            if not call.done:
                call.wait(self._deadline)
        except queue.Empty:
            self._closed = True
            call.request_cancel(give_up=True)
            call.finish()
            raise call.timed_out() from None
        except KeyboardInterrupt:
            self.close()
            raise
        self._ready.extend(pipe.take(call.loop))
        if call.done and not self._ready:
            self._closed = True
            call.outcome()
            raise StopIteration

    def close(self) -> None:
        """Cancels the work, waits for its clean-up, and drops what was not yet taken."""
        self._closed = True
        self._ready.clear()
        if self._call is not None and not self._call.done:
            self._call.stop()

    def __enter__(self) -> "BlockingIterator[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.done:
            call.request_cancel()
