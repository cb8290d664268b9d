"""What a benchmark is: a shape of work, the same for each contender, and what one unit of it is."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, get_args

from bench._packages import Package

Clock: TypeAlias = Literal["cpu", "wall", "child"]
"""What is compared, in seconds.

- `"cpu"`: processor time of this process, all threads: what most cases cost
- `"wall"`: time that passes, for cases that wait on a disk
- `"child"`: processor time of child processes
"""

Meter: TypeAlias = Literal["bound", "stored", "WAL"]
"""What else is compared, in bytes. Who sets up a contender's storage says how to read it.

- `"bound"`: bound as parameters to statements that write
- `"stored"`: taken up by the tables and their indexes
- `"WAL"`: written by PostgreSQL to its log, which is what replicas and archives get
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One row of the table."""

    name: str
    unit: str
    """What is counted: a superstep, a node, a run."""
    size: int
    """Units that one call of the work does."""
    floor: Callable[[Setup], Awaitable[Work]]
    """The user code without any engine."""
    subject: Callable[[Package, Setup], Awaitable[Work]]
    """The same on a package, through names that both packages have."""
    clock: Measure = "cpu"
    also: tuple[Measure, ...] = ()
    """What is read at the same time; each gets a row of its own. With a meter, the work is done once."""
    has_rival: bool = True
    """Whether LangGraph can do this at all."""
    needs: str = ""
    """A module below the package, without which LangGraph is left out."""
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
