"""Graphs inside nodes that remember from call to call: where a call goes on, and who may call.

Such a graph has one namespace for all calls that a node makes. Where it stands is part of the state of the
graph around it, in a channel of its own. So a run of that graph from any of its checkpoints finds this one
where it stood then, and an attempt that has failed leaves nothing behind. What is stored of a call names the
task that made it: when the same task runs again, it goes on with what was broken off.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from aiograph._context import TaskScope
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from aiograph.constants import POSITIONS
from aiograph.errors import CheckpointQueryError, ErrorCode, MultipleSubgraphsError
from aiograph.pregel._place import Place
from aiograph.pregel._run import Run
from aiograph.pregel._snapshot import CALLER, by_depth
from aiograph.pregel._tasks import Task, positions_at


class Line(NamedTuple):
    """Whose call it is, from the outermost run inwards."""

    parents: tuple[tuple[str, str], ...]
    """Of each run around: its namespace, and the checkpoint that the task which leads here started from."""
    caller: str
    """The task that calls."""


def line_of(parents: Mapping[str, str], caller: str) -> Line:
    """The line of a call, from what is stored with it in any order."""
    return Line(tuple((each, parents[each]) for each in by_depth(parents)), caller)


def are_side_by_side(one: Line, other: Line) -> bool:
    """Whether two different calls come from the same superstep of a run around both."""
    for (namespace, checkpoint), (other_namespace, other_checkpoint) in zip(
        one.parents, other.parents, strict=False
    ):
        if namespace != other_namespace:
            return True  # two tasks of the superstep before have led to them
        if checkpoint != other_checkpoint:
            return False
    return one.caller != other.caller


class Standing(NamedTuple):
    """Where a call goes on."""

    saved: CheckpointTuple | None
    """`None` where it starts afresh."""
    hold: Hold
    is_resumed: bool
    """Whether this very call was broken off there, or has ended."""


async def look_up(place: Place, saver: BaseCheckpointSaver, caller: TaskScope) -> Standing:
    """Where a call of a stateful graph goes on.

    Raises:
        MultipleSubgraphsError: Another task of the same superstep calls it as well.
        CheckpointQueryError: Where it stood is not stored any more.
    """
    line = line_of(place.parents, caller.id)
    _claim(caller.run.claims, place, line)
    head, hold = await saver.ahold(place.config)
    if head is None:
        return Standing(None, hold, False)
    last = _stored_line(head.metadata)
    if last == line:
        return Standing(head, hold, True)
    if last is not None and are_side_by_side(last, line):
        raise _refused(place)
    start = await _updated(saver, place, head, caller.positions.get(place.namespace))
    if start is None:
        return Standing(None, hold, False)
    if start == head.checkpoint["id"]:
        return Standing(head, hold, False)
    return await _past(saver, place._replace(checkpoint_id=start))


def _claim(claims: dict[str, Any], place: Place, line: Line) -> None:
    last = claims.get(place.namespace)
    if last is not None and are_side_by_side(last, line):
        raise _refused(place)
    claims[place.namespace] = line


def _refused(place: Place) -> MultipleSubgraphsError:
    return MultipleSubgraphsError(
        f"two tasks of one superstep call the stateful graph at {place.namespace!r}, which has one state for "
        "all calls: compile it with checkpointer=None for a state per call, or call it from nodes with "
        f"different names [{ErrorCode.MULTIPLE_SUBGRAPHS}]"
    )


def _stored_line(metadata: Mapping[str, Any]) -> Line | None:
    caller = metadata.get(CALLER)
    return None if caller is None else line_of(metadata.get("parents", {}), caller)


async def _updated(
    saver: BaseCheckpointSaver, place: Place, head: CheckpointTuple, position: str | None
) -> str | None:
    """The newest of the updates from outside upon a checkpoint, or that checkpoint if there is none."""
    if head.checkpoint["id"] == position:
        return position
    later = []
    async for each in saver.alist(place.config):
        if each.checkpoint["id"] == position:
            break
        if each.metadata.get("source") == "update":
            later.append((each.checkpoint["id"], _parent_of(each)))
    newest = position
    for checkpoint_id, parent in reversed(later):
        if parent == newest:
            newest = checkpoint_id
    return newest


def _parent_of(saved: CheckpointTuple) -> str | None:
    config = saved.parent_config
    return None if config is None else config["configurable"]["checkpoint_id"]


async def _past(saver: BaseCheckpointSaver, place: Place) -> Standing:
    saved, hold = await saver.ahold(place.config)
    if saved is None:
        raise CheckpointQueryError(
            f"thread {place.thread_id!r}: the stateful graph at {place.namespace!r} stood at checkpoint "
            f"{place.checkpoint_id!r}, which is not stored any more: keep more of the past"
        )
    return Standing(saved, hold, False)


def positions_in(tasks: Sequence[Task]) -> dict[str, str]:
    """Where stateful graphs stand that these tasks have called."""
    written = (value for task in tasks for name, value in task.writes or () if name == POSITIONS)
    return {namespace: position for each in written for namespace, position in each.items()}


def hand_on(run: Run, place: Place) -> None:
    """Tells the task around a run, however it has ended, where it and stateful graphs inside it stand."""
    if place.nested is None or not place.is_inner:
        return
    positions = {**positions_at(run.state), **(run.positions or {})}
    if place.caller is not None and run.state.checkpoint_id is not None:
        positions[place.namespace] = run.state.checkpoint_id
    if positions:
        place.nested.task.acting().stand(positions)
