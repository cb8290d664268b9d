"""A state update from outside: as if a node had returned it."""

from typing import Any

from aiograph.constants import PULL, START
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._attempt import write_as
from aiograph.pregel._plan import Plan, PlannedNode
from aiograph.pregel._run import Run
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task


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


async def apply_update(run: Run, node: PlannedNode, values: Any) -> Task:
    """Applies `values` as what `node` returned; its edges and routes fire.

    Raises:
        InvalidUpdateError: The values do not fit the state.
    """
    task = Task(node, (PULL, node.name), node.triggers, run.state)
    task.writes = await write_as(run, task, values)
    try:
        apply_writes(run.plan, run.state, [task])
    except ConflictingWrites as conflict:
        raise conflict.error from conflict.error.__cause__
    run.state.step += 1
    return task
