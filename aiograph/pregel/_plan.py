"""The plan of a graph: frozen, complete, and all that the engine knows about it. It speaks channels.

A builder makes one; nothing in a run changes it. A node is described by what triggers it, how its
input is read from the channels' values, what is called, and how its output becomes writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from aiograph.channels.base import BaseChannel
from aiograph.channels.dict_merge import DictMerge
from aiograph.constants import BRANCH_PREFIX, JOIN_PREFIX, POSITIONS, START, TAG_HIDDEN, TASKS
from aiograph.types import CachePolicy, Command, RetryPolicy, TimeoutPolicy

if TYPE_CHECKING:
    from aiograph.drawing import Edge
    from aiograph.pregel._shape import Shape

Write: TypeAlias = tuple[str, Any]
"""`(channel, value)`"""

Values: TypeAlias = dict[str, Any]
"""The values of the readable channels that hold one."""

Reader: TypeAlias = Callable[[Values, int], Any]
"""Makes a node's input from the values and the number of supersteps that remain."""

Writer: TypeAlias = Callable[[Any], list[Write]]
"""Turns a node's output into writes; raises `InvalidUpdateError` for what a node may not return, and
`Leaving` for what is meant for a graph further out."""


class Leaving(Exception):
    """Raised by a writer: the output is for a graph further out.

    It never passes through user code.
    """

    def __init__(self, commands: Sequence[Command[Any]]) -> None:
        self.commands = commands
        super().__init__(commands)


@dataclass(frozen=True, slots=True)
class Call:
    """User code, ready to be called as `fn(input, scope)`."""

    fn: Callable[..., Any]
    is_async: bool
    inline: bool = False
    """Synchronous code that is quick enough to run on the loop."""
    action: Any = None
    """What `fn` was made of, as it was given."""


class Caching(NamedTuple):
    """How the results of a node are cached."""

    policy: CachePolicy
    namespace: tuple[str, ...]
    """Where they are; what the node and its edges are made of is a part of it."""


