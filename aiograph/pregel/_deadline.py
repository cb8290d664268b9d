"""How long an attempt may take: a time for all of it, a time without a sign of life, and one timer for both.

A sign of life only notes when it came, so it may come from any thread and costs next to nothing. The timer
looks at that when it goes off, and is set again if there is time left.
"""

import asyncio
from math import inf
from types import TracebackType
from typing import Literal, Self, cast

from aiograph._onlookers import Pulse
from aiograph._threads import GiveUp
from aiograph.errors import NodeTimeoutError
from aiograph.types import TimeoutPolicy

_TICK = 1e-6
"""Seconds by which a loop's timers may go off too early."""


class Deadline:
    """The deadline of one attempt. The task that makes it enters it, and is cancelled once it passes.

    Whoever is cancelled that way sees `TimeoutError`. An attempt that has not taken notice may go on: ask
    `has_passed` before anything that it has made is used.
    """

    __slots__ = (
        "_around",
        "_began",
        "_give_up",
        "_last",
        "_limit",
        "_loop",
        "_policy",
        "_timer",
        "passed_at",
    )

    def __init__(self, policy: TimeoutPolicy, give_up: GiveUp, around: Pulse | None) -> None:
        self._policy = policy
        self._give_up = give_up
        self._around = around
        self._loop = asyncio.get_running_loop()
        self._limit = asyncio.timeout(None)
        self._began = self._last = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self.passed_at: float | None = None
        """When it passed, on the loop's clock."""

    async def __aenter__(self) -> Self:
        await self._limit.__aenter__()
        if self._ends < inf:
            self._timer = self._loop.call_at(self._ends, self._look)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._limit.__aexit__(kind, error, trace)

    @property
    def has_passed(self) -> bool:
        return self.passed_at is not None

    def error(self, node: str) -> NodeTimeoutError:
        """What is raised once it has passed."""
        assert self.passed_at is not None
        kind: Literal["run", "idle"] = "run" if self._run_ends <= self._idle_ends else "idle"
        run, idle = self._run, self._idle
        exceeded = run if kind == "run" else idle
        assert exceeded is not None
        elapsed = self.passed_at - self._began
        return NodeTimeoutError(
            node, exceeded, run_timeout=run, idle_timeout=idle, elapsed=elapsed, kind=kind
        )

    # -- signs of life, from any thread

    @property
    def is_over(self) -> bool:
        """See `Pulse`."""
        return self.has_passed or (self._around is not None and self._around.is_over)

    def progress(self) -> None:
        """See `Pulse`."""
        if self._policy.refresh_on == "auto":
            self._note()
        if self._around is not None:
            self._around.progress()

    def heartbeat(self) -> None:
        """See `Pulse`. What lives within a piece of work is a sign that the work lives."""
        self._note()
        if self._around is not None:
            self._around.heartbeat()

    def _note(self) -> None:
        if not self.has_passed:
            self._last = self._loop.time()

    # -- on the loop

    @property
    def _run(self) -> float | None:
        return cast("float | None", self._policy.run_timeout)  # a policy keeps seconds

    @property
    def _idle(self) -> float | None:
        return cast("float | None", self._policy.idle_timeout)

    @property
    def _run_ends(self) -> float:
        return inf if self._run is None else self._began + self._run

    @property
    def _idle_ends(self) -> float:
        return inf if self._idle is None else self._last + self._idle

    @property
    def _ends(self) -> float:
        return min(self._run_ends, self._idle_ends)

    def _look(self) -> None:
        now, ends = self._loop.time(), self._ends
        if now < ends - _TICK:
            self._timer = self._loop.call_at(ends, self._look)
            return
        self.passed_at = now
        self._give_up.trigger()
        self._limit.reschedule(now)
