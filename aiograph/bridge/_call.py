"""One synchronous call: where its work goes, whether it may, and the thread that waits for it."""

import asyncio
import contextlib
import inspect
import os
import queue
import threading
import time
import warnings
from collections.abc import Awaitable, Callable
from contextvars import ContextVar, copy_context
from enum import Enum
from typing import Any, Generic, NoReturn, TypeVar, cast
from weakref import WeakSet

from aiograph import _context, _threads
from aiograph.bridge._loop import Loop, bridge_loop
from aiograph.errors import BridgeClosedError, SyncCallError
from aiograph.warnings import BlockingCallWarning

T = TypeVar("T")

MAX_LEVEL = 8
"""Jobs served on one thread inside each other; deeper ones get a thread, and so a stack, of their own."""

_blocked: ContextVar[frozenset[Loop]] = ContextVar("aiograph_blocked", default=frozenset())
_call: ContextVar["Call[Any] | None"] = ContextVar("aiograph_call", default=None)


def sync_name(verb: str) -> str:
    """The synchronous twin's name: `ainvoke` → `invoke`."""
    return verb.removeprefix("a")


def blocked_loops() -> frozenset[Loop]:
    """The loops that stand still until the work that runs here is through."""
    return _blocked.get()


def running_loop() -> Loop | None:
    """The loop that runs on this thread, if any."""
    return asyncio._get_running_loop()


def _target_loop() -> Loop:
    """The loop of the run whose code calls, else the bridge's."""
    scope = _context.current_task.get()
    if scope is not None and scope.run.loop.is_running():
        return scope.run.loop
    return bridge_loop()


def refuse(verb: str) -> NoReturn:
    """Raises the error that names the verb to await."""
    raise SyncCallError(
        f"{sync_name(verb)}() would wait for the event loop of this very thread, which stands still until "
        f"the call returns: use `await {verb}(...)`, or call it from another thread"
    )


def _admit(verb: str) -> tuple[Loop, frozenset[Loop]]:
    """The loop to send a call to, and the loops that stand still until it returns."""
    target, here = _target_loop(), running_loop()
    blocked = _blocked.get()
    if here is not None:
        blocked |= {here}
    if target in blocked:
        refuse(verb)
    if here is not None:
        _warn_once(here, verb)
    return target, blocked


_warned: WeakSet[Any] = WeakSet()


def _warn_once(loop: Loop, verb: str) -> None:
    if loop not in _warned:
        _warned.add(loop)
        warnings.warn(
            f"{sync_name(verb)}() blocks the event loop that runs on this thread; "
            f"`await {verb}(...)` does not",
            BlockingCallWarning,
            stacklevel=_frames_to_caller(),
        )


def _frames_to_caller() -> int:
    """A warning points at the first frame outside of this file."""
    frame, depth = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename == __file__:
        frame, depth = frame.f_back, depth + 1
    return depth


class _Signal(Enum):
    READY = "items are ready"
    DONE = "the work has ended"


