"""Synchronous code off the loop: threads made on demand, counted, reused, and waited for.

A thread that waits for nested work must never keep that work from getting a thread, so there is no
upper limit (the thread cache of trio works the same way). Whoever waits for a thread outlasts
cancellation: control does not return while the code still runs, unless somebody gives up on it.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context, ContextVar, copy_context
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

IDLE_SECONDS = 10.0
"""A thread without work ends after this long."""


class ThreadStatistics(NamedTuple):
    """Counts for tests and for the curious."""

    alive: int
    """Threads that exist, at work or idle."""
    busy: int
    """Pieces of code that are under way for a loop, on a thread of ours or on one that waits in a synchronous
    call; runs that need no loop are not counted."""
    abandoned: int
    """Pieces of code that nobody waits for any more and that have not ended yet."""


class Nested(Protocol):
    """Work that code in a thread has started and waits for. Both return at once."""

    def request_cancel(self) -> None: ...

    def request_give_up(self) -> None: ...


class GiveUp:
    """Ends every wait for a thread that was entered under it. Used on one loop only."""

    __slots__ = ("_watchers", "given_up")

    def __init__(self) -> None:
        self.given_up = False
        self._watchers: set[Callable[[], None]] = set()

    def trigger(self) -> None:
        """From now on nobody waits for the threads of this piece of work."""
        self.given_up = True
        for watcher in tuple(self._watchers):
            watcher()

    def watch(self, watcher: Callable[[], None]) -> None:
        self._watchers.add(watcher)

    def unwatch(self, watcher: Callable[[], None]) -> None:
        self._watchers.discard(watcher)


class Job(Generic[T]):
    """One call of synchronous code on behalf of a loop; `run` happens on whichever thread serves it."""

    __slots__ = (
        "_given_up",
        "_waiter",
        "_work",
        "cancelled",
        "error",
        "has_ended",
        "level",
        "loop",
        "nested",
        "on_caller",
        "ran",
        "result",
    )

    def __init__(self, fn: Callable[[], T], context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._work = [(fn, context)]
        """Empty once the code has begun, or has been withdrawn: whoever takes it out decides."""
        self.loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._given_up = False
        self.nested: set[Nested] = set()
        outer: Job[Any] | None = context.get(current_job)
        self.level = 0
        """How many jobs are served on this thread below this one."""
        self.on_caller: bool = outer is not None and outer.on_caller and not outer.has_ended
        """Whether a thread that waits in a synchronous call cannot go on before this job has ended."""
        self.cancelled = False
        self.has_ended: bool = False
        """Set on the serving thread."""
        self.ran = False
        """Set on the loop, once it knows that the code has ended or never will begin."""
        self.error: BaseException | None = None
        self.result: T | None = None
        _under_way.add(self)

    # on the serving thread

    @property
    def has_begun(self) -> bool:
        """Whether the code has begun, or been withdrawn, and so must not begin any more."""
        return not self._work

    def run(self) -> None:
        """Runs the code, unless somebody else has; never raises, whatever the code does."""
        try:
            # local, so that neither the code nor its context lives as long as the outcome
            fn, context = self._work.pop()
        except IndexError:
            return
        try:
            self.result = context.run(_as_job, self, fn)
        except BaseException as error:
            self.error = error

    def deliver(self) -> None:
        """Tells the loop that the code has ended; last of all. Doing it again is harmless."""
        self.has_ended = True
        _abandoned.discard(self)
        try:
            self.loop.call_soon_threadsafe(self._finish)
        except RuntimeError:
            pass  # the loop was closed by somebody who did not wait: nobody is left to tell
        finally:
            _under_way.discard(self)

    # on the loop

    def give_up(self) -> None:
        """Ends the wait for this job, once it is cancelled."""
        self._given_up = True
        self._wake()

    def _finish(self) -> None:
        self.ran = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(self, give_ups: Sequence[GiveUp] = ()) -> T:
        """What the code returned or raised.

        A cancellation withdraws code that has not begun. Else it cancels the nested work that the code
        waits for, is held back until the code has ended or was given up on, and is raised after that.
        """
        try:
            while not self.ran:  # who is given up on before the cancellation arrives has no result
                await self._end()
        except asyncio.CancelledError:
            self.cancelled = True
            if not self.ran and not self._withdraw():
                await self._outlast(give_ups)
            raise
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None  # its traceback refers to this very frame
        return self.result  # type: ignore[return-value]  # set by run, unless error is

    async def _end(self) -> None:
        if not self.ran:
            self._waiter = self.loop.create_future()
            await self._waiter

    def _withdraw(self) -> bool:
        try:
            self._work.pop()
        except IndexError:
            return False
        self.ran = True
        _under_way.discard(self)
        return True

    async def _outlast(self, give_ups: Sequence[GiveUp]) -> None:
        from anyio import CancelScope

        for call in tuple(self.nested):
            call.request_cancel()
        for give_up in give_ups:
            give_up.watch(self._wake)
        try:
            with CancelScope(shield=True):
                while not self.ran and not self._is_given_up(give_ups):
                    with suppress(asyncio.CancelledError):  # the first one is raised in the end
                        await self._end()
        finally:
            for give_up in give_ups:
                give_up.unwatch(self._wake)
        if not self.ran:
            self._abandon()

    def _is_given_up(self, give_ups: Sequence[GiveUp]) -> bool:
        return self._given_up or any(give_up.given_up for give_up in give_ups)

    def _abandon(self) -> None:
        _abandoned.add(self)
        if self.has_ended:  # meanwhile, on its thread
            _abandoned.discard(self)
        for call in tuple(self.nested):
            call.request_give_up()


current_job: ContextVar["Job[Any] | None"] = ContextVar("aiograph_job", default=None)
"""The job whose code runs here, on a thread that serves a loop."""

_under_way: set[Job[Any]] = set()
_abandoned: set[Job[Any]] = set()


def _as_job(job: Job[T], fn: Callable[[], T]) -> T:
    current_job.set(job)
    return fn()


class _Worker:
    """A daemon thread that takes one job at a time."""

    __slots__ = ("_inbox", "_pool")

    def __init__(self, pool: "_Pool") -> None:
        self._pool = pool
        self._inbox: queue.SimpleQueue[Job[Any]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="aiograph-worker", daemon=True).start()

    def give(self, job: Job[Any]) -> None:
        self._inbox.put(job)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            # free before the answer arrives, so that the next superstep finds this thread
            self._pool.idle.append(self)
            job.deliver()
            del job
        self._pool.alive.discard(self)

    def _next(self) -> Job[Any] | None:
        while True:
            try:
                return self._inbox.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                try:
                    self._pool.idle.remove(self)
                except ValueError:
                    continue  # chosen for a job that is on its way
                return None


class _Pool:
    def __init__(self) -> None:
        self.idle: list[_Worker] = []
        self.alive: set[_Worker] = set()

    def submit(self, job: Job[Any]) -> None:
        try:
            worker = self.idle.pop()
        except IndexError:
            worker = _Worker(self)
            self.alive.add(worker)
        worker.give(job)


_pool = _Pool()


def submit(job: Job[Any]) -> None:
    """Has `job` run on a thread of its own, at once.

    Raises:
        RuntimeError: The system has no thread left to give.
    """
    try:
        _pool.submit(job)
    except RuntimeError as error:
        _under_way.discard(job)
        raise RuntimeError(
            f"{error}; there are {len(_pool.alive)}: lower max_concurrency or the number of runs at a time, "
            "make nodes asynchronous, or raise what the system allows this process"
        ) from error


async def in_thread(fn: Callable[[], T], *, give_up: GiveUp | None = None) -> T:
    """Runs `fn` on a thread and returns its result; see `Job.outcome` for cancellation."""
    job = Job(fn, copy_context(), asyncio.get_running_loop())
    submit(job)
    return await job.outcome(() if give_up is None else (give_up,))


def give_up_on(loop: asyncio.AbstractEventLoop) -> None:
    """Has nobody on `loop`, which is about to be closed, wait for the threads that work for it now."""
    for job in tuple(_under_way):
        if job.loop is loop:
            job.give_up()


def busy_threads() -> int:
    """How many jobs are under way on threads; a virtual clock stands still meanwhile."""
    return len(_under_way)


def thread_statistics() -> ThreadStatistics:
    """Counts of threads and of abandoned code, as they are at this moment."""
    return ThreadStatistics(len(_pool.alive), len(_under_way), len(_abandoned))


def _forget_threads() -> None:
    """In a forked child no thread of the parent's exists."""
    global _pool
    _pool = _Pool()
    _under_way.clear()
    _abandoned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
