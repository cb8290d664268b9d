"""What has changed about a graph since a thread was stored, as far as the thread depends on it. Pure.

A graph may grow: nodes, edges and keys that are new are no concern of a thread's. What a thread depends on
is what it is about to run, and how the values that it holds were kept.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from aiograph.checkpoint.base import Checkpoint
from aiograph.constants import BRANCH_PREFIX, CONTROL_PREFIXES, JOIN_PREFIX, PULL, SHAPE
from aiograph.errors import ChangedGraphError
from aiograph.pregel._plan import Plan
from aiograph.pregel._shape import usual_kind
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks, missing_node


class Change(NamedTuple):
    """A key whose channel is of another kind now."""

    was: str
    now: str

    def __str__(self) -> str:
        return f"was kept as {self.was} and is {self.now} now"


class Changes(NamedTuple):
    """What of a thread no longer fits the graph."""

    due: Mapping[str, tuple[str, ...]]
    """Nodes that are about to run, and are gone, or the channels that trigger them are: these."""
    waiting: Mapping[str, tuple[str, ...]]
    """The same of nodes that wait for others, some of which have run."""
    kinds: Mapping[str, Change]
    """Keys that hold a value which was kept by another kind of channel."""
    unreadable: frozenset[str]
    """Those of them whose value the channel cannot take."""


NO_CHANGES = Changes({}, {}, {}, frozenset())


def is_current(plan: Plan, checkpoint: Checkpoint) -> bool:
    """Whether a graph of the same shape has stored it."""
    stored = checkpoint["channel_values"].get(SHAPE)
    return stored is not None and stored["id"] == plan.shape.id


def changes(plan: Plan, checkpoint: Checkpoint) -> Changes:
    """What of a checkpoint does not fit the graph; of one without a shape the kinds are not known."""
    stored = checkpoint["channel_values"].get(SHAPE) or {}
    due: dict[str, tuple[str, ...]] = {}
    waiting: dict[str, tuple[str, ...]] = {}
    for node, channel in sorted(_triggers(checkpoint, stored)):
        is_gone = node not in plan.nodes or channel not in plan.channels
        if is_gone and channel in checkpoint["channel_values"] and _is_news(checkpoint, node, channel):
            found = due if _is_ready(channel, checkpoint["channel_values"][channel]) else waiting
            found[node] = (*found.get(node, ()), channel)
    kinds = dict(_changed_kinds(plan, checkpoint, stored["kinds"])) if stored else {}
    unreadable = frozenset(name for name in kinds if not _can_read(plan, checkpoint, name))
    return Changes(due, waiting, kinds, unreadable)


def _triggers(checkpoint: Checkpoint, stored: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Nodes, with a channel that triggers them, as far as a checkpoint tells."""
    for channel in checkpoint["channel_values"]:
        if channel.startswith(BRANCH_PREFIX):
            yield channel.removeprefix(BRANCH_PREFIX), channel
        elif channel.startswith(JOIN_PREFIX):
            yield channel.rpartition(":")[2], channel
    for node, channels in stored.get("triggers", {}).items():
        yield from ((node, channel) for channel in channels)


def _is_ready(channel: str, stored: Any) -> bool:
    """Whether a channel with this value triggers its node: a join only once all have run."""
    if not channel.startswith(JOIN_PREFIX):
        return not channel.startswith(CONTROL_PREFIXES) or channel.startswith(BRANCH_PREFIX)
    starts = channel.removeprefix(JOIN_PREFIX).rpartition(":")[0].split("+")
    seen, is_over = stored if isinstance(stored, tuple) else (stored, True)
    return is_over and set(seen) == set(starts)


def _is_news(checkpoint: Checkpoint, node: str, channel: str) -> bool:
    seen = checkpoint["versions_seen"].get(node, {})
    return int(checkpoint["channel_versions"].get(channel, 0)) > int(seen.get(channel, 0))


def _changed_kinds(
    plan: Plan, checkpoint: Checkpoint, stored: Mapping[str, list[str]]
) -> Iterator[tuple[str, Change]]:
    kinds = {name: kind for kind, names in stored.items() for name in names}
    for name in checkpoint["channel_values"].keys() & plan.channels.keys():
        was, now = kinds.get(name, usual_kind(name)), plan.channels[name].kind
        if was != now:
            yield name, Change(was, now)


def _can_read(plan: Plan, checkpoint: Checkpoint, name: str) -> bool:
    try:
        channel = plan.channels[name].from_checkpoint(checkpoint["channel_values"][name])
        if channel.is_available():
            channel.get()
    except Exception:  # whatever a channel makes of what another one has stored
        return False
    return True


def gone_tasks(found: Changes, plan: Plan, state: RunState) -> list[Task]:
    """The tasks of nodes that are gone, as they would be if these were still there."""
    return [
        Task(missing_node(plan, name), (PULL, name), triggers, state) for name, triggers in found.due.items()
    ]


def require_same(found: Changes, plan: Plan, state: RunState, thread_id: str, *, goes_on: bool) -> None:
    """Refuses a run that the thread no longer fits.

    Args:
        found: What has changed.
        plan: The graph as it is now.
        state: The state that the run starts from.
        thread_id: The thread.
        goes_on: Whether the run does what was to be done next; new input drops that.

    Raises:
        ChangedGraphError: A node that it is to run is gone, or what the node reads was kept otherwise.
    """
    due, waiting = (found.due, found.waiting) if goes_on else ({}, {})
    is_read = bool(due or waiting) or (goes_on and bool(due_tasks(plan, state, 0)))
    kinds = {name: each for name, each in found.kinds.items() if is_read or name in found.unreadable}
    if not (due or waiting or kinds):
        return
    told = [
        *_told(due, plan, "is to run next"),
        *_told(waiting, plan, "waits for others to run"),
        *(f"key {name!r} {change}" for name, change in sorted(kinds.items())),
    ]
    raise ChangedGraphError(
        f"thread {thread_id!r}: graph {plan.name!r} has changed since checkpoint {state.checkpoint_id} was "
        f"stored: {'; '.join(told)}. Say what becomes of it by compile(migrate=...)"
        + ("" if found.unreadable else ", or pass new input, which drops what was to run next"),
        thread_id=thread_id,
        graph=plan.name,
        nodes=tuple(sorted({*due, *waiting})),
        keys=tuple(sorted(kinds)),
    )


def _told(nodes: Mapping[str, tuple[str, ...]], plan: Plan, what: str) -> Iterator[str]:
    known = sorted(name for name, node in plan.nodes.items() if not node.is_hidden)
    for name, channels in nodes.items():
        if name in plan.nodes:
            yield f"node {name!r} {what} by way of {', '.join(map(repr, channels))}, which is gone"
        else:
            yield f"node {name!r} {what} and is gone, there are {known}"
