"""Commands for a graph further out: how they leave the graph they are made in, and where they arrive. Pure.

A node that returns one ends its graph. The command is stored as what the task has written, so that the task
does not run again; once its siblings have finished as well, the run ends, applies nothing of that superstep,
and hands the command to the task around it. There it counts as what the node has returned, or leaves that
graph too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from aiograph._context import RunScope
from aiograph.constants import LEAVE, NAMESPACE_END, NAMESPACE_SEPARATOR, PARENT
from aiograph.errors import InvalidUpdateError, ParentCommand
from aiograph.pregel._command import channel_writes
from aiograph.pregel._plan import Plan, PlannedNode, Write
from aiograph.pregel._tasks import Task
from aiograph.types import Command, plain_name

Commands = Sequence[Command[Any]]


def leaving_writes(run: RunScope, node: str, commands: Commands) -> list[Write]:
    """What a task writes whose node commands graphs further out.

    Raises:
        ParentCommand: There is no graph further out.
        InvalidUpdateError: None has the name.
    """
    around = list(_around(run))
    for command in commands:
        if not around:
            raise ParentCommand(
                f"node {node!r} commands the graph around graph {run.graph!r}, but {run.graph!r} was run by "
                "itself: run it as a node of another graph, or leave out graph= for a command to itself",
                command,
            ) from None
        if command.graph != PARENT and not any(command.graph in names_of(each) for each in around):
            known = sorted(name for name in set().union(*map(names_of, around)) if NAMESPACE_END not in name)
            raise InvalidUpdateError(
                f"node {node!r} commands a graph {command.graph!r}, but none of the graphs around graph "
                f"{run.graph!r} has that name; they go by {known} and Command.PARENT"
            ) from None
    return [(LEAVE, replace(command, goto=_plain(command.goto))) for command in commands]


def _plain(goto: Any) -> Any:
    return [*map(plain_name, goto)] if isinstance(goto, list | tuple) else plain_name(goto)


def _around(run: RunScope) -> Iterator[RunScope]:
    while run.outer is not None:
        run = run.outer.run
        yield run


def names_of(run: RunScope) -> set[str]:
    """The names by which a command may address a run's graph."""
    path: list[str] = []
    for each in (run, *_around(run)):
        if each.outer is not None:
            path.insert(0, each.outer.name)
    return {run.graph, *path[-1:], NAMESPACE_SEPARATOR.join(path), run.namespace} - {""}


def commands_in(tasks: Sequence[Task]) -> list[Command[Any]]:
    """What tasks have commanded graphs further out, in task order."""
    return [value for task in tasks for name, value in task.writes or () if name == LEAVE]


def split(run: RunScope, node: str, commands: Commands) -> tuple[Commands, Commands]:
    """Commands that have arrived from within a node, for this run's graph or for one further out.

    Raises:
        InvalidUpdateError: There are both.
    """
    names = names_of(run)
    here = [each for each in commands if each.graph == PARENT or each.graph in names]
    further = [each for each in commands if each.graph != PARENT and each.graph not in names]
    if here and further:
        raise InvalidUpdateError(
            f"the graph in node {node!r} ended with commands for graph {run.graph!r} and for "
            f"{[each.graph for each in further]}: only one of them can go on from there"
        )
    return here, further


def obeyed(plan: Plan, node: PlannedNode, commands: Commands) -> list[Write]:
    """The writes of commands that have arrived from within a node, as if the node had returned them.

    Raises:
        InvalidUpdateError: They name what the graph does not have.
    """
    own = [replace(command, graph=None) for command in commands]
    if plan.command is None:
        return [write for command in own for write in channel_writes(plan, command)]
    return (node.obey or node.write)(own)
