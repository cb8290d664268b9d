"""Counts and seconds: of a superstep, of a run, and of many runs. Values only; who measures is the engine."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Protocol


@dataclass(frozen=True, slots=True, eq=False)
class RunInfo:
    """Which run it is. Each run has an object of its own, which serves as a key."""

    graph: str
    """Name of the graph."""
    thread_id: str | None
    """`None` without a saver."""
    namespace: str
    """Where in its thread the run keeps its state; empty for a run that is not nested."""
    is_nested: bool
    """Whether it was started by a task of a run that the same collector is told of."""


class TaskInfo(Protocol):
    """Which task it is. Only to be read, and only while the task runs."""

    @property
    def name(self) -> str:
        """Name of the node."""
        ...

    @property
    def id(self) -> str:
        """The same in every attempt, before and after a crash; made when it is first asked for."""
        ...

    @property
    def step(self) -> int:
        """Number of the superstep."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeStats:
    """The tasks of one node."""

    tasks: int = 0
    """Tasks that have run."""
    errors: int = 0
    """Those that have failed, after all attempts."""
    retries: int = 0
    """Attempts beyond the first."""
    seconds: float = 0.0
    """From the first attempt's start to the last one's end; tasks side by side add up."""

    def __add__(self, other: "NodeStats") -> "NodeStats":
        return NodeStats(
            tasks=self.tasks + other.tasks,
            errors=self.errors + other.errors,
            retries=self.retries + other.retries,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was done, and the seconds that each stage took; virtual ones on a loop with a virtual clock."""

    tasks: int = 0
    """Tasks that were due; those that had finished in an earlier run do not count."""
    successes: int = 0
    """Tasks that have finished."""
    errors: int = 0
    """Tasks that have failed, after all attempts."""
    questions: int = 0
    """Tasks that have stopped to ask something."""
    retries: int = 0
    """Attempts beyond the first."""
    planning: float = 0.0
    """Seconds for finding out which tasks are due."""
    execution: float = 0.0
    """Seconds until the last task had ended; with it, what tasks wait for when the consumer is slow."""
    apply: float = 0.0
    """Seconds for reducers, and for making the new state."""
    checkpoint: float = 0.0
    """Seconds for encoding and storing, as far as the run waits for it."""
    output: float = 0.0
    """Seconds for what a stream shows, and for waiting until its consumer has room."""
    nodes: Mapping[str, NodeStats] = field(default_factory=dict)
    """The tasks again, by node."""


_COUNTED = tuple(each.name for each in fields(Figures) if each.name != "nodes")


@dataclass(frozen=True, slots=True, kw_only=True)
class SuperstepStats(Figures):
    """One superstep. Tasks that are in none of the counts were cancelled with it."""

    step: int
    """Its number, as in checkpoints and streams."""

    @property
    def seconds(self) -> float:
        """All stages together."""
        return self.planning + self.execution + self.apply + self.checkpoint + self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStats(Figures):
    """One run. Beside its supersteps it stores the input, and plans once more to find nothing due."""

    run: RunInfo
    supersteps: int
    """How many were begun."""
    seconds: float
    """From its start to its end."""
    opening: float
    """Seconds until the first superstep: loading the thread, taking in the input."""
    error: str | None
    """The type of what the run has raised. A run that stops to ask has not failed."""
    steps: tuple[SuperstepStats, ...] = ()
    """The last supersteps, as many as the collector keeps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals(Figures):
    """Many runs that have ended."""

    runs: int = 0
    failures: int = 0
    """Runs that have raised."""
    supersteps: int = 0
    seconds: float = 0.0
    """From each run's start to its end; runs side by side add up."""

    def plus(self, run: RunStats) -> "Totals":
        """These and one more run."""
        return Totals(
            runs=self.runs + 1,
            failures=self.failures + (run.error is not None),
            supersteps=self.supersteps + run.supersteps,
            seconds=self.seconds + run.seconds,
            nodes=_nodes(self.nodes, run.nodes),
            **{name: getattr(self, name) + getattr(run, name) for name in _COUNTED},
        )


def _nodes(nodes: Mapping[str, NodeStats], more: Mapping[str, NodeStats]) -> Mapping[str, NodeStats]:
    return {**nodes, **{name: nodes.get(name, NodeStats()) + each for name, each in more.items()}}
