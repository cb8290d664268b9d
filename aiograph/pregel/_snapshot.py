"""A checkpoint of a run's state, and what a checkpoint looks like from outside. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from aiograph.checkpoint.base import (
    EXCLUDED_METADATA_KEYS,
    ChannelVersions,
    PendingWrite,
)
from aiograph.constants import (
    CALL,
    ERROR,
    ERROR_SOURCE_NODE,
    INTERRUPT,
    NAMESPACE_SEPARATOR,
    NO_WRITES,
    RESUME,
    SCHEDULED,
    SHAPE,
)
from aiograph.errors import RecordedError
from aiograph.pregel._plan import Plan, Write
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task
from aiograph.types import Interrupt, RunnableConfig

CALLER = "called_by"
"""In the metadata of a stateful graph's checkpoints: the id of the task that called it."""

_NOTES = (ERROR, ERROR_SOURCE_NODE, INTERRUPT, RESUME, CALL)
"""What is kept of tasks that have not finished."""

_EACH = ("source", "step")
"""What each checkpoint has of its own."""

_SCALARS = (str, int, float, bool, type(None))


def stored_values(plan: Plan, state: RunState) -> dict[str, Any]:
    """The values as they are stored, by channel."""
    values = {
        name: channel.checkpoint()
        for name, channel in state.channels.items()
        if channel.persistent and name in state.versions
    }
    values[SHAPE] = plan.shape.stored
    return values


def renew_values(values: dict[str, Any], state: RunState, changed: Iterable[str]) -> None:
    """Makes of what `stored_values` gave before what it would give now that some channels have changed."""
    for name in changed:
        channel = state.channels.get(name)
        if channel is not None and channel.persistent:
            values[name] = channel.checkpoint()
        else:
            values.pop(name, None)


def changed_versions(before: Mapping[str, Any], state: RunState) -> ChannelVersions:
    """The versions of the channels that changed since they had the versions `before`."""
    known = before.get
    return {name: version for name, version in state.versions.items() if known(name) != version}


def run_metadata(config: RunnableConfig, parents: Mapping[str, str], caller: str | None) -> dict[str, Any]:
    """What stands in the metadata of all checkpoints of a run, besides what each has of its own.

    Args:
        config: The run's; its metadata and the plain entries of its `configurable` are kept.
        parents: The checkpoints that the tasks around it started from, by namespace.
        caller: The task that calls a stateful graph.
    """
    configurable = config.get("configurable") or {}
    plain = {
        key: value
        for key, value in configurable.items()
        if isinstance(value, _SCALARS) and not key.startswith("__") and key not in EXCLUDED_METADATA_KEYS
    }
    own = {"parents": dict(parents)} if caller is None else {"parents": dict(parents), CALLER: caller}
    facts = {**plain, **(config.get("metadata") or {}), **own}
    return {key: value for key, value in facts.items() if key not in _EACH}


def by_depth(namespaces: Iterable[str]) -> list[str]:
    """The namespaces of graphs that are nested in each other, from the outermost inwards."""
    return sorted(namespaces, key=lambda each: each.count(NAMESPACE_SEPARATOR) + 1 if each else 0)


def with_map(config: RunnableConfig, parents: Mapping[str, str]) -> RunnableConfig:
    """A config that names a checkpoint of a nested graph, and those of the graphs around it."""
    entries = config["configurable"]
    namespace, checkpoint_id = entries["checkpoint_ns"], entries.get("checkpoint_id")
    if not namespace or checkpoint_id is None:
        return config
    return {"configurable": {**entries, "checkpoint_map": {**parents, namespace: checkpoint_id}}}


def storable_writes(plan: Plan, task: Task) -> list[Write]:
    """A finished task's writes as they are kept; never empty, as an empty list would look unfinished."""
    writes = task.writes or []
    if plan.unstored:
        writes = [write for write in writes if write[0] not in plan.unstored]
    return writes or [(NO_WRITES, None)]


def restore_writes(tasks: Sequence[Task], pending: Sequence[PendingWrite]) -> None:
    """Gives tasks that had finished before their writes back, so that they do not run again."""
    kept: dict[str, list[Write]] = {}
    for task_id, channel, value in pending:
        if channel not in _NOTES:
            kept.setdefault(task_id, []).append((channel, value))
    if not kept:
        return
    to_run_again = {task_id for task_id, channel, _ in pending if channel == SCHEDULED}
    for task in tasks:
        if task.id in kept and task.id not in to_run_again:
            task.writes = kept[task.id]
            task.cached = task.recorded = True


def restore_handlers(tasks: Sequence[Task], pending: Sequence[PendingWrite]) -> None:
    """Leaves tasks to their error handlers again that had been left to them before."""
    to_run_again = {task_id for task_id, channel, _ in pending if channel == SCHEDULED}
    marks = {task_id: value for task_id, channel, value in pending if channel == ERROR_SOURCE_NODE}
    for task in tasks:
        if task.id in marks and task.id not in to_run_again and task.node.handler is not None:
            _, text = marks[task.id]
            handler = task.hand_over(RecordedError(text))
            handler.writes, handler.cached = task.writes, task.cached


def restore_questions(
    tasks: Sequence[Task], pending: Sequence[PendingWrite], answers: Mapping[str, Any]
) -> list[Task]:
    """Gives tasks back what they asked before, and what was answered.

    A task whose questions have no answer keeps them, and does not run; one of which at least one question is
    answered runs again.

    Returns:
        The tasks that have got an answer that is not stored yet.
    """
    asked = {task_id: value for task_id, channel, value in pending if channel == INTERRUPT}
    answered = {task_id: value for task_id, channel, value in pending if channel == RESUME}
    renewed = []
    for task in tasks:
        if task.id not in asked and task.id not in answered:
            continue
        if task.writes is not None:
            task.answers = answered.get(task.id, {})  # should it have to run again
            continue
        questions: Sequence[Interrupt] = asked.get(task.id, ())
        new = {question.id: answers[question.id] for question in questions if question.id in answers}
        task.answers = {**answered.get(task.id, {}), **new}
        if not any(question.id in task.answers for question in questions):
            task.questions = tuple(questions)
        if new:
            renewed.append(task)
    return renewed


def open_questions(pending: Sequence[PendingWrite], *, again: bool) -> list[Interrupt]:
    """The questions of a checkpoint's tasks that have no answer.

    Args:
        pending: The writes beside the checkpoint.
        again: Whether all tasks run again, so that all that was ever asked is open.
    """
    if not pending:
        return []
    finished = {task_id for task_id, channel, _ in pending if channel not in _NOTES}
    answers = [value for _, channel, value in pending if channel == RESUME]
    found = {
        question.id: question
        for task_id, channel, questions in pending
        if channel == INTERRUPT and (again or task_id not in finished)
        for question in questions
        if again or not any(question.id in each for each in answers)
    }
    return [*found.values()]  # what a called task asks, its callers ask as well
