"""What a builder has been told: nodes, edges, joins and branches, as values. It speaks schemas."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aiograph.graph._analysis import BranchOutline, NodeOutline, Outline

if TYPE_CHECKING:
    from aiograph.pregel._plan import Call, Plan
    from aiograph.types import CachePolicy, RetryPolicy, TimeoutPolicy


class HandlerSpec(NamedTuple):
    """An error handler, of one node or of all that have none of their own."""

    name: str
    call: Call
    outline: NodeOutline


class NodeSpec(NamedTuple):
    """One node, as added."""

    name: str
    call: Call
    action: Any
    input_schema: Any
    outline: NodeOutline
    way_labels: Mapping[str, str]
    """Destination → what to call the way there in drawings."""
    retry: tuple[RetryPolicy, ...] | None
    timeout: TimeoutPolicy | None
    handler: HandlerSpec | None
    cache: CachePolicy | None
    graph: Plan | None
    """Set if the node is a compiled graph: the two share the keys that both have."""
    priority: int
    defer: bool
    tags: tuple[str, ...]
    metadata: Mapping[str, Any]


class BranchSpec(NamedTuple):
    """One conditional edge, as added."""

    name: str
    source: str
    call: Call
    input_schema: Any
    path_map: Mapping[Any, str] | None
    """Answer → node; `None` when the answers are names themselves."""
    destinations: frozenset[str] | None
    then: str | None

    @property
    def outline(self) -> BranchOutline:
        return BranchOutline(self.source, self.destinations, self.then)


class NodeDefaults(NamedTuple):
    """What nodes get that say nothing of their own."""

    retry: tuple[RetryPolicy, ...] = ()
    timeout: TimeoutPolicy | None = None
    handler: HandlerSpec | None = None
    cache: CachePolicy | None = None


@dataclass(slots=True)
class GraphSpec:
    """Everything a builder has been told so far."""

    state_schema: Any
    context_schema: Any
    input_schema: Any
    output_schema: Any
    infer_reducers: bool
    nodes: dict[str, NodeSpec] = field(default_factory=dict)
    edges: set[tuple[str, str]] = field(default_factory=set)
    joins: set[tuple[tuple[str, ...], str]] = field(default_factory=set)
    branches: dict[tuple[str, str], BranchSpec] = field(default_factory=dict)
    defaults: NodeDefaults = field(default_factory=NodeDefaults)

    def copy(self) -> GraphSpec:
        """The same, whatever the builder is told from now on."""
        return replace(
            self,
            nodes=self.nodes.copy(),
            edges=self.edges.copy(),
            joins=self.joins.copy(),
            branches=self.branches.copy(),
        )

    def handler_of(self, node: NodeSpec) -> HandlerSpec | None:
        """The error handler that a node has, or shares."""
        return node.handler or self.defaults.handler

    def _outline_of(self, node: NodeSpec) -> NodeOutline:
        handler = self.handler_of(node)
        return node.outline if handler is None else node.outline.handled_by(handler.outline)

    @property
    def outline(self) -> Outline:
        """The graph reduced to names."""
        return Outline(
            nodes={name: self._outline_of(node) for name, node in self.nodes.items()},
            edges=frozenset(self.edges),
            joins=frozenset(self.joins),
            branches=tuple(branch.outline for branch in self.branches.values()),
        )
