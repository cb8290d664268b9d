"""Random graphs as plain descriptions: what their nodes do, how they are built, and how they are drawn."""

import operator
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Annotated, Any, TypedDict

from hypothesis import strategies as st

from aiograph.channels import Topic
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.constants import END, START
from aiograph.graph.state import CompiledStateGraph, StateGraph
from aiograph.types import Command, RetryPolicy, Send, interrupt

LONG_ENOUGH = 6
"""Entries in the log from which on nobody goes anywhere but along edges, so that every run ends."""

Ticket = dict[str, Any]
Target = str | tuple[str, Ticket]
"""A node, or a node with what it is called with in place of the state."""


class Boom(Exception):
    """What nodes raise."""


@dataclass(frozen=True)
class NodeSketch:
    name: str
    writes_last: bool = False
    writes_news: bool = False
    asks: int = 0
    """How many questions it asks."""
    fails: int = 0
    """How often it fails before it works."""
    attempts: int = 1
    """How often it is tried within one superstep."""
    defer: bool = False
    router: bool = False
    """Whether a conditional edge makes its choices, rather than a command of its own."""
    choices: tuple[tuple[str, ...], ...] = ()
    """Where it may go; a name with a `*` is sent a ticket."""
    inner: "Sketch | None" = None
    """The graph that it is."""


@dataclass(frozen=True)
class Sketch:
    nodes: tuple[NodeSketch, ...]
    entry: tuple[str, ...]
    edges: tuple[tuple[str, str], ...] = ()
    joins: tuple[tuple[tuple[str, ...], str], ...] = ()

    @cached_property
    def by_name(self) -> dict[str, NodeSketch]:
        return {node.name: node for node in self.nodes}


@dataclass(frozen=True)
class Step:
    """What a node has done."""

    update: Mapping[str, Any]
    goto: Sequence[Target] = ()


# -- what nodes do


def behave(node: NodeSketch, seen: Mapping[str, Any], tries: Counter[str], ask: Callable[[str], str]) -> Step:
    """What a node does with a state or a ticket.

    Raises:
        Boom: It fails this time.
    """
    size, origin = _place(seen)
    who = f"{node.name}@{origin}"
    answers = [ask(f"{who}?{number}") for number in range(node.asks)]
    tries[who] += 1
    if tries[who] <= node.fails:
        raise Boom(who)
    entry = f"{who}:{'+'.join(answers)}:{seen.get('last')}:{seen.get('news')}"
    update: dict[str, Any] = {"log": [entry]}
    if node.writes_last:
        update["last"] = entry
    if node.writes_news:
        update["news"] = [node.name, origin]
    return Step(update, () if node.router else choice(node, size, origin))


def _place(seen: Mapping[str, Any]) -> tuple[int, str]:
    size = seen["size"] if "size" in seen else len(seen["log"])
    return size, str(seen.get("origin", size))


def choice(node: NodeSketch, size: int, origin: str) -> tuple[Target, ...]:
    """Where a node goes from a state with so many entries in its log."""
    if size >= LONG_ENOUGH or not node.choices:
        return ()
    chosen = node.choices[size % len(node.choices)]
    return tuple(
        (name[1:], {"size": size + 1, "origin": f"{origin}/{node.name}{number}"})
        if name.startswith("*")
        else name
        for number, name in enumerate(chosen)
    )


def author(log: Sequence[str]) -> str:
    """Who made the last entry of a log; no other task has the name."""
    return log[-1].partition(":")[0] if log else ""


# -- as graphs


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    last: str
    news: Annotated[list[str], Topic(str)]


Graph = CompiledStateGraph[Any, Any, Any, Any]


def build(sketch: Sketch, saver: BaseCheckpointSaver | None, tries: Counter[str]) -> Graph:
    """The graph that a sketch describes."""
    graph = StateGraph(State)
    for node in sketch.nodes:
        _add(graph, node, tries)
    for name in sketch.entry:
        graph.add_edge(START, name)
    for start, end in sketch.edges:
        graph.add_edge(start, end)
    for starts, end in sketch.joins:
        graph.add_edge(list(starts), end)
    return graph.compile(saver, on_error="finish")


