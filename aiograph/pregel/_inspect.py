"""A thread as seen from outside: its state now, and at every checkpoint before. Pure."""

from collections.abc import Sequence
from typing import Any

from aiograph.checkpoint.base import CheckpointTuple, PendingWrite
from aiograph.constants import ERROR, ERROR_SOURCE_NODE, INTERRUPT
from aiograph.pregel._apply import apply_finished
from aiograph.pregel._changes import gone_tasks
from aiograph.pregel._command import reapply_commands
from aiograph.pregel._emit import writes_by_key
from aiograph.pregel._migrate import Migrate, fitted
from aiograph.pregel._plan import Plan, read_channels
from aiograph.pregel._snapshot import restore_questions, restore_writes, with_map
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Interrupt, PregelTask, RunnableConfig, StateSnapshot


def empty_snapshot(plan: Plan, config: RunnableConfig) -> StateSnapshot:
    """What a thread that does not exist looks like."""
    return StateSnapshot(read_channels({}, plan.state), (), config, None, None, None, (), ())


def snapshot(
    plan: Plan, saved: CheckpointTuple, *, live: bool, migrate: Migrate | None = None
) -> StateSnapshot:
    """What one checkpoint looks like.

    Args:
        plan: The graph.
        saved: The checkpoint and its pending writes.
        live: Whether tasks that have finished since count as done: their writes show in the values, and
            they are not among `next`. If all have, `next` is what they lead to.
        migrate: What the graph makes of a thread that it has left when it had another shape.
    """
    fit = fitted(plan, saved, migrate)
    saved = fit.saved
    namespace = saved.config["configurable"].get("checkpoint_ns", "")
    state = fit.state(plan, namespace)
    pending = saved.pending_writes or []
    if live:
        reapply_commands(plan, state, pending)
    tasks = [*due_tasks(plan, state, 0), *gone_tasks(fit.changes, plan, state)]
    restore_writes(tasks, pending)
    restore_questions(tasks, pending, {})
    if live:
        counted = apply_finished(plan, state, tasks)
        for task in tasks:
            if task not in counted:
                task.writes = None
    seen = [_public(task, plan, pending, live=live) for task in tasks]
    parents = saved.metadata.get("parents", {})
    to_do = [task for task in tasks if not (live and task.writes is not None)]
    if tasks and not to_do:  # the run broke off before their superstep was stored
        to_do = due_tasks(plan, state, 0)
    return StateSnapshot(
        values=read_channels(state.values, plan.state),
        next=tuple(task.name for task in to_do),
        config=with_map(saved.config, parents),
        metadata=saved.metadata,
        created_at=saved.checkpoint["ts"],
        parent_config=saved.parent_config and with_map(saved.parent_config, parents),
        tasks=tuple(seen),
        interrupts=tuple(question for task in seen for question in task.interrupts),
    )


def _public(task: Task, plan: Plan, pending: Sequence[PendingWrite], *, live: bool) -> PregelTask:
    errors = [value for task_id, channel, value in pending if channel == ERROR and task_id == task.id]
    result = None if task.writes is None else _result(task, plan)
    is_handled = any(channel == ERROR_SOURCE_NODE and task_id == task.id for task_id, channel, _ in pending)
    error = errors[-1] if errors and (task.writes is None or is_handled) else None
    questions = task.questions if live else _asked(task, pending)
    return PregelTask(task.id, task.name, task.path, error, tuple(questions), None, result)


def _result(task: Task, plan: Plan) -> Any:
    found = writes_by_key(task, plan.state)
    return found.get(plan.state) if isinstance(plan.state, str) else found


def _asked(task: Task, pending: Sequence[PendingWrite]) -> Sequence[Interrupt]:
    """What a task asked last, answered or not."""
    asked = [value for task_id, channel, value in pending if channel == INTERRUPT and task_id == task.id]
    return asked[-1] if asked else ()
