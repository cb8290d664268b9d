"""Describing a graph in terms of channels: `NodeBuilder`, and the plan of a hand-made `Pregel`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from aiograph.channels.base import BaseChannel
from aiograph.channels.topic import Topic
from aiograph.constants import TASKS
from aiograph.errors import GraphValidationError
from aiograph.pregel._cache import cached_node
from aiograph.pregel._callable import bind
from aiograph.pregel._plan import Leaving, Plan, PlannedNode, Values, Write, read_channels
from aiograph.types import CachePolicy, Command, RetryPolicy, Send, Timeout, TimeoutPolicy

if TYPE_CHECKING:
    from aiograph.drawing import Edge


class NodeBuilder:
    """Describes a node step by step: what triggers it, what it reads, calls and writes.

    Examples:
        >>> node = NodeBuilder().subscribe_only("words").do(str.upper).write_to("shouts")
    """

    def __init__(self) -> None:
        self._triggers: list[str] = []
        self._reads: list[str] = []
        self._single: str | None = None
        self._action: Any = None
        self._writes: list[tuple[str, Any]] = []
        self._tags: list[str] = []
        self._metadata: dict[str, Any] = {}
        self._retry: list[RetryPolicy] = []
        self._timeout: TimeoutPolicy | None = None
        self._cache: CachePolicy | None = None
        self._inline = False

    def subscribe_only(self, channel: str) -> Self:
        """Runs when `channel` changes; the input is its value."""
        if self._triggers or self._reads:
            raise ValueError("subscribe_only() must be the only subscription of a node")
        self._single = channel
        self._triggers.append(channel)
        return self

    def subscribe_to(self, *channels: str, read: bool = True) -> Self:
        """Runs when one of `channels` changes; with `read`, the input is a dict that has their values."""
        self._refuse_single()
        self._triggers += channels
        if read:
            self._reads += channels
        return self

    def read_from(self, *channels: str) -> Self:
        """Adds the values of `channels` to the input."""
        self._refuse_single()
        self._reads += channels
        return self

    def _refuse_single(self) -> None:
        if self._single is not None:
            raise ValueError(f"the node already subscribes to {self._single!r} only")

    def do(self, action: Any, *, inline: bool = False) -> Self:
        """What to call with the input; `inline` runs a quick synchronous function on the loop."""
        self._action, self._inline = action, inline
        return self

    def write_to(self, *channels: str, **values: Any) -> Self:
        """Writes the output to `channels`, and to each keyword its value, or what it makes of the output."""
        self._writes += [(name, _SAME) for name in channels]
        self._writes += values.items()
        return self

    def meta(self, *tags: str, **metadata: Any) -> Self:
        """Adds tags and metadata."""
        self._tags += tags
        self._metadata |= metadata
        return self

    def add_retry_policies(self, *policies: RetryPolicy) -> Self:
        """Adds policies; the first that matches an error applies."""
        self._retry += policies
        return self

    def add_cache_policy(self, policy: CachePolicy) -> Self:
        """Keeps what the node writes in the graph's cache."""
        self._cache = policy
        return self

    def set_timeout(self, timeout: Timeout | None) -> Self:
        """How long one attempt may take."""
        self._timeout = TimeoutPolicy.of(timeout)
        return self

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels that the node refers to."""
        return (*self._triggers, *self._reads, *self.written)

    @property
    def written(self) -> tuple[str, ...]:
        """The channels that the node writes."""
        return tuple(name for name, _ in self._writes)

    def build(self, name: str = "node") -> PlannedNode:
        """The node.

        Raises:
            ValueError: Nothing triggers it.
        """
        if not self._triggers:
            raise ValueError(f"node {name!r} subscribes to no channel, so it could never run")
        node = PlannedNode(
            name=name,
            triggers=tuple(dict.fromkeys(self._triggers)),
            read=_reader(self._single, tuple(dict.fromkeys(self._reads))),
            call=None if self._action is None else bind(self._action, name, inline=self._inline),
            write=_writer(tuple(self._writes)),
            tags=tuple(self._tags),
            metadata=dict(self._metadata),
            retry=tuple(self._retry),
            timeout=self._timeout,
            graph=_plan_of(self._action),
            action=self._action,
        )
        return cached_node(node, self._cache)


def _plan_of(action: Any) -> Plan | None:
    plan = getattr(action, "plan", None)
    return plan if isinstance(plan, Plan) else None


_SAME = object()
"""Marks a write of the output itself."""


def _reader(single: str | None, names: tuple[str, ...]) -> Callable[[Values, int], Any]:
    channels: str | tuple[str, ...] = names if single is None else single
    return lambda values, remaining: read_channels(values, channels)


def _writer(entries: tuple[tuple[str, Any], ...]) -> Callable[[Any], list[Write]]:
    def write(output: Any) -> list[Write]:
        if isinstance(output, Command) and output.graph is not None:
            raise Leaving((output,))
        sends = [(TASKS, item) for item in _sends(output)]
        return [*sends, *_written(entries, output)] if not sends or entries else sends

    return write


def _sends(output: Any) -> Sequence[Send]:
    if isinstance(output, Send):
        return (output,)
    if isinstance(output, list) and output and all(isinstance(item, Send) for item in output):
        return output
    return ()


def _written(entries: tuple[tuple[str, Any], ...], output: Any) -> list[Write]:
    made = [(name, _value(entry, output)) for name, entry in entries]
    return [
        (name, value)
        for (name, value), (_, entry) in zip(made, entries, strict=True)
        if _counts(entry, value)
    ]


def _value(entry: Any, output: Any) -> Any:
    if entry is _SAME:
        return output
    return entry(output) if callable(entry) else entry


def _counts(entry: Any, value: Any) -> bool:
    """An output, or what a function makes of it, is not written when it is `None`; a constant is."""
    return value is not None or not (entry is _SAME or callable(entry))


def planned(
    nodes: Mapping[str, Any],
    channels: Mapping[str, BaseChannel[Any, Any, Any]],
    input: str | Sequence[str],
    output: str | Sequence[str],
    retry: RetryPolicy | Sequence[RetryPolicy],
    name: str,
    cache: CachePolicy | None = None,
) -> Plan:
    """The plan of a hand-made graph.

    Raises:
        GraphValidationError: A node refers to a channel that does not exist.
    """
    policies = (retry,) if isinstance(retry, RetryPolicy) else tuple(retry)
    built = {key: _built(key, node, policies, cache) for key, node in nodes.items()}
    keyed = {TASKS: _keyed(TASKS, Topic(Send)), **{key: _keyed(key, spec) for key, spec in channels.items()}}
    plan = Plan(
        name=name,
        nodes=built,
        channels=keyed,
        input=input if isinstance(input, str) else tuple(input),
        takes=None if isinstance(input, str) else frozenset(input),
        output=output if isinstance(output, str) else tuple(output),
    )
    if faults := list(_faults(plan, nodes)):
        raise GraphValidationError(faults)
    writes = {key: node.written for key, node in nodes.items() if isinstance(node, NodeBuilder)}
    return replace(plan, find_edges=partial(_edges, plan, writes))


def _edges(plan: Plan, writes: Mapping[str, Sequence[str]]) -> tuple[Edge, ...]:
    from aiograph.pregel._topology import channel_edges

    return channel_edges(plan, writes)


def _built(name: str, node: Any, retry: tuple[RetryPolicy, ...], cache: CachePolicy | None) -> PlannedNode:
    if isinstance(node, NodeBuilder):
        node = node.build(name)
    if not isinstance(node, PlannedNode):
        raise TypeError(f"node {name!r} must be made with NodeBuilder, not {type(node).__name__}")
    node = replace(node, name=name, retry=node.retry or retry)
    return node if node.cache is not None else cached_node(node, cache)


def _keyed(key: str, spec: BaseChannel[Any, Any, Any]) -> BaseChannel[Any, Any, Any]:
    return spec.named(key)


def _faults(plan: Plan, nodes: Mapping[str, Any]) -> Any:
    inputs = (plan.input,) if isinstance(plan.input, str) else plan.input
    used = [("the graph's input", channel) for channel in inputs]
    used += [("the graph's output", channel) for channel in plan.output_channels]
    for name, node in nodes.items():
        channels = node.channels if isinstance(node, NodeBuilder) else plan.nodes[name].triggers
        used += [(f"node {name!r}", channel) for channel in channels]
    for user, channel in dict.fromkeys(used):
        if channel not in plan.channels:
            yield (
                f"{user} refers to a channel {channel!r}, which the graph does not have; "
                f"it has {sorted(plan.channels)}"
            )
