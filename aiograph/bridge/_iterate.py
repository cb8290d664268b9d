"""Synchronous iteration over an asynchronous iterator that lives on a loop."""

import asyncio
import contextlib
import queue
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Generic, TypeVar

from aiograph.bridge._admit import Verb
from aiograph.bridge._call import Call
from aiograph.errors import SyncCallError

T = TypeVar("T")

BUFFERED_ITEMS = 16
"""Items that may wait for the consumer before the producer is held back."""


class _Pipe(Generic[T]):
    """Items on their way from a loop to the thread that iterates; bounded."""

    def __init__(self, make: Callable[[], AsyncIterator[T]]) -> None:
        self._make = make
        self._items: deque[T] = deque()
        self._is_notified = False
        self._room: asyncio.Future[None] | None = None

    # on the loop

    async def pump(self, call: Call[None]) -> None:
        source = self._make()
        try:
            async for item in source:
                self._items.append(item)
                if not self._is_notified:
                    self._is_notified = True
                    call.notify()
                if len(self._items) >= BUFFERED_ITEMS:
                    await self._wait_for_room()
        finally:
            close = getattr(source, "aclose", None)
            if close is not None:
                await close()

    async def _wait_for_room(self) -> None:
        try:
            while True:
                self._room = asyncio.get_running_loop().create_future()
                # the consumer may have emptied the buffer before it could see the future
                if len(self._items) < BUFFERED_ITEMS:
                    return
                await self._room
        finally:
            self._room = None

    def _make_room(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    # on the iterating thread

    def take(self, call: Call[None]) -> deque[T]:
        self._is_notified = False  # first: what comes from now on, even if it is taken here, is announced
        taken: deque[T] = deque()
        with contextlib.suppress(IndexError):
            while True:
                taken.append(self._items.popleft())
        if self._room is not None:
            call.call_there(self._make_room)
        return taken


class BlockingIterator(Iterator[T]):
    """Iterates an asynchronous iterator from synchronous code.

    Nothing starts before the first item is asked for. `close()` cancels the work and waits for its
    clean-up, and so does leaving a `with` block; an iterator that is garbage collected only asks for
    the cancellation.
    """

    def __init__(self, make: Callable[[], AsyncIterator[T]], verb: Verb, timeout: float | None) -> None:
        self._make = make
        self._verb = verb
        self._timeout = timeout
        self._deadline: float | None = None
        self._call: Call[None] | None = None
        self._pipe: _Pipe[T] | None = None
        self._ready: deque[T] = deque()
        self._is_closed = False

    def __iter__(self) -> "BlockingIterator[T]":
        return self

    def __next__(self) -> T:
        if self._ready:
            return self._ready.popleft()
        if self._is_closed:
            raise StopIteration
        call, pipe = self._open()
        call.check()
        while not self._ready:
            self._fill(call, pipe)
        return self._ready.popleft()

    def _open(self) -> tuple[Call[None], _Pipe[T]]:
        if self._call is None or self._pipe is None:
            # the work refers to pipe and call, never to this object, so that it can be collected
            self._pipe = _Pipe(self._make)
            self._call = Call(self._verb, self._pipe.pump, patient=self._timeout is None, is_stream=True)
            if self._timeout is not None:
                self._deadline = time.monotonic() + self._timeout
        return self._call, self._pipe

    def _fill(self, call: Call[None], pipe: _Pipe[T]) -> None:
        try:
            if not call.is_done:
                call.wait(self._deadline)
        except queue.Empty:
            self._is_closed = True
            call.time_out()
        except KeyboardInterrupt:
            self.close()
            raise
        is_over = call.is_done  # asked first: what it has left behind is all there by then
        self._ready.extend(pipe.take(call))
        if is_over and not self._ready:
            was_closed, self._is_closed = self._is_closed, True  # by another thread
            if not was_closed:
                call.outcome()
            raise StopIteration

    def close(self) -> None:
        """Cancels the work, waits for its clean-up, and drops what was not yet taken.

        Raises:
            SyncCallError: To wait would be to hang; the work is cancelled all the same.
        """
        self._is_closed = True
        self._ready.clear()
        call = self._call
        if call is None or call.is_done or call.is_inherited:
            return
        try:
            call.check()
        except SyncCallError:
            call.request_cancel()
            raise
        call.stop()

    def __enter__(self) -> "BlockingIterator[T]":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        call = getattr(self, "_call", None)
        if call is not None and not call.is_done:
            call.request_cancel()
