"""A `Command` as input: what it writes, and how that is kept beside the checkpoint it was given at. Pure.

The writes of a command are applied to the state that the thread stands at, and the tasks that were due
there stay due, under their old ids: what they have done, asked and been answered still counts. So the
writes make no checkpoint of their own. They are stored as if one more task of the superstep had made them,
and whoever loads the checkpoint applies them again.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from aiograph.checkpoint.base import PendingWrite, TaskWrites
from aiograph.constants import BRANCH_PREFIX, INPUT, PULL, TASKS
from aiograph.errors import InvalidUpdateError
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._plan import Plan, PlannedNode, Write
from aiograph.pregel._snapshot import storable_writes
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_nodes, due_sends, due_tasks
from aiograph.types import Command

_CALLER = PlannedNode(name=INPUT, triggers=(), read=lambda *_: None, call=None, write=lambda _: [])
"""Stands for the caller as the author of what a run is called with."""

_STORED = f"{_CALLER.name}:"
"""How the ids begin under which commands are stored; what follows is a number."""


def by_caller(state: RunState, writes: Sequence[Write]) -> Task:
    """What a caller writes, in the form of a task that has finished."""
    task = Task(_CALLER, (PULL, _CALLER.name), (), state)
    task.writes = list(writes)
    return task


def refuse_address(input: Any) -> None:
    """Refuses a command of a caller for another graph than the one that is called.

    Raises:
        InvalidUpdateError: It is one.
    """
    if isinstance(input, Command) and input.graph is not None:
        raise InvalidUpdateError(
            f"a Command as input is for the graph that is called, not for {input.graph!r}: leave out graph="
        )


def goes_nowhere(command: Command[Any]) -> bool:
    """Whether a command names nobody who is to run, not even the end."""
    return isinstance(command.goto, list | tuple) and not command.goto


def command_writes(plan: Plan, input: Any) -> list[Write]:
    """The writes that an input stands for if it is a command.

    Raises:
        InvalidUpdateError: It names a key or a node that the graph does not have.
    """
    if not isinstance(input, Command) or (input.update is None and goes_nowhere(input)):
        return []
    return plan.command(input) if plan.command is not None else channel_writes(plan, input)


def channel_writes(plan: Plan, command: Command[Any]) -> list[Write]:
    """What a command writes to a graph made by hand, in which channels alone decide what runs.

    Raises:
        InvalidUpdateError: There is no such channel, or the command goes somewhere.
    """
    if not goes_nowhere(command):
        raise InvalidUpdateError(
            f"graph {plan.name!r} has no edges for a goto to follow, as it was made of channels: "
            "write to a channel that triggers the node"
        )
    if not isinstance(command.update, Mapping):
        raise InvalidUpdateError(
            f"an update of graph {plan.name!r} is a dict of channels, not {type(command.update).__name__}"
        )
    if unknown := [name for name in command.update if name not in plan.channels]:
        raise InvalidUpdateError(f"there are no channels {unknown}; there are {sorted(plan.channels)}")
    return list(command.update.items())


def apply_command(plan: Plan, state: RunState, writes: Sequence[Write]) -> list[Write]:
    """Applies what a command writes; what was due stays due.

    Returns:
        The writes without those that would trigger what is due anyway: its id must not change.

    Raises:
        InvalidUpdateError: The state does not take them; it is as before.
    """
    due = {BRANCH_PREFIX + name for name in due_nodes(plan, state)}
    new = [(name, value) for name, value in writes if name not in due]
    triggers = {trigger for task in due_tasks(plan, state, 0) for trigger in task.triggers}
    # `Send`s that wait would make room for new ones
    waiting = [(TASKS, send) for send in due_sends(state)]
    try:
        apply_writes(plan, state, [by_caller(state, [*waiting, *new])], triggers)
    except ConflictingWrites as conflict:
        raise conflict.error from conflict.error.__cause__
    state.updated = None  # some of what runs next was triggered longer ago
    return new


def stored_command(
    plan: Plan, state: RunState, writes: Sequence[Write], pending: Sequence[PendingWrite]
) -> TaskWrites:
    """What a command writes, as it is stored beside the checkpoint that the state comes from."""
    number = len(_stored(pending))
    path = f"~{_CALLER.name}, {number:010d}"
    return TaskWrites(f"{_STORED}{number}", path, storable_writes(plan, by_caller(state, writes)))


def reapply_commands(plan: Plan, state: RunState, pending: Sequence[PendingWrite]) -> None:
    """Applies the commands that are stored beside the checkpoint that the state comes from, in their order.

    Raises:
        InvalidUpdateError: The state does not take them any more.
    """
    for _, writes in sorted(_stored(pending).items()):
        apply_command(plan, state, writes)


def _stored(pending: Sequence[PendingWrite]) -> dict[int, list[Write]]:
    """The writes of each command, by its number."""
    commands: defaultdict[int, list[Write]] = defaultdict(list)
    for task_id, channel, value in pending:
        if task_id.startswith(_STORED):
            commands[int(task_id.removeprefix(_STORED))].append((channel, value))
    return commands
