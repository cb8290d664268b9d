"""A state that is changed from outside: updated, as if a node had returned it, or emptied."""

from collections.abc import Iterable, Sequence
from typing import Any

from aiograph.checkpoint.base import PendingWrite
from aiograph.constants import PULL, PUSH, START, TASKS
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._attempt import write_as
from aiograph.pregel._plan import Plan, PlannedNode
from aiograph.pregel._run import Run
from aiograph.pregel._snapshot import restore_writes
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Send


def author(plan: Plan, state: RunState, as_node: str | None) -> PlannedNode:
    """The node that an update is attributed to; without a name, the one that ran last.

    Raises:
        InvalidUpdateError: There is no such node, or it is not clear which one ran last.
    """
    if as_node is not None:
        if as_node not in plan.nodes:
            raise InvalidUpdateError(
                f"as_node={as_node!r} is not a node of graph {plan.name!r}; it has {_names(plan)}"
            )
        return plan.nodes[as_node]
    visible = [name for name in plan.nodes if name != START]
    if len(visible) == 1:
        return plan.nodes[visible[0]]
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


async def apply_update(
    run: Run, node: PlannedNode, values: Any, pending: Sequence[PendingWrite] = ()
) -> None:
    """Applies `values` as what `node` returned; its edges and routes fire.

    What finished tasks have written counts as well. If the node is about to run, the update stands for
    its task, and the other tasks that are about to run still are; if not, they are dropped.

    Raises:
        InvalidUpdateError: The values do not fit the state, or contradict what a finished task wrote.
    """
    state = run.state
    due = due_tasks(run.plan, state, 0)
    restore_writes(due, pending)
    own = _own(due, node)
    task = own or Task(node, (PULL, node.name), node.triggers, state)
    task.writes = await write_as(run, task, values)
    left = [] if own is None else [other for other in due if other.writes is None]
    version = state.version
    finished = [task, *(other for other in due if other.writes is not None and other is not task)]
    try:
        apply_writes(run.plan, state, _in_order([*finished, *_postponed(state, left)]), _triggers(left))
    except ConflictingWrites as conflict:
        raise conflict.error from conflict.error.__cause__
    # this node counts as the last to run, and still as due if its own edges lead back to it
    state.seen.setdefault(node.name, {}).update(dict.fromkeys(node.triggers, version))
    if left:
        state.updated = None  # some of what runs next was triggered longer ago
    state.step += 1


def _own(due: Sequence[Task], node: PlannedNode) -> Task | None:
    """The node's task among those that are due, rather one that is still to run."""
    own = [task for task in due if task.name == node.name]
    return next((task for task in own if task.writes is None), own[0] if own else None)


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
    state.updated = frozenset()
    state.step += 1