class Call(Generic[T]):
    """One piece of work on a loop, and the thread that waits for it.

    While it waits, the thread may serve one job at a time: synchronous node code of this very call.
    """

    def __init__(self, verb: str, *, patient: bool) -> None:
        self.verb = verb
        self.loop, self._blocked = _admit(verb)
        self.give_up = _threads.GiveUp()
        self._outer = _threads.current_job.get()
        self._level = 0 if self._outer is None else self._outer.level + 1
        self._patient = patient
        self._inbox: queue.SimpleQueue[_Signal | _threads.Job[Any]] = queue.SimpleQueue()
        self._gate = threading.Lock()
        self._waiting = False
        self._serving = False
        self._task: asyncio.Task[Any] | None = None
        self._cancelled = False
        self._started = False
        self.done = False
        self.value: T | None = None
        self.error: BaseException | None = None

    # on the waiting thread

    def start(self, make: Callable[[], Awaitable[T]]) -> None:
        """Sends the work to its loop."""
        if self._outer is not None and self._outer.cancelled:
            raise asyncio.CancelledError
        self._started = True
        if self._outer is not None:
            self._outer.nested.add(self)
        coroutine = self._carry(make)
        try:
            asyncio.run_coroutine_threadsafe(coroutine, self.loop)
        except RuntimeError as error:
            coroutine.close()
            raise BridgeClosedError(f"{self.verb}: the loop that would do the work is closed") from error

    def wait(self, deadline: float | None = None) -> _Signal:
        """Waits until there is something to take, serving jobs meanwhile.

        Raises:
            queue.Empty: The deadline (of `time.monotonic`) has passed.
        """
        with self._gate:
            self._waiting = True
        try:
            return self._next_signal(deadline)
        finally:
            with self._gate:
                self._waiting = False
            self._serve_leftover()

    def _next_signal(self, deadline: float | None) -> _Signal:
        while True:
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            item = self._inbox.get(timeout=left)
            if isinstance(item, _Signal):
                self.done = self.done or item is _Signal.DONE
                return item
            self._serve(item)

    def _serve_leftover(self) -> None:
        """A job that was accepted while the wait was ending must not be left lying."""
        if not self._serving:
            return
        kept = []
        with contextlib.suppress(queue.Empty):
            while True:
                item = self._inbox.get_nowait()
                if isinstance(item, _threads.Job):
                    self._serve(item)
                else:
                    kept.append(item)
        for signal in kept:
            self._inbox.put(signal)

    def _serve(self, job: _threads.Job[Any]) -> None:
        job.level = self._level
        job.on_caller = True
        try:
            job.run()
        except KeyboardInterrupt as error:  # it struck just outside of the code
            job.error = error
            raise
        finally:
            # free before the answer arrives, so that the next superstep finds this thread waiting
            with self._gate:
                self._serving = False
            job.deliver()

    def finish(self, deadline: float | None = None) -> None:
        """Waits for the end of the work; Ctrl-C and the deadline cancel it and wait for its clean-up.

        Raises:
            TimeoutError: The deadline has passed; synchronous node code was given up on.
            KeyboardInterrupt: Ctrl-C was pressed; a second one gives up on synchronous node code.
        """
        try:
            while not self.done:
                self.wait(deadline)
        except queue.Empty:
            self._end(give_up=True)
            raise self.timed_out() from None
        except KeyboardInterrupt:
            self.stop()
            raise

    def timed_out(self) -> TimeoutError:
        return TimeoutError(f"{sync_name(self.verb)}() did not finish in time; it was cancelled")

    def stop(self) -> None:
        """Cancels the work and waits for its clean-up."""
        try:
            self._end(give_up=False)
        except KeyboardInterrupt:
            self._end(give_up=True)
            raise

    def _end(self, *, give_up: bool) -> None:
        self.request_cancel(give_up=give_up)
        while not self.done:
            self.wait()

    def outcome(self) -> T:
        """What the work returned or raised; call once."""
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None
        return cast(T, self.value)

    # from any thread

    def request_cancel(self, *, give_up: bool = False) -> None:
        """Asks for the end of the work and returns at once."""
        # a closed loop has nothing left to cancel
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._cancel, give_up)

    # on the loop

    def try_serve(self, job: _threads.Job[Any]) -> bool:
        """Has `job` run on the waiting thread, if that thread is free to do so."""
        if not self._patient or self._level >= MAX_LEVEL:
            return False
        with self._gate:
            if not self._waiting or self._serving:
                return False
            self._serving = True
            self._inbox.put(job)
        return True

    def notify(self) -> None:
        """Wakes the waiting thread, as there is something to take."""
        self._inbox.put(_Signal.READY)

    def _cancel(self, give_up: bool) -> None:
        self._cancelled = True
        if self._task is not None and not self.done:
            self._task.cancel()
        if give_up:
            self.give_up.trigger()

    async def _carry(self, make: Callable[[], Awaitable[T]]) -> None:
        """Runs the work. No exception leaves: `SystemExit` in a task would end the loop for everyone."""
        _call.set(self)
        _blocked.set(self._blocked)
        self._task = asyncio.current_task()
        try:
            if self._cancelled:
                raise asyncio.CancelledError
            self.value = await make()
        except BaseException as error:
            self.error = error
        finally:
            self._task = None
            if self._outer is not None:
                self._outer.nested.discard(self)
            self._inbox.put(_Signal.DONE)


def current_call() -> Call[Any] | None:
    """The synchronous call that the code on this loop works for, if its thread waits for this loop."""
    call = _call.get()
    return call if call is not None and call.loop is running_loop() else None


async def off_loop(
    fn: Callable[[], T], *, on_caller: bool = False, give_up: _threads.GiveUp | None = None
) -> T:
    """Runs synchronous code on a thread.

    Args:
        fn: The code; it sees the context variables of this moment.
        on_caller: Whether the thread that waits in a synchronous call may serve. It then does if it is
            free; else, and otherwise, a thread of its own is found.
        give_up: Ends the wait early; defaults to that of the synchronous call, if there is one.

    A cancellation is held back until the code has ended or was given up on.
    """
    call = current_call()
    job = _threads.Job(fn, copy_context(), asyncio.get_running_loop())
    if not (on_caller and call is not None and call.try_serve(job)):
        _threads.submit(job)
    if give_up is None and call is not None:
        give_up = call.give_up
    return await job.outcome(give_up)


def run(make: Callable[[], Awaitable[T]], *, verb: str, timeout: float | None = None) -> T:
    """Does asynchronous work from synchronous code and returns its result.

    Args:
        make: Makes the awaitable; called on the loop.
        verb: Name of the asynchronous verb, for messages.
        timeout: Seconds after which the work is cancelled. Its clean-up is waited for; synchronous
            node code is given up on.

    Raises:
        SyncCallError: The call would hang.
        TimeoutError: The timeout expired.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    call: Call[T] = Call(verb, patient=timeout is None)
    call.start(make)
    call.finish(deadline)
    return call.outcome()


def _forget_calls() -> None:
    """A forked child runs none of its parent's work, even if it was forked in the middle of some."""
    _call.set(None)
    _blocked.set(frozenset())
    _context.current_task.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_calls)
