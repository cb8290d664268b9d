"""What a node can get hold of besides the state, as one object: `Runtime`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiograph import _context
from aiograph.store.base import BaseStore

C = TypeVar("C")

__all__ = ["ExecutionInfo", "RunControl", "Runtime", "get_runtime"]


class RunControl:
    """Asks runs to stop at the next boundary between two supersteps; pass it to them as `control=`.

    A run that stops there has stored all that it keeps, and raises `GraphDrained`; `invoke(None, config)`
    goes on, with another control. Graphs inside nodes stop at boundaries of their own. A run that finishes
    first finishes. One control may be given to any number of runs.

    Example:
        >>> control = RunControl()
        >>> control.request_drain("a new release")
        >>> control.drain_requested, control.drain_reason
        (True, 'a new release')
    """

    __slots__ = ("_reason",)

    def __init__(self) -> None:
        self._reason: str | None = None

    def request_drain(self, reason: str = "shutdown") -> None:
        """Asks runs to stop. From any thread, and from signal handlers; the last reason counts."""
        self._reason = reason

    @property
    def drain_requested(self) -> bool:
        """Whether runs have been asked to stop."""
        return self._reason is not None

    @property
    def drain_reason(self) -> str | None:
        """Why; `None` if they have not been asked."""
        return self._reason


@dataclass(frozen=True, slots=True)
class ExecutionInfo:
    """Which piece of work this is.

    `task_id` stays the same when the task is tried again, in this run or after a crash: use it as an
    idempotency key for side effects.
    """

    task_id: str
    node_attempt: int
    """1 for the first attempt."""
    thread_id: str | None
    checkpoint_ns: str


def _nobody_waits() -> None:
    """The heartbeat of a runtime that was made by hand."""


@dataclass(frozen=True, slots=True)
class Runtime(Generic[C]):
    """What a run offers to its nodes. Take it as a parameter named `runtime`, or call `get_runtime`."""

    context: C
    """What the caller passed as `context=`."""
    store: BaseStore | None
    """The store that the graph, or the one around it, was compiled with; `None` if there is none."""
    stream_writer: Callable[[Any], None]
    """Puts a value on the `"custom"` stream."""
    execution_info: ExecutionInfo
    heartbeat: Callable[[], None] = _nobody_waits
    """Says that the node is alive, so that its `idle_timeout` starts anew; from any thread, as often as
    one likes. Does nothing where no time is limited."""
    control: RunControl | None = None
    """What the caller passed as `control=`."""
    previous: Any = None
    """In an entrypoint, what the last finished run on the thread has kept for this one."""

    @property
    def drain_requested(self) -> bool:
        """Whether the run was asked to stop, so that a long node may hurry."""
        return self.control is not None and self.control.drain_requested

    @property
    def drain_reason(self) -> str | None:
        """Why; `None` if it was not asked."""
        return None if self.control is None else self.control.drain_reason


def runtime_of(scope: _context.TaskScope) -> Runtime[Any]:
    """The runtime of one task."""
    run = scope.run
    info = ExecutionInfo(scope.id, scope.attempt, run.thread_id, run.namespace)
    return Runtime(run.context, run.store, scope.writer, info, scope.heartbeat, run.control, run.previous)


def get_runtime(context_schema: type[C] | None = None) -> Runtime[C]:
    """The runtime of the task whose code calls.

    Args:
        context_schema: The type of `Runtime.context`, for type checkers.

    Raises:
        RuntimeError: Called outside of a run.
    """
    return runtime_of(_context.require_task("get_runtime()"))
