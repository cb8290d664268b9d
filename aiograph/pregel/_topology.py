"""A plan as nodes and edges to be drawn, with the plans within it unfolded as far as wanted. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from aiograph.constants import END, START
from aiograph.drawing import Edge, Graph, Node
from aiograph.drawing._values import INSIDE
from aiograph.pregel._plan import Plan, PlannedNode


def topology(plan: Plan, xray: bool | int = False) -> Graph:
    """What may follow what in a graph.

    Args:
        plan: The graph.
        xray: Whether nodes that are graphs are drawn as such; as a number, how many levels deep.

    Raises:
        ValueError: `xray` is negative.
    """
    if xray < 0:
        raise ValueError(f"xray must be a number of levels, 0 or more, not {xray}")
    known = plan.find_edges()
    nodes = {node.id: node for node in _nodes(plan, known)}
    edges = [edge for edge in known if edge.source in nodes and edge.target in nodes]
    if xray:
        deeper = True if xray is True else xray - 1
        for name, node in plan.nodes.items():
            if node.graph is not None and name in nodes:
                nodes, edges = _unfolded(nodes, edges, name, topology(node.graph, deeper))
    return Graph(nodes, tuple(edges))


def _nodes(plan: Plan, edges: Iterable[Edge]) -> Iterator[Node]:
    used = {name for edge in edges for name in (edge.source, edge.target)}
    if START in used:
        yield Node(id=START, name=START)
    for node in plan.nodes.values():
        if not node.is_hidden:
            yield _node(node)
            if node.handler is not None:
                yield _node(node.handler)
    if END in used:
        yield Node(id=END, name=END)


def _node(node: PlannedNode) -> Node:
    return Node(
        id=node.name,
        name=node.name,
        metadata=node.metadata,
        is_deferred=node.defer,
        priority=node.priority,
    )


# -- graphs of channels --------------------------------------------------------------------------------


def channel_edges(plan: Plan, writes: Mapping[str, Sequence[str]]) -> tuple[Edge, ...]:
    """The edges of a graph made by hand: who writes a channel leads to those whom it triggers.

    Args:
        plan: The graph.
        writes: Node → the channels that it writes, as far as that is known.
    """
    inputs = (plan.input,) if isinstance(plan.input, str) else plan.input
    channels: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for source, written in ((START, inputs), *writes.items()):
        for channel in dict.fromkeys(written):
            for target in plan.subscribers.get(channel, ()):
                channels[source, target].append(channel)
            if channel in plan.output_channels and source != START:
                channels[source, END].append(channel)
    return tuple(Edge(source, target, ", ".join(found)) for (source, target), found in channels.items())


# -- graphs within graphs ------------------------------------------------------------------------------


class _Inside(NamedTuple):
    """A graph, made ready to stand in the place of a node."""

    nodes: dict[str, Node]
    edges: list[Edge]
    entry: str
    """Where edges that lead to the node lead now."""
    exit: str
    """Where edges that leave the node leave now."""


def _unfolded(
    nodes: Mapping[str, Node], edges: Iterable[Edge], name: str, inner: Graph
) -> tuple[dict[str, Node], list[Edge]]:
    """A graph with `inner` in the place of the node `name`; as it was, if nothing is known of `inner`."""
    inside = _inside(name, inner)
    if inside is None:
        return dict(nodes), [*edges]
    around: dict[str, Node] = {}
    for key, node in nodes.items():
        around |= inside.nodes if key == name else {key: node}
    moved = [_moved(edge, name, inside) for edge in edges]
    positions = {key: position for position, key in enumerate(around)}
    return around, sorted([*moved, *inside.edges], key=lambda edge: positions[edge.source])


def _moved(edge: Edge, name: str, inside: _Inside) -> Edge:
    source = inside.exit if edge.source == name else edge.source
    target = inside.entry if edge.target == name else edge.target
    return replace(edge, source=source, target=target)


def _inside(name: str, inner: Graph) -> _Inside | None:
    """`inner` under its new ids, without its START and END where a single edge tells as much."""
    if START not in inner.nodes:
        return None
    entry, exit = _entry(inner), _exit(inner)
    dropped = {START, END} - {entry, exit}
    kept = [edge for edge in inner.edges if dropped.isdisjoint((edge.source, edge.target))]
    nodes = {
        f"{name}{INSIDE}{key}": replace(node, id=f"{name}{INSIDE}{key}")
        for key, node in inner.nodes.items()
        if key not in dropped
    }
    edges = [
        replace(edge, source=f"{name}{INSIDE}{edge.source}", target=f"{name}{INSIDE}{edge.target}")
        for edge in kept
    ]
    return _Inside(nodes, edges, f"{name}{INSIDE}{entry}", f"{name}{INSIDE}{exit}")


def _entry(inner: Graph) -> str:
    leaving = [edge for edge in inner.edges if edge.source == START]
    return leaving[0].target if _is_plain(leaving) and leaving[0].target != END else START


def _exit(inner: Graph) -> str:
    """What leaves a graph that never ends is its START: no edge tells of an end."""
    arriving = [edge for edge in inner.edges if edge.target == END]
    if not arriving:
        return _entry(inner)
    return arriving[0].source if _is_plain(arriving) and arriving[0].source != START else END


def _is_plain(edges: list[Edge]) -> bool:
    return len(edges) == 1 and not edges[0].conditional
