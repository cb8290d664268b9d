"""A state that is changed from outside: updated, as if a node had returned it, or emptied."""

from collections.abc import Iterable, Sequence

from aiograph.checkpoint.base import PendingWrite
from aiograph.constants import PULL, PUSH, START, TASKS
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._attempt import write_as
from aiograph.pregel._leaving import commands_in
from aiograph.pregel._plan import Plan, PlannedNode
from aiograph.pregel._run import Run
from aiograph.pregel._snapshot import restore_writes
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Send, StateUpdate


def author(plan: Plan, state: RunState, as_node: str | None) -> PlannedNode:
    """The node that an update is attributed to; without a name, the one that ran last.

    Where nothing has run, it is the one that hands the input on.

    Raises:
        InvalidUpdateError: There is no such node, or it is not clear which one ran last.
    """
    if as_node is not None:
        if as_node not in plan.nodes:
            raise InvalidUpdateError(
                f"as_node={as_node!r} is not a node of graph {plan.name!r}; it has {_names(plan)}"
            )
        return plan.nodes[as_node]
    if len(plan.nodes) == 1:
        return next(iter(plan.nodes.values()))
    if not state.seen and START in plan.nodes:
        return plan.nodes[START]
    return plan.nodes[_last_to_run(plan, state)]


def _last_to_run(plan: Plan, state: RunState) -> str:
    runs = {name: max(seen.values()) for name, seen in state.seen.items() if seen and name in plan.nodes}
    newest = max(runs.values(), default=0)
    last = [name for name, version in runs.items() if version == newest]
    if len(last) != 1:
        raise InvalidUpdateError(
            f"it is not clear which node the update comes from ({sorted(last) or 'none has run'}): "
            f"pass as_node, one of {_names(plan)}"
        )
    return last[0]


def _names(plan: Plan) -> list[str]:
    return sorted(name for name, node in plan.nodes.items() if not node.is_hidden)


async def apply_updates(
    run: Run, updates: Sequence[StateUpdate], pending: Sequence[PendingWrite] = ()
) -> Sequence[Task]:
    """Applies values as what nodes returned in one superstep; their edges and routes fire.

    What finished tasks have written counts as well, unless an update in another name has their nodes run once
    more: then it would count twice. If each update stands for a task that is about to run,
    the other tasks that are about to run still are. If not, they are dropped, but for joins and deferred
    nodes: those have got what they waited for, and would wait for it in vain.

    Returns:
        The tasks that updates stand for, and that had not finished.

    Raises:
        InvalidUpdateError: The values do not fit the state, or contradict what a finished task wrote, or one
            has commanded a graph further out.
    """
    state, before = run.state, run.state.version
    due = _due(run, pending)
    tasks = _authors(run, updates, due)
    mended = [task for task in tasks if task in due and task.writes is None]
    for task, update in zip(tasks, updates, strict=True):
        task.writes = await write_as(run, task, update.values)
    stands_for_tasks = all(task in due for task in tasks)
    left = [
        other for other in due if other.writes is None and (stands_for_tasks or _outlasts(run.plan, other))
    ]
    anew = set() if stands_for_tasks else _led_to(run.plan, tasks)
    others = (other for other in due if other.writes is not None and other not in tasks)
    finished = [*tasks, *(other for other in others if other.name not in anew)]
    if finished:
        _apply(run, finished, left)
    for task in tasks:
        # this node counts as the last to run, and still as due if its own edges lead back to it
        seen = dict.fromkeys(task.node.triggers, before)
        state.note_seen(task.name, {**state.seen.get(task.name, {}), **seen})
    state.step = max(state.step, 0) + 1  # on a new thread, there is no superstep that takes an input
    return mended


def drop_tasks(run: Run, pending: Sequence[PendingWrite]) -> None:
    """Ends a superstep with the tasks that have finished; the others are dropped.

    Raises:
        InvalidUpdateError: What finished tasks wrote is contradictory, or a command for a graph further out.
    """
    due = _due(run, pending)
    for task in due:
        task.writes = task.writes or []
    _apply(run, due, [])
    run.state.step += 1


