"""Measures one run: wraps the stages of its loop, counts its tasks, and tells a collector.

A run that nobody measures has no meter: its loop calls the stages as they are, and no clock is read.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, ParamSpec, TypeVar

from aiograph._interrupt import Interrupted
from aiograph.pregel._emit import Emitter
from aiograph.pregel._place import Place
from aiograph.pregel._stages import Stages
from aiograph.pregel._tasks import Task
from aiograph.stats import Collector, NodeStats, RunInfo, RunStats, SuperstepStats

P = ParamSpec("P")
T = TypeVar("T")


class _Counts:
    """Figures that still grow."""

    __slots__ = ("figures", "nodes")

    def __init__(self) -> None:
        self.figures: dict[str, Any] = {}
        self.nodes: dict[str, NodeStats] = {}

    def add(self, name: str, amount: float) -> None:
        self.figures[name] = self.figures.get(name, 0) + amount

    def add_node(self, name: str, stats: NodeStats) -> None:
        self.nodes[name] = self.nodes.get(name, NodeStats()) + stats

    def take(self, other: "_Counts") -> None:
        for name, amount in other.figures.items():
            self.add(name, amount)
        for name, stats in other.nodes.items():
            self.add_node(name, stats)


class Meter:
    """The measures of one run. Used on its loop alone.

    Args:
        collector: Who is told.
        run: Which run it is.
        emitter: Who shows the measures of each superstep, if somebody listens.
        clock: Seconds, from whenever.
    """

    def __init__(
        self, collector: Collector, run: RunInfo, emitter: Emitter | None, clock: Callable[[], float]
    ) -> None:
        self.collector = collector
        self._run = run
        self._emitter = emitter
        self._clock = clock
        self._started = clock()
        self._opening = 0.0
        self._supersteps = 0
        self._step = _Counts()
        """Since the newest planning."""
        self._total = _Counts()
        """Up to the newest planning."""

    def around(self, stages: Stages) -> Stages:
        """The same stages, measured."""
        self._opening = self._clock() - self._started
        return Stages(
            plan=self._planning(stages.plan),
            room=self._timed("output", stages.room),
            superstep=self._superstep(stages.superstep),
            execute=self._timed("execution", stages.execute),
            apply=self._timed_at_once("apply", stages.apply),
            keep=self._timed("checkpoint", stages.keep),
            show=self._timed_at_once("output", stages.show),
            close=self._timed("checkpoint", stages.close),
        )

    def _planning(self, stage: Callable[P, T]) -> Callable[P, T]:
        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            self._total.take(self._step)
            self._step = _Counts()
            return timed(*args, **kwargs)

        timed = self._timed_at_once("planning", stage)
        return measured

    def _timed_at_once(self, name: str, stage: Callable[P, T]) -> Callable[P, T]:
        def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            before = self._clock()
            try:
                return stage(*args, **kwargs)
            finally:
                self._step.add(name, self._clock() - before)

        return measured

    def _timed(self, name: str, stage: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        async def measured(*args: P.args, **kwargs: P.kwargs) -> T:
            before = self._clock()
            try:
                return await stage(*args, **kwargs)
            finally:
                self._step.add(name, self._clock() - before)

        return measured

    def _superstep(self, stage: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
        async def measured(run: Any, stages: Stages, tasks: Sequence[Task]) -> None:
            step = tasks[0].step
            self._supersteps += 1
            with self.collector.superstep(self._run, step):
                try:
                    await stage(run, stages, tasks)
                finally:
                    self._measured(step, tasks)

        return measured

    def _measured(self, step: int, tasks: Sequence[Task]) -> None:
        for task in tasks:
            self._count(task)
        stats = SuperstepStats(step=step, nodes=dict(self._step.nodes), **self._step.figures)
        self.collector.superstep_measured(self._run, stats)
        if self._emitter is not None:
            self._emitter.measured(stats)

    def _count(self, task: Task) -> None:
        if task.cached:
            return
        self._step.add("tasks", 1)
        if task.questions:
            self._step.add("questions", 1)
        elif task.error is not None:
            self._step.add("errors", 1)
            self._step.add_node(task.name, NodeStats(errors=1))
        elif task.writes is not None:
            self._step.add("successes", 1)

    @contextmanager
    def task(self, task: Task) -> Iterator[None]:
        """Around all attempts at one task."""
        if task.node.is_hidden:
            yield
            return
        before = self._clock()
        try:
            with self.collector.task(self._run, task):
                yield
        finally:
            self._step.add_node(task.name, NodeStats(tasks=1, seconds=self._clock() - before))

    def retried(self, task: Task, attempt: int, error: Exception) -> None:
        """Notes that an attempt has failed and another one follows; 1 is the first."""
        self._step.add("retries", 1)
        self._step.add_node(task.name, NodeStats(retries=1))
        self.collector.retried(self._run, task, attempt, error)

    def end(self, error: BaseException | None) -> None:
        """Tells what the run has come to."""
        self._total.take(self._step)
        stats = RunStats(
            run=self._run,
            supersteps=self._supersteps,
            seconds=self._clock() - self._started,
            opening=self._opening,
            error=None if error is None or isinstance(error, Interrupted) else type(error).__qualname__,
            nodes=self._total.nodes,
            **self._total.figures,
        )
        self.collector.run_measured(self._run, stats)


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """The clock to measure with: virtual where the loop's timers are, else the most exact there is.

    What real loops call their time may be counted in milliseconds, and the same throughout a turn.
    """
    is_virtual = isinstance(loop, asyncio.BaseEventLoop) and type(loop).time is not asyncio.BaseEventLoop.time
    return loop.time if is_virtual else perf_counter


@contextmanager
def metered(
    collector: Collector, graph: str, place: Place, emitter: Emitter | None, *, is_nested: bool
) -> Iterator[Meter]:
    """Measures the run that goes on in the block, and tells the collector of it.

    Args:
        is_nested: Whether a task started it of a run that the same collector is told of.
    """
    nested = place.nested if place.saver is None else None
    namespace = place.namespace if nested is None else nested.namespace
    run = RunInfo(graph, place.thread_id, namespace, is_nested)
    with collector.run(run):
        meter = Meter(collector, run, emitter, clock_of(asyncio.get_running_loop()))
        try:
            yield meter
        except BaseException as error:
            meter.end(error)
            raise
        meter.end(None)
