"""What a node can get hold of besides the state, as one object: `Runtime`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast

from aiograph import _context

if TYPE_CHECKING:
    from aiograph.store.base import BaseStore
else:
    BaseStore = Any  # stores take their time to import; annotations can be resolved without

C = TypeVar("C")

__all__ = ["ExecutionInfo", "RunControl", "Runtime", "get_runtime"]


class RunControl:
    """Asks runs to stop at the next boundary between two supersteps; pass it to them as `control=`.

    A run that stops there has stored all that it keeps, and raises `GraphDrained`; `invoke(None, config)`
    goes on, with another control. Graphs inside nodes stop at boundaries of their own. A run that finishes
    first finishes. One control may be given to any number of runs.

    Examples:
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

    checkpoint_id: str | None
    """The checkpoint that the task starts from; `None` without a saver."""
    checkpoint_ns: str
    """The namespace of what runs inside the task."""
    task_id: str
    thread_id: str | None = None
    run_id: str | None = None
    """The `run_id` of the config that the outermost graph was called with, if there is one."""
    node_attempt: int = 1
    """1 for the first attempt."""
    node_first_attempt_time: float | None = None
    """When the first attempt in this run began, in seconds since 1970. For a node without a retry policy
    it is taken when somebody first asks for the runtime."""

    def patch(self, **changes: Any) -> Self:
        """The same with other values for some fields.

        Raises:
            TypeError: There is no such field.
        """
        return replace(self, **changes)


_NOWHERE = ExecutionInfo(checkpoint_id=None, checkpoint_ns="", task_id="")
"""That of a runtime that was made by hand."""


def _nobody_listens(value: Any) -> None:
    """The stream writer of a runtime that was made by hand."""


def _nobody_waits() -> None:
    """The heartbeat of a runtime that was made by hand."""


@dataclass(frozen=True, kw_only=True)  # no slots: before Python 3.13 `Runtime[X](...)` would raise
class Runtime(Generic[C]):
    """What a run offers to its nodes. Take it as a parameter named `runtime`, or call `get_runtime`.

    One that is made by hand, to test a node, does nothing: `Runtime(context=...)`.
    """

    context: C = cast(Any, None)  # noqa: RUF009  # None is what a graph without a context has
    """What the caller passed as `context=`, as the graph's `context_schema` makes it."""
    store: BaseStore | None = None
    """The store that the graph, or the one around it, was compiled with; `None` if there is none."""
    stream_writer: Callable[[Any], None] = _nobody_listens
    """Puts a value on the `"custom"` stream."""
    heartbeat: Callable[[], None] = _nobody_waits
    """Says that the node is alive, so that its `idle_timeout` starts anew; from any thread, as often as
    one likes. Does nothing where no time is limited."""
    previous: Any = None
    """In an entrypoint, what the last finished run on the thread has kept for this one."""
    execution_info: ExecutionInfo = _NOWHERE
    """Which piece of work this is."""
    server_info: Any = None
    """What a server that runs the graph tells about itself; `None` where there is no server."""
    control: RunControl | None = None
    """What the caller passed as `control=`."""

    def merge(self, other: Runtime[C]) -> Runtime[C]:
        """This runtime, with all that `other` was given."""
        values = ((each, getattr(other, each.name)) for each in fields(other))
        return replace(self, **{each.name: value for each, value in values if value is not each.default})

    def override(self, **changes: Any) -> Runtime[C]:
        """The same runtime with other values for some fields.

        Raises:
            TypeError: There is no such field.
        """
        return replace(self, **changes)

    def patch_execution_info(self, **changes: Any) -> Runtime[C]:
        """The same runtime with other values for some fields of `execution_info`.

        Raises:
            TypeError: There is no such field.
        """
        return replace(self, execution_info=self.execution_info.patch(**changes))

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
    return Runtime(
        context=run.means.context,
        store=run.means.store,
        stream_writer=scope.writer,
        heartbeat=scope.heartbeat,
        previous=run.previous,
        execution_info=_execution_info(scope),
        control=run.means.control,
    )


def _execution_info(scope: _context.TaskScope) -> ExecutionInfo:
    return ExecutionInfo(
        checkpoint_id=scope.checkpoint_id,
        checkpoint_ns=scope.namespace,
        task_id=scope.id,
        thread_id=scope.run.place.thread_id,
        run_id=_run_id(scope),
        node_attempt=scope.attempt,
        node_first_attempt_time=scope.began,
    )


def _run_id(scope: _context.TaskScope) -> str | None:
    outermost = scope.run
    while outermost.outer is not None:
        outermost = outermost.outer.run
    run_id = outermost.config.get("run_id")
    return None if run_id is None else str(run_id)


def get_runtime(context_schema: type[C] | None = None) -> Runtime[C]:
    """The runtime of the task whose code calls.

    Args:
        context_schema: The type of `Runtime.context`, for type checkers.

    Raises:
        OutsideRunError: Called outside of a run.
    """
    return runtime_of(_context.require_task("get_runtime()"))
