"""A checkpoint of a graph that has changed since, made to fit the graph as it is now. Pure.

What the user's migration answers is carried into the checkpoint in memory. The first checkpoint that a run
stores then has it, with the graph's new shape, so a thread is migrated once.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

from aiograph.checkpoint.base import Checkpoint, CheckpointTuple
from aiograph.constants import (
    BRANCH_PREFIX,
    CONTROL_PREFIXES,
    JOIN_PREFIX,
    POSITIONS,
    PULL,
    SHAPE,
    START,
    TASKS,
)
from aiograph.pregel._changes import NO_CHANGES, Changes, changes, gone_tasks, is_current
from aiograph.pregel._plan import Plan
from aiograph.pregel._state import KnownIds, RunState, restored_state
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Send, StoredThread

Migrate: TypeAlias = Callable[[StoredThread], StoredThread]


class Fitted(NamedTuple):
    """A checkpoint that fits the graph, as far as `changes` does not say otherwise."""

    saved: CheckpointTuple
    changes: Changes
    known_ids: KnownIds
    """Ids that tasks have had before they were renamed; what they have done is stored under these."""

    def state(self, plan: Plan, namespace: str) -> RunState:
        """The state that the checkpoint describes."""
        saved = self.saved
        return restored_state(plan, saved.checkpoint, saved.metadata, namespace, self.known_ids)


def fitted(plan: Plan, saved: CheckpointTuple, migrate: Migrate | None = None) -> Fitted:
    """A checkpoint as the graph can take it; if its shape is the graph's, the checkpoint itself.

    Raises:
        TypeError: The migration does not return what it was given, changed.
        ValueError: It names a node that the graph does not have.
    """
    if is_current(plan, saved.checkpoint):
        return Fitted(saved, NO_CHANGES, {})
    known_ids: KnownIds = {}
    if migrate is not None:
        saved, known_ids = _migrated(plan, saved, migrate)
    found = changes(plan, saved.checkpoint)
    checkpoint = _with_shape(plan, _without(saved.checkpoint, found.unreadable))
    return Fitted(saved._replace(checkpoint=checkpoint), found, known_ids)


def _with_shape(plan: Plan, checkpoint: Checkpoint) -> Checkpoint:
    """Bears the graph's shape, so that the next checkpoint stores it."""
    version = _newest(checkpoint) + 1
    return cast(
        Checkpoint,
        {
            **checkpoint,
            "channel_values": {**checkpoint["channel_values"], SHAPE: plan.shape.stored},
            "channel_versions": {**checkpoint["channel_versions"], SHAPE: version},
        },
    )


def _newest(checkpoint: Checkpoint) -> int:
    return max(map(int, checkpoint["channel_versions"].values()), default=0)


def _without(checkpoint: Checkpoint, names: Iterable[str]) -> Checkpoint:
    left_out = set(names)
    values = checkpoint["channel_values"]
    return cast(
        Checkpoint,
        {**checkpoint, "channel_values": {name: values[name] for name in values if name not in left_out}},
    )


def _migrated(plan: Plan, saved: CheckpointTuple, migrate: Migrate) -> tuple[CheckpointTuple, KnownIds]:
    old = _tasks(plan, saved)
    given = _shown(saved, old)
    wanted = migrate(given)
    if not isinstance(wanted, StoredThread):
        raise TypeError(f"migrate returned {wanted!r}; it returns the StoredThread that it got, changed")
    draft = _Draft(saved.checkpoint)
    draft.rename(wanted.renamed_nodes, wanted.renamed_keys)
    draft.set_values([wanted.renamed_keys.get(name, name) for name in given.values], wanted.values)
    draft.set_next(plan, [wanted.renamed_nodes.get(name, name) for name in given.next], wanted.next)
    pending = [
        (task_id, wanted.renamed_keys.get(name) or _renamed_channel(name, wanted.renamed_nodes), value)
        for task_id, name, value in saved.pending_writes or ()
    ]
    moved = saved._replace(checkpoint=draft.checkpoint, pending_writes=pending)
    ids = {_place(task, wanted.renamed_nodes): task.id for task in old}
    return moved, {task.place: ids[_place(task)] for task in _tasks(plan, moved) if _place(task) in ids}


def _tasks(plan: Plan, saved: CheckpointTuple) -> list[Task]:
    """What is to run next, nodes that are gone included."""
    found = changes(plan, saved.checkpoint)
    checkpoint = _without(saved.checkpoint, found.unreadable)
    state = restored_state(plan, checkpoint, saved.metadata, _namespace(saved))
    return [*due_tasks(plan, state, 0), *gone_tasks(found, plan, state)]


def _namespace(saved: CheckpointTuple) -> str:
    return str(saved.config["configurable"].get("checkpoint_ns", ""))


def _shown(saved: CheckpointTuple, tasks: Iterable[Task]) -> StoredThread:
    values = saved.checkpoint["channel_values"]
    return StoredThread(
        thread_id=str(saved.config["configurable"]["thread_id"]),
        namespace=_namespace(saved),
        checkpoint_id=saved.checkpoint["id"],
        graph=(values.get(SHAPE) or {}).get("id"),
        values={name: value for name, value in values.items() if _is_key(name)},
        next=tuple(dict.fromkeys(task.name for task in tasks)),
    )


def _is_key(channel: str) -> bool:
    return channel not in (START, TASKS, POSITIONS, SHAPE) and not channel.startswith(CONTROL_PREFIXES)


def _place(task: Task, renamed: Mapping[str, str] | None = None) -> tuple[Any, ...]:
    name = (renamed or {}).get(task.name, task.name)
    return (PULL, name) if task.path[0] == PULL else (name, *task.path)