@dataclass(frozen=True, slots=True)
class Route:
    """A conditional edge: code that looks at the state as its node left it, and says where to go."""

    name: str
    call: Call
    read: Reader
    resolve: Callable[[Any], Sequence[Write]]
    """Turns the answer into writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedNode:
    """One node."""

    name: str
    triggers: tuple[str, ...]
    """Channels that make the node run when they have a version it has not seen."""
    read: Reader
    call: Call | None
    """`None` hands the input on as the output."""
    write: Writer
    obey: Writer | None = None
    """Turns commands from a graph within the node into writes, where `write` does not."""
    after: tuple[Write, ...] = ()
    """Writes that every run of the node makes: its plain edges."""
    routes: tuple[Route, ...] = ()
    retry: tuple[RetryPolicy, ...] = ()
    handler: PlannedNode | None = None
    """What takes over, with the same input, when the node has failed for good."""
    timeout: TimeoutPolicy | None = None
    """How long one attempt may take; `None` for as long as it likes."""
    cache: Caching | None = None
    priority: int = 0
    """Higher goes first when `max_concurrency` leaves a choice."""
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    defer: bool = False
    """Whether it waits until nothing else is left to run; its channels see to that."""
    graph: Plan | None = None
    """Set if what is called is a compiled graph."""
    part_of: str | None = None
    """The node that its runs are parts of; they are not shown as updates of their own."""
    action: Any = None
    """What the node was made of; the engine calls `call`, and looks here for graphs only."""

    @property
    def is_hidden(self) -> bool:
        return TAG_HIDDEN in self.tags


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A graph, as the engine sees it."""

    name: str
    nodes: Mapping[str, PlannedNode]
    channels: Mapping[str, BaseChannel[Any, Any, Any]]
    """A prototype per channel; live channels are copies. Every plan has one for `POSITIONS`."""
    input: str | tuple[str, ...]
    """The channel that takes the input, or several that take the input's keys."""
    output: str | tuple[str, ...]
    """The channel, or channels, that make up the result."""
    state: str | tuple[str, ...] = ()
    """The channel, or channels, that a thread shows to those who look at it; by default the result's."""
    takes: frozenset[str] | None = None
    """The keys that an input may have; `None` if the input is one value."""
    command: Writer | None = None
    """Turns a command of a caller into writes; `None` where there are only channels to write to."""
    strict: bool = False
    find_edges: Callable[[], tuple[Edge, ...]] = tuple
    """Finds what may follow what, if the graph is drawn; in a run, channels decide."""
    is_cached: bool = field(init=False)
    """Whether any node has a cache policy."""
    needs_loop: bool = field(init=False)
    """Whether any node needs an event loop, whatever it does."""
    subscribers: Mapping[str, tuple[str, ...]] = field(init=False)
    """Channel → nodes that it triggers, by name."""
    readable: frozenset[str] = field(init=False)
    """Channels whose values are kept at hand; the others only trigger."""
    born: tuple[str, ...] = field(init=False)
    """Channels that hold a value before anybody has written to them."""
    consumable: frozenset[str] = field(init=False)
    """Channels that may change by being told that what they triggered has run."""
    transient: frozenset[str] = field(init=False)
    """Channels whose value lasts one superstep."""
    awaits_finish: frozenset[str] = field(init=False)
    """Channels that wait for the end of the run to become readable."""
    replaces: frozenset[str] = field(init=False)
    """Channels that show what was written as it is."""
    signals: Mapping[str, BaseChannel[Any, Any, Any]] = field(init=False)
    """Channels that only say that a node is to run, as writing `None` leaves them; all runs share them."""
    entry: PlannedNode | None = field(init=False)
    """The node that does nothing but hand the input to the state, if there is one that does no more."""
    unstored: frozenset[str] = field(init=False)
    """Channels whose values are never stored."""
    shape: Shape = field(init=False)
    """What threads depend on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", {**self.channels, POSITIONS: DictMerge(dict, POSITIONS)})
        object.__setattr__(self, "state", self.state or self.output)
        object.__setattr__(self, "is_cached", any(node.cache for node in self.nodes.values()))
        object.__setattr__(self, "needs_loop", any(map(_needs_loop, self.nodes.values())))
        object.__setattr__(self, "subscribers", _subscribers(self.nodes.values()))
        object.__setattr__(self, "readable", _readable(self.channels))
        born = (name for name, channel in self.channels.items() if channel.is_available())
        object.__setattr__(self, "born", tuple(name for name in born if name != POSITIONS))
        for flag in ("consumable", "transient", "awaits_finish", "replaces"):
            flagged = (name for name, channel in self.channels.items() if getattr(channel, flag))
            object.__setattr__(self, flag, frozenset(flagged))
        object.__setattr__(self, "signals", {name: _given(self, name) for name in _signalling(self)})
        object.__setattr__(self, "entry", _entry(self))
        unstored = (name for name, channel in self.channels.items() if not channel.persistent)
        object.__setattr__(self, "unstored", frozenset(unstored))
        from aiograph.pregel._shape import shape_of  # hashes, as building does not

        triggers = {name: node.triggers for name, node in self.nodes.items()}
        object.__setattr__(self, "shape", shape_of(triggers, self.channels))

    @property
    def output_channels(self) -> tuple[str, ...]:
        return (self.output,) if isinstance(self.output, str) else self.output


def _needs_loop(node: PlannedNode) -> bool:
    if node.timeout is not None or node.cache is not None:
        return True
    if node.call is not None and (node.call.is_async or node.call.inline):
        return True
    handler_does = node.handler is not None and _needs_loop(node.handler)
    return handler_does or any(route.call.is_async for route in node.routes)


def _subscribers(nodes: Any) -> dict[str, tuple[str, ...]]:
    index: dict[str, list[str]] = {}
    for node in nodes:
        for channel in node.triggers:
            index.setdefault(channel, []).append(node.name)
    return {channel: tuple(sorted(names)) for channel, names in index.items()}


def _signalling(plan: Plan) -> Iterator[str]:
    return (name for name in plan.channels if name.startswith(BRANCH_PREFIX) and name in plan.replaces)


def _given(plan: Plan, name: str) -> BaseChannel[Any, Any, Any]:
    channel = plan.channels[name].copy()
    channel.update((None,))
    return channel


def _entry(plan: Plan) -> PlannedNode | None:
    node = plan.nodes.get(START)
    if node is None or node.call is not None or node.routes or node.triggers != (plan.input,):
        return None
    (trigger,) = node.triggers
    is_alone = plan.subscribers[trigger] == (START,)
    return node if is_alone and trigger in plan.transient and trigger in plan.replaces else None


_CONTROL = ("branch:", JOIN_PREFIX)


def _readable(channels: Mapping[str, Any]) -> frozenset[str]:
    engine = (TASKS, POSITIONS)
    return frozenset(name for name in channels if name not in engine and not name.startswith(_CONTROL))


def read_channels(values: Values, channels: str | Sequence[str]) -> Any:
    """The value of one channel (`None` if it holds none), or a dict of those that hold one."""
    if isinstance(channels, str):
        return values.get(channels)
    return {name: values[name] for name in channels if name in values}