def _add(graph: StateGraph[Any, Any, Any, Any], node: NodeSketch, tries: Counter[str]) -> None:
    retry = RetryPolicy(initial_interval=0, jitter=False, max_attempts=node.attempts, retry_on=Boom)
    if node.inner is not None:
        graph.add_node(node.name, build(node.inner, None, tries), defer=node.defer)
    else:
        graph.add_node(node.name, _action(node, tries), defer=node.defer, retry_policy=retry)
    if node.router:
        graph.add_conditional_edges(node.name, _router(node))


def _action(node: NodeSketch, tries: Counter[str]) -> Callable[[dict[str, Any]], Any]:
    async def act(state: dict[str, Any]) -> Any:
        step = behave(node, state, tries, interrupt)
        if not step.goto:
            return dict(step.update)
        return Command(update=dict(step.update), goto=_targets(step.goto))

    return act


def _router(node: NodeSketch) -> Callable[[dict[str, Any]], Any]:
    def go(state: dict[str, Any]) -> Any:
        log = state["log"]
        return _targets(choice(node, len(log), author(log))) or END

    return go


def _targets(goto: Sequence[Target]) -> list[Any]:
    return [target if isinstance(target, str) else Send(*target) for target in goto]


# -- at random


@st.composite
def sketches(draw: st.DrawFn, prefix: str = "", *, depth: int = 1) -> Sketch:
    """Graphs of two to five nodes, of which some are graphs themselves.

    Args:
        draw: Draws.
        prefix: What the nodes' names begin with.
        depth: How deep graphs are nested.
    """
    names = [prefix + letter for letter in "abcde"[: draw(st.integers(2, 5))]]
    nodes = [draw(_nodes(name, depth)) for name in names]
    plain = [node.name for node in nodes if node.inner is None]
    nodes = [replace(node, choices=draw(_choices(names, plain, node))) for node in nodes]
    forward = [(a, b) for number, a in enumerate(names) for b in names[number + 1 :]]
    edges = draw(st.lists(st.sampled_from(forward), max_size=4, unique=True))
    return Sketch(
        tuple(nodes),
        tuple(draw(st.lists(st.sampled_from(names), min_size=1, max_size=3, unique=True))),
        tuple(edges),
        tuple(draw(_joins(names))),
    )


_rarely = st.sampled_from([False, False, False, True])
_seldom = st.sampled_from([0, 0, 0, 0, 0, 1, 1, 2])


@st.composite
def _nodes(draw: st.DrawFn, name: str, depth: int) -> NodeSketch:
    defer = draw(_rarely)
    router = draw(st.booleans())
    if depth and draw(_rarely):
        return NodeSketch(name, defer=defer, router=True, inner=draw(sketches(f"{name}_", depth=depth - 1)))
    return NodeSketch(
        name,
        writes_last=draw(_rarely),
        writes_news=draw(_rarely),
        asks=draw(_seldom),
        fails=draw(_seldom),
        attempts=draw(st.integers(1, 2)),
        defer=defer,
        router=router,
    )


@st.composite
def _choices(
    draw: st.DrawFn, names: list[str], plain: list[str], node: NodeSketch
) -> tuple[tuple[str, ...], ...]:
    targets = st.sampled_from([*names, *(f"*{name}" for name in plain)])
    ways = st.lists(targets, max_size=2, unique=True).map(tuple)
    return tuple(draw(st.lists(ways, max_size=2)))


@st.composite
def _joins(draw: st.DrawFn, names: list[str]) -> list[tuple[tuple[str, ...], str]]:
    if len(names) < 3 or not draw(st.booleans()):
        return []
    first, second, end = sorted(draw(st.lists(st.sampled_from(names), min_size=3, max_size=3, unique=True)))
    return [((first, second), end)]