class _Draft:
    """A copy of a checkpoint, being changed. Whatever changes gets a version that was not there before."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._rest = checkpoint
        self._values = dict(checkpoint["channel_values"])
        self._versions: dict[str, Any] = dict(checkpoint["channel_versions"])
        self._seen: dict[str, dict[str, Any]] = {
            node: dict(seen) for node, seen in checkpoint["versions_seen"].items()
        }
        self._version = _newest(checkpoint) + 1

    @property
    def checkpoint(self) -> Checkpoint:
        return cast(
            Checkpoint,
            {
                **self._rest,
                "channel_values": self._values,
                "channel_versions": self._versions,
                "versions_seen": self._seen,
                "updated_channels": None,  # who runs next cannot be told from what changed last
            },
        )

    def rename(self, nodes: Mapping[str, str], keys: Mapping[str, str]) -> None:
        """Has all that is stored under a name, or for it, bear the new one."""
        for channel in list(self._versions):
            new = keys.get(channel) or _renamed_channel(channel, nodes)
            if new != channel:
                self._move(channel, new)
            if _waits(channel) and new in self._values:
                self._values[new] = _renamed_names(self._values[new], nodes)
        self._seen = {nodes.get(node, node): seen for node, seen in self._seen.items()}
        if nodes and TASKS in self._values:
            self.set(TASKS, [_readdressed(send, nodes) for send in self._values[TASKS]])

    def _move(self, channel: str, new: str) -> None:
        before = self._versions.pop(channel)
        self._versions[new] = self._version
        if channel in self._values:
            self._values[new] = self._values.pop(channel)
        for seen in self._seen.values():
            if channel in seen:
                was_read = seen.pop(channel) == before
                seen[new] = self._version if was_read else 0

    def set(self, channel: str, value: Any) -> None:
        self._values[channel] = value
        self._versions[channel] = self._version

    def set_values(self, before: Iterable[str], after: Mapping[str, Any]) -> None:
        """Takes all values as changed, as some may have been in place; keys that are left out hold none."""
        for name in set(before) - after.keys():
            self._values.pop(name, None)
            self._versions[name] = self._version
        for name, value in after.items():
            self._note_as_seen(name)
            self.set(name, value)

    def _note_as_seen(self, channel: str) -> None:
        """Who has run for what the channel held does not run for what the migration has made of that."""
        for seen in self._seen.values():
            if channel in seen and seen[channel] == self._versions.get(channel):
                seen[channel] = self._version

    def set_next(self, plan: Plan, before: Iterable[str], after: Iterable[str]) -> None:
        """Has exactly these nodes run next.

        Raises:
            ValueError: There is no such node, or nothing that would trigger it alone.
        """
        dropped, added = set(before) - set(after), sorted(set(after) - set(before))
        if dropped or added:
            self._forget_what_is_gone(plan)
        if dropped and TASKS in self._values:
            self.set(TASKS, [send for send in self._values[TASKS] if send.node not in dropped])
        for channel in [name for name in self._values if _target(name) in dropped]:
            del self._values[channel]
        for name in dropped & plan.nodes.keys():
            triggers = plan.nodes[name].triggers
            self._seen[name] = {each: self._versions[each] for each in triggers if each in self._versions}
        for name in added:
            if BRANCH_PREFIX + name not in plan.channels:
                raise ValueError(f"migrate has {name!r} run next, which graph {plan.name!r} cannot do")
            self._seen.get(name, {}).pop(BRANCH_PREFIX + name, None)
            self.set(BRANCH_PREFIX + name, _trigger(plan, name))

    def _forget_what_is_gone(self, plan: Plan) -> None:
        """Whoever says what runs next has said enough about nodes that waited."""
        for channel in list(self._values):
            if channel.startswith(CONTROL_PREFIXES) and channel not in plan.channels:
                del self._values[channel]


def _trigger(plan: Plan, node: str) -> Any:
    """What is stored of a channel that triggers a node at once."""
    channel = plan.channels[BRANCH_PREFIX + node].copy()
    channel.update([None])
    channel.finish()
    return channel.checkpoint()


def _target(channel: str) -> str | None:
    """The node that a channel triggers, if its name says so."""
    if channel.startswith(BRANCH_PREFIX):
        return channel.removeprefix(BRANCH_PREFIX)
    return channel.rpartition(":")[2] if channel.startswith(JOIN_PREFIX) else None


def _renamed_channel(channel: str, nodes: Mapping[str, str]) -> str:
    if channel.startswith(BRANCH_PREFIX):
        node = channel.removeprefix(BRANCH_PREFIX)
        return BRANCH_PREFIX + nodes.get(node, node)
    if channel.startswith("branch:") and _waits(channel):
        _, source, rest = channel.split(":", 2)
        return f"branch:{nodes.get(source, source)}:{rest}"
    if not channel.startswith(JOIN_PREFIX):
        return channel
    starts, _, end = channel.removeprefix(JOIN_PREFIX).rpartition(":")
    renamed = sorted(nodes.get(start, start) for start in starts.split("+"))
    return f"{JOIN_PREFIX}{'+'.join(renamed)}:{nodes.get(end, end)}"


def _waits(channel: str) -> bool:
    """Whether it waits for several nodes, whose names it has stored."""
    return channel.startswith(JOIN_PREFIX) or (channel.startswith("branch:") and channel.endswith(":then"))


def _renamed_names(stored: Any, nodes: Mapping[str, str]) -> Any:
    """What a join has heard of so far, by the new names."""
    if isinstance(stored, list | tuple):
        return type(stored)(_renamed_names(each, nodes) for each in stored)
    return nodes.get(stored, stored) if isinstance(stored, str) else stored


def _readdressed(send: Send, nodes: Mapping[str, str]) -> Send:
    return Send(nodes.get(send.node, send.node), send.arg, timeout=send.timeout)
