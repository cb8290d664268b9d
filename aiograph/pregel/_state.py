"""The state of one run between two supersteps. Owned by the loop, handed to the pure stages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, TypeAlias, cast

from aiograph import _ids
from aiograph._context import NestedRun
from aiograph._effects import NO_NAMES
from aiograph.channels.base import BaseChannel
from aiograph.checkpoint.base import ChannelVersions
from aiograph.pregel._plan import Plan, Values

Channel: TypeAlias = BaseChannel[Any, Any, Any]

Channels: TypeAlias = dict[str, Channel]

Tried: TypeAlias = tuple[Channel, Sequence[Any], Channel]
"""A channel, what a task has written to it, and a copy that has taken that."""

NONE_TRIED: Mapping[str, Tried] = MappingProxyType({})

KnownIds: TypeAlias = Mapping[tuple[str, ...], str]

NO_IDS: KnownIds = MappingProxyType({})


class Origin:
    """What task ids derive from; outlives the state, so that whoever keeps a task's id does not keep that.

    Args:
        namespace: Where the run keeps what it keeps.
        nested: The task that a run without a saver is nested in, and which of the task's runs it is.
        known_ids: Ids that tasks have had under other names, by all that their ids would depend on now.
    """

    __slots__ = ("_made", "_nested", "known_ids", "namespace")

    def __init__(
        self, namespace: str, nested: NestedRun | None = None, known_ids: KnownIds | None = None
    ) -> None:
        self.namespace = namespace
        self.known_ids = known_ids or NO_IDS
        self._nested = nested
        self._made: str | None = None

    def checkpoint_id(self) -> str:
        """Stands in for the checkpoint of a run without a saver; made on demand.

        When the task around it runs again, so does this run, under the same ids.
        """
        if self._made is None:
            self._made = _ids.checkpoint_id() if self._nested is None else self._nested.id
            self._nested = None
        return self._made


@dataclass(slots=True)
class News:
    """What has changed since the newest checkpoint, for those who keep no more than that."""

    versions: ChannelVersions
    """Those of the channels that have changed."""
    seen: dict[str, Mapping[str, int]]
    """By node, what those have seen that have run."""


NOT_NOTED = cast("dict[str, Any]", MappingProxyType({}))
"""The versions of a state that nobody stores, and who has seen which: nobody wants to know them."""


class RunState:
    """Channels, versions, and where the run stands.

    Channels come to life when they are first written. Versions are integers from one counter, one new
    version per superstep.
    """

    __slots__ = (
        "channels",
        "checkpoint_id",
        "fading",
        "is_versioned",
        "news",
        "origin",
        "pending_finish",
        "seen",
        "step",
        "tried",
        "updated",
        "values",
        "version",
        "versions",
    )

    def __init__(
        self,
        channels: Channels,
        values: Values,
        versions: dict[str, int],
        seen: dict[str, dict[str, int]],
        updated: Sequence[str] | None,
        step: int,
        checkpoint_id: str | None,
        origin: Origin,
    ) -> None:
        self.channels = channels
        self.values = values
        """Values of the readable channels; a fresh dict is made of it for each node."""
        self.is_versioned = versions is not NOT_NOTED
        """Whether anybody wants to know the versions, and who has seen which: whoever stores the state."""
        self.versions = versions
        self.version = max(versions.values()) if versions else 0
        self.seen = seen
        """Per node, the versions of its triggers that it has run for."""
        self.updated = updated
        """What the superstep before changed; `None` when that is not known."""
        self.fading: dict[str, None] = {}
        """Live channels whose value lasts one superstep; a set that has an order."""
        self.pending_finish = NO_NAMES
        """Live channels that wait for the end of the run to become readable."""
        for name, channel in channels.items():
            if channel.transient:
                self.fading[name] = None
            if channel.awaits_finish:
                self.pending_finish |= {name}
        self.news: News | None = None
        """Noted from the first checkpoint on that a run makes."""
        self.tried = NONE_TRIED
        """Channels as a router of this superstep has been shown them."""
        self.step = step
        """The superstep to come; 0 is the one that takes in the input."""
        self.checkpoint_id = checkpoint_id
        """The checkpoint that this state is stored under; `None` without a saver."""
        self.origin = origin

    @property
    def namespace(self) -> str:
        return self.origin.namespace

    def aside(self) -> RunState:
        """A state that goes its own way from here. Channels are shared: whoever changes one copies it."""
        return RunState(
            self.channels.copy(),
            self.values.copy(),
            NOT_NOTED,
            NOT_NOTED,
            self.updated,
            self.step,
            self.checkpoint_id,
            self.origin,
        )

    def note_seen(self, node: str, seen: dict[str, int]) -> None:
        """Notes the versions that a node has run for; the dict does not change any more."""
        self.seen[node] = seen
        if self.news is not None:
            self.news.seen[node] = seen


def fresh_state(plan: Plan, namespace: str = "") -> RunState:
    """The state of a thread on which nothing has ever run."""
    return _blank_state(plan, {}, {}, Origin(namespace))


def passing_state(plan: Plan, nested: NestedRun | None) -> RunState:
    """The state of a run of which nothing is kept, and which may be nested in a task."""
    return _blank_state(plan, NOT_NOTED, NOT_NOTED, Origin("", nested))


def _blank_state(
    plan: Plan, versions: dict[str, int], seen: dict[str, dict[str, int]], origin: Origin
) -> RunState:
    channels: Channels = {}
    values: Values = {}
    for name in plan.born:
        channels[name] = channel = plan.channels[name].copy()
        if name in plan.readable:
            values[name] = channel.get()
    return RunState(channels, values, versions, seen, (), -1, None, origin)


def restored_state(
    plan: Plan,
    checkpoint: Mapping[str, Any],
    metadata: Mapping[str, Any],
    namespace: str,
    known_ids: KnownIds | None = None,
) -> RunState:
    """The state that a checkpoint describes, ready for the superstep after it."""
    stored = checkpoint["channel_values"]
    channels = {name: plan.channels[name].copy() for name in plan.born if name not in stored}
    for name, value in stored.items():
        if name in plan.channels:
            channels[name] = plan.channels[name].from_checkpoint(value)
    values = {
        name: channel.get()
        for name, channel in channels.items()
        if name in plan.readable and channel.is_available()
    }
    updated = checkpoint["updated_channels"]
    return RunState(
        channels,
        values,
        dict(checkpoint["channel_versions"]),
        {node: dict(seen) for node, seen in checkpoint["versions_seen"].items()},
        None if updated is None else tuple(updated),
        metadata.get("step", -2) + 1,
        checkpoint["id"],
        Origin(namespace, known_ids=known_ids),
    )
