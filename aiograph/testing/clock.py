"""Virtual time: an event loop whose clock jumps to the next timer whenever there is nothing else to do.

Sleeps, timeouts, retries and time-to-live take microseconds, and their order is the same on every
machine. What is virtual is the loop's clock, `loop.time()`, and on request the wall clock that
timestamps and checkpoint ids come from. `time.monotonic` and `time.sleep` are as real as ever.

The clock stands still while threads are at work: it cannot know when they will be done. Their count
comes from a hook; threads of the loop's own executors (`asyncio.to_thread`) are counted as well. Work
that arrives from elsewhere, over a socket, from a child process or from another thread's loop, is not
seen; a loop that waits for it sees its timers go off at once. Give it a hook that counts such work.
"""

import asyncio
import math
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, TypeVarTuple
from unittest.mock import patch

from aiograph import _ids
from aiograph._threads import busy_threads
from aiograph.errors import AiographError

__all__ = ["EPOCH", "StuckLoopError", "VirtualClockLoop", "run_virtual", "virtual_backend", "virtual_wall"]

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Busy = Callable[[], int]

EPOCH = 946_684_800.0
"""Where virtual wall time starts: 2000-01-01, in seconds since 1970. Plainly not now."""

PATIENCE = 30.0
_RESOLUTION = 1e-9
_POLL = 0.001
"""Real seconds between two looks at threads that are at work; they wake the loop when they deliver."""


class StuckLoopError(AiographError, RuntimeError):
    """Nothing can ever happen on a virtual loop, or threads have kept its clock still for too long.

    The message says what each task waits for.
    """


class VirtualClockLoop(asyncio.SelectorEventLoop):
    """An asyncio loop on virtual time, which starts at 0.0.

    A loop that would block for the next timer sets its clock to that timer instead. One that would
    block for ever raises `StuckLoopError` out of `run_forever` and what is built on it; it can still be
    closed, or run again.

    Args:
        busy: Says how many pieces of work are under way that will end by waking this loop. Asked only
            when the loop has nothing to do. Counts aiograph's own threads if not given.
        patience: Real seconds after which busy threads that give no sign count as stuck.
    """

    def __init__(self, busy: Busy = busy_threads, *, patience: float = PATIENCE) -> None:
        self._now = 0.0
        self._busy = busy
        self._own_jobs = 0
        self._patience = patience
        super().__init__(_JumpingSelector(self))
        self._clock_resolution = _RESOLUTION

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def run_in_executor(
        self, executor: Executor | None, func: Callable[[*Ts], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Runs code on a thread; the clock stands still meanwhile."""
        future = super().run_in_executor(executor, func, *args)
        self._own_jobs += 1
        future.add_done_callback(self._job_ended)
        return future

    async def shutdown_default_executor(self, *args: Any, **kwargs: Any) -> None:
        self._own_jobs += 1  # a thread of its own waits for the executor's
        try:
            await super().shutdown_default_executor(*args, **kwargs)
        finally:
            self._own_jobs -= 1

    def _job_ended(self, _: object) -> None:
        self._own_jobs -= 1

    def _is_busy(self) -> bool:
        return self._own_jobs > 0 or self._busy() > 0

    def _jump(self, seconds: float | None) -> None:
        if seconds is None:
            raise self._stuck("nothing can ever happen here: no timer is set and no thread is at work")
        self._now += seconds
        # the loop runs timers that are due before the end of now: it must not be now itself, by rounding
        self._clock_resolution = max(_RESOLUTION, 2 * math.ulp(self._now))

    def _stuck(self, why: str) -> StuckLoopError:
        tasks = sorted(f"\n  {task.get_name()}: {_place(task)}" for task in asyncio.all_tasks(self))
        return StuckLoopError(f"{why}; these tasks wait:{''.join(tasks) or ' none'}")


class _JumpingSelector(selectors.DefaultSelector):
    """Looks for events without blocking. Where it would block, it waits for threads, or time jumps."""

    def __init__(self, loop: VirtualClockLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if events or (timeout is not None and timeout <= 0):
            return events
        events = self._wait_for_threads()
        if not events:
            self._loop._jump(timeout)
        return events

    def _wait_for_threads(self) -> list[tuple[selectors.SelectorKey, int]]:
        loop = self._loop
        end = time.monotonic() + loop._patience
        while loop._is_busy():
            events = super().select(_POLL)
            if events:
                return events
            if time.monotonic() > end:
                raise loop._stuck(f"threads have been at work for {loop._patience} s and gave no sign")
        # a thread wakes the loop before it stops counting, so what it has delivered is here by now
        return super().select(0)


def _place(task: asyncio.Task[Any]) -> str:
    """Where a task stands, from its coroutine inwards: `node (app.py:7) > Event.wait (locks.py:213)`."""
    places = []
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        file = frame.f_code.co_filename.replace("\\", "/").rpartition("/")[2]
        places.append(f"{awaited.__qualname__} ({file}:{frame.f_lineno})")
        awaited = awaited.cr_await
    return " > ".join(places) or repr(awaited)


def run_virtual(main: Coroutine[Any, Any, T], *, busy: Busy = busy_threads, patience: float = PATIENCE) -> T:
    """Runs a coroutine on a new virtual loop, with a virtual wall clock, and returns its result.

    Raises:
        StuckLoopError: The coroutine waits for what can never happen; see `VirtualClockLoop`.

    Examples:
        >>> import asyncio
        >>> async def nap() -> float:
        ...     await asyncio.sleep(3600)
        ...     return asyncio.get_running_loop().time()
        >>> run_virtual(nap())
        3600.0
    """
    factory = partial(VirtualClockLoop, busy, patience=patience)
    with asyncio.Runner(loop_factory=factory) as runner, virtual_wall(runner.get_loop()):
        return runner.run(main)


def virtual_backend(*, busy: Busy = busy_threads, patience: float = PATIENCE) -> tuple[str, dict[str, Any]]:
    """What a fixture `anyio_backend` returns to have anyio's pytest plugin run tests on virtual time.

    Let the fixture have function scope: each test then starts at 0.0, on a loop of its own.

    Examples:
        >>> import pytest
        >>> @pytest.fixture
        ... def anyio_backend():
        ...     return virtual_backend()
    """
    return "asyncio", {"loop_factory": partial(VirtualClockLoop, busy, patience=patience)}


@contextmanager
def virtual_wall(loop: asyncio.AbstractEventLoop, start: float = EPOCH) -> Iterator[None]:
    """Within it, aiograph's wall clock shows `start` plus the time of `loop`, in the whole process."""
    with patch.object(_ids, "wall_ns", lambda: int((start + loop.time()) * 1_000_000_000)):
        yield