def _led_to(plan: Plan, tasks: Sequence[Task]) -> set[str]:
    """The nodes that run because of what these tasks have written."""
    names: set[str] = {send.node for task in tasks for channel, send in task.writes or () if channel == TASKS}
    channels = {channel for task in tasks for channel, _ in task.writes or ()} - plan.consumable
    return names.union(*(plan.subscribers.get(channel, ()) for channel in channels))


def _outlasts(plan: Plan, task: Task) -> bool:
    """Whether what has triggered a task stays until the task has run, and not for one superstep only."""
    return not plan.consumable.isdisjoint(task.triggers)


def _due(run: Run, pending: Sequence[PendingWrite]) -> list[Task]:
    due = due_tasks(run.plan, run.state, 0)
    restore_writes(due, pending)
    return due


def _apply(run: Run, finished: Sequence[Task], left: Sequence[Task]) -> None:
    _require_none_left(run, finished)
    tasks = _in_order([*finished, *_postponed(run.state, left)])
    try:
        apply_writes(run.plan, run.state, tasks, _triggers(left))
    except ConflictingWrites as conflict:
        raise conflict.error from conflict.error.__cause__
    if left:
        run.state.updated = None  # some of what runs next was triggered longer ago


def _require_none_left(run: Run, finished: Sequence[Task]) -> None:
    """A superstep in which a task has left for a graph further out is never applied: it would lose that."""
    leaving = [task for task in finished if commands_in([task])]
    if leaving:
        raise InvalidUpdateError(
            f"node {leaving[0].name!r} of graph {run.plan.name!r} has commanded a graph further out, which "
            "an update beside it would lose: let the run go on, or update in its name to put something "
            "else in the place of its command"
        )


def _authors(run: Run, updates: Iterable[StateUpdate], due: Sequence[Task]) -> list[Task]:
    """For each update a task of its own: one that is due if there is one, rather one that is yet to run."""
    tasks: list[Task] = []
    for update in updates:
        free = [task for task in due if task not in tasks]
        if update.task_id is not None:
            tasks.append(_task_with_id(update, free))
            continue
        node = author(run.plan, run.state, update.as_node)
        own = [task for task in free if task.name == node.name]
        waiting = [task for task in own if task.writes is None]
        other = Task(node, (PULL, node.name), node.triggers, run.state)
        tasks.append(next(iter([*waiting, *own]), other))
    return tasks


def _task_with_id(update: StateUpdate, free: Sequence[Task]) -> Task:
    task = next((task for task in free if task.id == update.task_id), None)
    if task is None:
        raise InvalidUpdateError(
            f"no task {update.task_id!r} waits for an update at this checkpoint; "
            f"there are {[f'{task.id} ({task.name})' for task in free]}"
        )
    if update.as_node not in (None, task.name):
        raise InvalidUpdateError(
            f"task {update.task_id!r} is one of node {task.name!r}, not of as_node={update.as_node!r}"
        )
    return task


def _in_order(tasks: Iterable[Task]) -> list[Task]:
    return sorted(tasks, key=lambda task: task.path_text)


def _postponed(state: RunState, left: Sequence[Task]) -> Iterable[Task]:
    """Makes the `Send`s of tasks that are still to run anew; the old ones end with this superstep."""
    for task in left:
        if task.path[0] == PUSH:
            again = Task(task.node, task.path, (), state)
            again.writes = [(TASKS, Send(task.name, task.input))]
            yield again


def _triggers(left: Sequence[Task]) -> frozenset[str]:
    return frozenset(trigger for task in left for trigger in task.triggers if task.path[0] == PULL)


def clear(state: RunState) -> None:
    """Leaves no value and nothing to do, as on a thread on which nothing has ever run.

    The count of versions goes on: what is written next must not bear a version that is stored already.
    """
    state.versions = {START: state.version + 1}
    state.channels, state.values, state.seen = {}, {}, {}
    state.updated = ()
    state.step += 1
