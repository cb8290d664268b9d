"""What a benchmark is: a shape of work, the same for each contender, and what one unit of it is."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from bench._packages import RIVAL, Package

FLOOR = "floor"
"""The contender that is hand-written."""

Clock: TypeAlias = Literal["cpu", "wall", "child"]
"""What is compared, in seconds.

- `"cpu"`: processor time of this process, all threads: what most cases cost
- `"wall"`: time that passes, for cases that wait on a disk
- `"child"`: processor time of child processes
"""

Meter: TypeAlias = Literal["bound", "stored", "WAL", "heap"]
"""What else is compared, in bytes. Who sets up a contender's storage says how to read it.

- `"bound"`: bound as parameters to statements that write
- `"stored"`: taken up by the tables and their indexes
- `"WAL"`: written by PostgreSQL to its log, which is what replicas and archives get
- `"heap"`: held by Python objects
"""

Measure: TypeAlias = Clock | Meter

Work: TypeAlias = Callable[[], Any]
"""What is timed: a plain function, or one that is `async def`. Its answer is compared across contenders."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a contender gets to build its work from, outside of the measured time."""

    size: int
    resources: AsyncExitStack
    """Closed after the measurement."""
    meters: dict[Measure, Callable[[], float]] = field(default_factory=dict)
    """For the contender to fill in; read before and after the work."""
    scale: float = 1.0
    counts_bytes: bool = False
    """Whether anybody reads meters. If not, nothing is to be counted, as counting takes time."""

    def scaled(self, size: int) -> int:
        """A size beside the one that counts units, such as the number of channels."""
        return max(1, round(size * self.scale))


class Goal(NamedTuple):
    """Where aiograph wants to stand."""

    most: float
    over: str = RIVAL.name
    """The contender that the ratio is taken to."""
    measure: Measure | None = None
    """The case's clock, if it does not say."""


class Point(NamedTuple):
    """A case's place on a growth curve: the cost of a unit against the size of something else."""

    curve: str
    """What grows, as the axis is to be named."""
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    unit: str
    """What is counted: a superstep, a node, a run."""
    size: int
    """Units that one call of the work does."""
    floor: Callable[[Setup], Awaitable[Work]] | None = None
    """The user code without any engine, where there is such a thing."""
    subject: Callable[[Package, Setup], Awaitable[Work]]
    """The same on a package, through names that both packages have."""
    clock: Measure = "cpu"
    also: tuple[Measure, ...] = ()
    """What is read at the same time; each gets a row of its own. With a meter, the work is done once."""
    has_rival: bool = True
    """Whether LangGraph can do this at all."""
    needs: str = ""
    """A module below the package, without which LangGraph is left out."""
    requires: str = ""
    """A module without which nobody can run it."""
    goals: tuple[Goal, ...] = ()
    point: Point | None = None
    note: str = ""
    """What has to be known to read the row."""

    @property
    def measures(self) -> tuple[Measure, ...]:
        """All that is read."""
        return (self.clock, *self.also)

    @property
    def counts_bytes(self) -> bool:
        """Whether bytes are read, which once is enough for."""
        return any(measure in get_args(Meter) for measure in self.measures)

    @property
    def can_run(self) -> bool:
        return not self.requires or find_spec(self.requires) is not None

    def goal(self, measure: Measure, over: str) -> float | None:
        """The ratio to stay at or below; none if nothing was set."""
        wanted = [
            each.most for each in self.goals if (each.measure or self.clock, each.over) == (measure, over)
        ]
        return wanted[0] if wanted else None
