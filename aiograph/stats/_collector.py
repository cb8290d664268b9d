"""Who is told what runs do: the contract, and a collector that adds it up for code to read."""

import threading
from collections import deque
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

from aiograph.stats._values import RunInfo, RunStats, SuperstepStats, TaskInfo, Totals

_NOTHING: AbstractContextManager[None] = nullcontext()


@runtime_checkable
class Collector(Protocol):
    """Told what the runs of a graph do, and of graphs within it that have no collector of their own.

    Subclass it and define what you need; what is not defined does nothing. One collector may serve many
    graphs. The methods are called on the loop of the run, by many loops at once, so they must be quick and
    safe to call from several threads. What they raise ends the run.

    The context managers are entered in the context that the run, or the task, runs in: a context variable
    that is set there is seen by the code of nodes.
    """

    def run(self, run: RunInfo) -> AbstractContextManager[Any]:
        """Entered when a run begins; left when it has ended, with what it raises."""
        return _NOTHING

    def superstep(self, run: RunInfo, step: int) -> AbstractContextManager[Any]:
        """Entered when the tasks of a superstep are known; left when its state is kept and shown."""
        return _NOTHING

    def task(self, run: RunInfo, task: TaskInfo) -> AbstractContextManager[Any]:
        """Around all attempts at one task. It is left with what the last attempt has raised."""
        return _NOTHING

    def retried(self, run: RunInfo, task: TaskInfo, attempt: int, error: Exception) -> None:
        """An attempt has failed, and there will be another one; 1 is the first."""
        return None

    def superstep_measured(self, run: RunInfo, stats: SuperstepStats) -> None:
        """A superstep has ended, however it did."""
        return None

    def run_measured(self, run: RunInfo, stats: RunStats) -> None:
        """A run has ended, however it did."""
        return None


class Statistics(Collector):
    """Adds up what runs did. `compile(stats=True)` makes one; it is the graph's `stats`.

    It can be read at any time, from any thread; what is read does not change any more.

    Args:
        keep_runs: The runs that `runs` remembers.
        keep_supersteps: The supersteps of each run that are remembered in its `steps`.
    """

    def __init__(self, *, keep_runs: int = 10, keep_supersteps: int = 1000) -> None:
        self._lock = threading.Lock()
        self._keep_supersteps = keep_supersteps
        self._runs: deque[RunStats] = deque(maxlen=keep_runs)
        self._steps: dict[RunInfo, deque[SuperstepStats]] = {}
        self._totals = Totals()
        self._nested = Totals()

    @property
    def totals(self) -> Totals:
        """All runs but nested ones, whose time is part of the execution of the runs around them."""
        return self._totals

    @property
    def nested(self) -> Totals:
        """All runs that tasks of other runs have started."""
        return self._nested

    @property
    def runs(self) -> tuple[RunStats, ...]:
        """The runs that have ended last, nested ones among them; the newest comes last."""
        with self._lock:
            return tuple(self._runs)

    def superstep_measured(self, run: RunInfo, stats: SuperstepStats) -> None:
        with self._lock:
            self._steps.setdefault(run, deque(maxlen=self._keep_supersteps)).append(stats)

    def run_measured(self, run: RunInfo, stats: RunStats) -> None:
        with self._lock:
            self._runs.append(replace(stats, steps=tuple(self._steps.pop(run, ()))))
            if run.is_nested:
                self._nested = self._nested.plus(stats)
            else:
                self._totals = self._totals.plus(stats)
