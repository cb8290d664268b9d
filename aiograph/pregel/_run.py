"""One run, whole: what it executes, where it stands, and to whom it reports."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiograph._cancel import Host
from aiograph._context import RunScope
from aiograph.pregel._call_cache import CallCache
from aiograph.pregel._emit import Emitter
from aiograph.pregel._journal import Journal
from aiograph.pregel._plan import Plan, Values
from aiograph.pregel._slots import Slots
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task
from aiograph.pregel._terms import Terms
from aiograph.types import Command, Interrupt

if TYPE_CHECKING:
    from aiograph.pregel._cache import TaskCache
    from aiograph.pregel._meter import Meter


@dataclass(slots=True)
class Run:
    """One run of a plan. Complete when constructed; the loop owns it."""

    host: Host
    """The task that drives it."""
    plan: Plan
    state: RunState
    scope: RunScope
    journal: Journal | None
    """`None` without a saver."""
    emitter: Emitter | None
    """`None` when nobody listens."""
    meter: Meter | None
    """`None` when nobody measures."""
    cache: TaskCache | None
    """`None` if no node is cached."""
    step_timeout: float | None
    """Seconds that one superstep may take."""
    max_concurrency: int | None
    terms: Terms
    recursion_limit: int
    last_step: int
    """The last superstep that the recursion limit allows."""
    call_cache: CallCache | None = None
    """Made when a task with a cache policy is called."""
    slots: Slots | None = None
    """Who of the superstep may run, if their number is limited."""
    is_stopped: bool = False
    """Whether it has stopped before its end, to ask or where it was told to."""
    is_drained: bool = False
    """Whether it has stopped for no other reason than that it was asked to."""
    drained_tasks: tuple[Task, ...] = ()
    """Those that cannot finish as runs nested in them were asked to stop, called ones among them."""
    is_left: bool = False
    """Whether a task commands a graph further out: it is the last superstep."""
    commands: Sequence[Command[Any]] = ()
    """What it ends with, for the task around it."""
    positions: Mapping[str, str] | None = None
    """Where stateful graphs stand that the tasks which end it have called."""
    passed: frozenset[str] = frozenset()
    """Where it has stopped though it keeps nothing, and tasks in it have; see `Effects.passed`."""
    questions: Sequence[Interrupt] = ()
    """What it has stopped to ask."""
    reached: Values | None = None
    """The values with what the finished tasks of the superstep wrote in which it has stopped."""

    @property
    def is_unseen(self) -> bool:
        """Whether nobody keeps, sees, measures or may stop how it takes in its input."""
        is_free = self.meter is None and self.scope.means.control is None
        is_shown = self.emitter is not None and self.emitter.wants_input
        return is_free and self.journal is None and not is_shown

    @property
    def remaining(self) -> int:
        """Supersteps that may still follow the current one."""
        return self.last_step - self.state.step
