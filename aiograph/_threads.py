"""Synchronous code off the loop: threads made on demand, counted, reused, and waited for.

A thread that waits for nested work must never keep that work from getting a thread, so there is no
upper limit (the thread cache of trio works the same way). Whoever waits for a thread outlasts
cancellation: control does not return while the code still runs, unless somebody gives up on it.
"""

import asyncio
import os
import queue
import threading
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

T = TypeVar("T")

IDLE_SECONDS = 10.0
"""A thread without work ends after this long."""


class ThreadStatistics(NamedTuple):
    """Counts for tests and for the curious."""

    alive: int
    busy: int
    abandoned: int
    """Pieces of code that nobody waits for any more and that have not ended yet."""


class Nested(Protocol):
    """Work that code in a thread has started and waits for."""

    def request_cancel(self) -> None: ...


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
        "_context",
        "_fn",
        "_loop",
        "_waiter",
        "cancelled",
        "error",
        "level",
        "nested",
        "on_caller",
        "ran",
        "result",
    )

    def __init__(self, fn: Callable[[], T], context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._fn: Callable[[], T] | None = fn
        self._context: Context | None = context
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self.nested: set[Nested] = set()
        self.level = 0
        """How many jobs are served on this thread below this one."""
        self.on_caller = False
        """Whether the thread that serves it is one that waits for the loop."""
        self.cancelled = False
        self.ran = False
        self.error: BaseException | None = None
        self.result: T | None = None

    def run(self) -> None:
        """Runs the code; never raises, whatever the code does."""
        fn, context = self._fn, self._context
        assert fn is not None
        assert context is not None
        try:
            self.result = context.run(_as_job, self, fn)
        except BaseException as error:
            self.error = error
        # neither the code nor its context may live as long as whoever keeps the outcome
        self._fn = self._context = None

    def deliver(self) -> None:
        """Tells the loop that the code has ended; called on the serving thread, last of all."""
        try:
            self._loop.call_soon_threadsafe(self._finish)
        except RuntimeError:
            # the loop was closed by somebody who did not wait: nobody is left to tell
            _abandoned.discard(self)

    def _finish(self) -> None:
        self.ran = True
        _abandoned.discard(self)
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def outcome(self, give_up: GiveUp | None) -> T:
        """What the code returned or raised.

        A cancellation cancels the nested work that the code waits for, is then held back until the
        code has ended or was given up on, and is raised after that.
        """
        try:
            await self._ended()
        except asyncio.CancelledError:
            self._cancel_nested()
            if not self.ran:
                await self._outwait(give_up)
            raise
        if self.error is not None:
            try:
                raise self.error
            finally:
                self.error = None
        return self.result  # type: ignore[return-value]  # set by run, unless error is

    async def _ended(self) -> None:
        if not self.ran:
            self._waiter = self._loop.create_future()
            await self._waiter

    async def _outwait(self, give_up: GiveUp | None) -> None:
        from anyio import CancelScope

        with CancelScope(shield=True):
            while not self.ran and not (give_up and give_up.given_up):
                await self._one_wait(give_up)
        if not self.ran:
            _abandoned.add(self)

    async def _one_wait(self, give_up: GiveUp | None) -> None:
        if give_up is not None:
            give_up.watch(self._wake)
        try:
            await self._ended()
        except asyncio.CancelledError:
            pass  # the caller of _outwait raises the first one
        finally:
            if give_up is not None:
                give_up.unwatch(self._wake)

    def _cancel_nested(self) -> None:
        self.cancelled = True
        for call in tuple(self.nested):
            call.request_cancel()


current_job: ContextVar["Job[Any] | None"] = ContextVar("aiograph_job", default=None)
"""The job whose code runs here, on a thread that serves a loop."""

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
        self._pool.alive.add(self)
        while (job := self._next()) is not None:
            job.run()
            # free before the answer arrives, so that the next superstep finds this thread
            self._pool.idle.append(self)
            job.deliver()
            self._pool.busy.discard(job)
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
        self.busy: set[Job[Any]] = set()

    def submit(self, job: Job[Any]) -> None:
        self.busy.add(job)
        try:
            worker = self.idle.pop()
        except IndexError:
            worker = _Worker(self)
        worker.give(job)


_pool = _Pool()


def submit(job: Job[Any]) -> None:
    """Has `job` run on a thread of its own, at once.

    Raises:
        RuntimeError: The system has no thread left to give.
    """
    _pool.submit(job)


async def in_thread(fn: Callable[[], T], *, give_up: GiveUp | None = None) -> T:
    """Runs `fn` on a thread and returns its result; see `Job.outcome` for cancellation."""
    job = Job(fn, copy_context(), asyncio.get_running_loop())
    submit(job)
    return await job.outcome(give_up)


def busy_threads() -> int:
    """How many jobs are under way on threads; a virtual clock stands still meanwhile."""
    return len(_pool.busy)


def thread_statistics() -> ThreadStatistics:
    """Counts of threads and of abandoned code, as they are at this moment."""
    return ThreadStatistics(len(_pool.alive), len(_pool.busy), len(_abandoned))


def _forget_threads() -> None:
    """In a forked child no thread of the parent's exists."""
    global _pool
    _pool = _Pool()
    _abandoned.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_threads)
