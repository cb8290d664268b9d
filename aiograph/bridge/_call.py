"""One synchronous call: its work on a loop, and the thread that waits for it."""

import asyncio
import os
import queue
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar, copy_context
from enum import Enum
from typing import Any, TypeVar

from aiograph import _context, _threads
from aiograph._need_loop import is_on_loop, need_loop
from aiograph.bridge import _admit
from aiograph.bridge._admit import Verb, admit, blocked_above, blocked_by, running_loop
from aiograph.bridge._errand import LIVENESS_SECONDS, Errand
from aiograph.bridge._loop import Loop
from aiograph.bridge._seat import Seat
from aiograph.errors import SyncCallError

T = TypeVar("T")

_current: ContextVar["Call[Any] | None"] = ContextVar("aiograph_call", default=None)


class _Signal(Enum):
    JOB = "a job has been taken"
    READY = "there is something to take"
    DONE = "the work has ended"


class Call(Errand[T]):
    """One piece of work on a loop, and the thread that waits for it.

    While it waits, the thread may serve one job at a time: synchronous node code of this very call.

    Args:
        verb: For messages.
        work: Makes the awaitable, out of this call; called where the work begins.
        patient: Whether the thread may serve: it must not if it has to leave at some time.
        begins_here: Whether the work may begin on the thread, without a loop. It does if the thread may
            serve, and no run or loop is around it.
        is_stream: Whether things can be taken before the end. What is there to be taken goes before jobs.

    Raises:
        SyncCallError: To wait would be to hang.
    """

    def __init__(
        self,
        verb: Verb,
        work: "Callable[[Call[T]], Awaitable[T]]",
        *,
        patient: bool,
        begins_here: bool = False,
        is_stream: bool = False,
    ) -> None:
        context = copy_context()
        super().__init__(verb, admit(verb), context)
        context.run(_current.set, self)
        context.run(blocked_above.set, blocked_by(self))
        self._work = work
        self._is_stream = is_stream
        self._enclosing = _current.get()
        self._outer = _living_job()
        self._is_sent = False
        self._inbox: queue.SimpleQueue[_Signal] = queue.SimpleQueue()
        self._begins_here = begins_here and patient and self._outer is None and _is_outermost()
        level = 0 if self._outer is None else self._outer.level + 1
        self._seat = Seat(level, is_open=patient and not self._begins_here)
        self.give_up = _threads.GiveUp()
        """Ends every wait for the synchronous node code of this call."""

    # on the waiting thread

    def check(self) -> None:
        """Makes sure, for a call that is waited for more than once, that the next wait will not hang.

        Raises:
            SyncCallError: It would.
        """
        if self.is_done or self.is_inherited:
            return
        _admit.check(self.loop, self.verb)
        call = _current.get()
        while call is not None and call is not self:
            call = call._enclosing
        if call is self:
            raise SyncCallError(
                f"{self.verb.twin}() waits for the very code that has just asked it to go on or to end"
            )

    def wait(self, deadline: float | None = None) -> None:
        """Waits until there is something to take or the work has ended, serving jobs meanwhile.

        Raises:
            queue.Empty: The deadline (of `time.monotonic`) has passed.
        """
        if not self._is_sent:
            self._set_out()
        if self.is_inherited or self.loop.is_closed():
            self.look()
        self._seat.complete()
        while not self.is_done:
            signal = self._receive(deadline)
            if signal is _Signal.JOB:
                self._seat.serve()
            elif signal is not None:
                return

    def _set_out(self) -> None:
        self._is_sent = True
        if self._begins_here:
            self.begin_here()
            if self.is_done or self.is_inherited:
                return
            self._seat.open()
        outer = self._outer
        if outer is not None:
            # in this order: whoever cancels the node looks for nested calls after having said so
            outer.nested.add(self)
            if outer.cancelled:
                outer.nested.discard(self)
                self._end(asyncio.CancelledError())
                return
        self.send()

    def _receive(self, deadline: float | None) -> _Signal | None:
        left = LIVENESS_SECONDS
        if deadline is not None:
            left = min(left, max(0.0, deadline - time.monotonic()))
        try:
            signal = self._inbox.get(timeout=left)
        except queue.Empty:
            if deadline is not None and time.monotonic() >= deadline:
                raise
            self.look()
            return None
        if signal is _Signal.DONE:
            self._inbox.put(signal)  # a second thread may wait, to close what this one iterates
        return signal

    def finish(self, deadline: float | None = None) -> None:
        """Waits for the end of the work; Ctrl-C and the deadline cancel it and wait for its clean-up.

        Raises:
            TimeoutError: The deadline has passed; synchronous node code was given up on.
            KeyboardInterrupt: Ctrl-C was pressed; a second one gives up on synchronous node code.
        """
        try:
            while not self.is_done:
                self.wait(deadline)
        except queue.Empty:
            self.time_out()
        except KeyboardInterrupt:
            self.stop()
            raise

    def time_out(self) -> None:
        """Cancels the work, which may end well all the same, and waits for its clean-up.

        Raises:
            TimeoutError: It did not.
        """
        self.stop(give_up=True)
        error, self.error = self.error, None
        if error is not None:
            cause = None if isinstance(error, asyncio.CancelledError) else error
            raise TimeoutError(f"{self.verb.twin}() did not finish in time; it was cancelled") from cause

    def stop(self, *, give_up: bool = False) -> None:
        """Cancels the work and waits for its clean-up; no job begins on this thread meanwhile.

        Args:
            give_up: Whether not to wait for synchronous node code. A Ctrl-C has that effect, too, and
                breaks off clean-up.
        """
        self._seat.close()
        try:
            self._end_now(give_up=give_up)
        except KeyboardInterrupt:
            self._end_now(give_up=True, again=True)
            raise

    def _end_now(self, *, give_up: bool, again: bool = False) -> None:
        self.request_cancel(again=again)
        if give_up:
            self.request_give_up()
        while not self.is_done:
            self.wait()

    # from any thread

    def request_give_up(self) -> None:
        """Has nobody wait for the work's synchronous node code any more, once it is cancelled."""
        self.call_there(self.give_up.trigger)

    # on the loop

    def notify(self) -> None:
        """Wakes the waiting thread, as there is something to take."""
        self._inbox.put(_Signal.READY)

    def try_serve(self, job: _threads.Job[Any]) -> bool:
        """Has `job` run on the waiting thread, if that is open to it and free.

        A thread that is not waiting at the moment, as it handles what it took, runs it when it is back.
        """
        if not self._seat.take(job):
            return False
        if self._is_stream:
            # what led to this job may be on its way through the stream: a turn later it has arrived
            self.loop.call_soon(self._inbox.put, _Signal.JOB)
        else:
            self._inbox.put(_Signal.JOB)
        return True

    def _make(self) -> Awaitable[T]:
        return self._work(self)

    def _at_end(self) -> None:
        if self._outer is not None:
            self._outer.nested.discard(self)
        self._inbox.put(_Signal.DONE)
        self._seat.hand_over()


