"""What a node can get hold of besides the state, as one object: `Runtime`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from aiograph import _context
from aiograph.store.base import BaseStore

C = TypeVar("C")

__all__ = ["ExecutionInfo", "Runtime", "get_runtime"]


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


def runtime_of(scope: _context.TaskScope) -> Runtime[Any]:
    """The runtime of one task."""
    run = scope.run
    info = ExecutionInfo(scope.id, scope.attempt, run.thread_id, run.namespace)
    return Runtime(run.context, run.store, scope.writer, info, scope.heartbeat)


def get_runtime(context_schema: type[C] | None = None) -> Runtime[C]:
    """The runtime of the task whose code calls.

    Args:
        context_schema: The type of `Runtime.context`, for type checkers.

    Raises:
        RuntimeError: Called outside of a run.
    """
    return runtime_of(_context.require_task("get_runtime()"))
