"""What a benchmark is: a shape of work, the same for each contender, and what one unit of it is."""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, TypeAlias

from bench._packages import Package

Clock: TypeAlias = Literal["cpu", "wall", "child"]
"""What is compared.

- `"cpu"`: processor time of this process, all threads: what most cases cost
- `"wall"`: time that passes, for cases that wait on a disk
- `"child"`: processor time of child processes
"""

Work: TypeAlias = Callable[[], Any]
"""What is timed: a plain function, or one that is `async def`. Its answer is compared across contenders."""


class Setup(NamedTuple):
    """What a contender gets to build its work from, outside of the measured time."""

    size: int
    resources: AsyncExitStack
    """Closed after the measurement."""


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
    clock: Clock = "cpu"
    has_rival: bool = True
    """Whether LangGraph can do this at all."""
    note: str = ""
    """What has to be known to read the row."""