def _is_outermost() -> bool:
    """Whether no loop runs on this thread, and its code belongs to no run."""
    return running_loop() is None and _context.current_task.get() is None


def _living_job() -> _threads.Job[Any] | None:
    """The job whose code calls. Variables that were copied out of a job may outlive it."""
    job = _threads.current_job.get()
    return None if job is None or job.has_ended else job


def current_call() -> Call[Any] | None:
    """The synchronous call that the code on this loop works for, if its thread waits for this loop."""
    call = _current.get()
    return call if call is not None and call.loop is running_loop() else None


def working_loop() -> Loop:
    """The loop that the code here works on, or that its work will go to once it needs one.

    Raises:
        RuntimeError: There is none.
    """
    here = running_loop()
    if here is not None:
        return here
    call = _current.get()
    if call is None:
        raise RuntimeError("no event loop runs here, and no synchronous call waits for this work")
    return call.loop


async def off_loop(
    fn: Callable[[], T], *, on_caller: bool = False, give_ups: Sequence[_threads.GiveUp] = ()
) -> T:
    """Runs synchronous code on a thread.

    Args:
        fn: The code; it sees the context variables of this moment.
        on_caller: Whether the thread that waits in a synchronous call may serve. It then does if it is
            free, at once if the work has not gone to a loop yet; else, and otherwise, a thread of its own
            is found.
        give_ups: Each ends the wait early, and so does that of the synchronous call, if there is one.

    A cancellation is held back until the code has ended or was given up on.
    """
    if not is_on_loop():
        if on_caller:
            return await _here(fn)
        await need_loop()
    call = current_call()
    job = _threads.Job(fn, copy_context(), asyncio.get_running_loop())
    if not (on_caller and call is not None and call.try_serve(job)):
        _threads.submit(job)
    if call is not None:
        give_ups = (*give_ups, call.give_up)
    return await job.outcome(give_ups)


async def _here(fn: Callable[[], T]) -> T:
    """Runs synchronous code of work that is on no loop yet."""
    try:
        return copy_context().run(fn)
    finally:
        call = _current.get()
        if call is not None and call.is_inherited:
            await need_loop()  # for ever: the code has forked, and it is in the parent that the work goes on


def run(
    make: Callable[[], Awaitable[T]],
    *,
    verb: str | Verb,
    timeout: float | None = None,
    begins_here: bool = False,
) -> T:
    """Does asynchronous work from synchronous code and returns its result.

    Args:
        make: Makes the awaitable; called on the loop.
        verb: The asynchronous verb, or its name, for messages.
        timeout: Seconds after which the work is cancelled. Its clean-up is waited for; synchronous
            node code is given up on.
        begins_here: Whether the work may begin on this thread: it awaits `need_loop` before it uses a loop.

    Raises:
        SyncCallError: The call would hang.
        TimeoutError: The timeout expired.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    named = Verb(verb) if isinstance(verb, str) else verb
    call: Call[T] = Call(named, lambda _: make(), patient=timeout is None, begins_here=begins_here)
    call.finish(deadline)
    return call.outcome()


def _forget_call() -> None:
    """A forked child runs none of its parent's calls, even if it was forked in the middle of one."""
    _current.set(None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_call)
