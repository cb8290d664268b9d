"""Random small graphs with everything in them: edges, joins, routes, `Send`s, commands, deferred nodes,
reducers, questions, retries and nested graphs.

A `Shape` says what a graph is made of. What its nodes do is a function of what they see, so a run has one
right outcome, whatever it is interrupted by. Cycles end because what leads back stops when the log that a
node sees has `ENOUGH` entries.
"""

import operator
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

from hypothesis import strategies as st

from aiograph.channels.topic import Topic
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.graph import START, StateGraph
from aiograph.graph.state import CompiledStateGraph
from aiograph.runtime import Runtime
from aiograph.types import Command, RetryPolicy, Send, interrupt
from aiograph.warnings import GraphWarning

ENOUGH = 5

Graph = CompiledStateGraph[Any, Any, Any, Any]


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    total: Annotated[int, operator.add]
    news: Annotated[list[str], Topic(str)]
    last: str


Key = Literal["total", "news", "last"]


class Target(NamedTuple):
    """Where a route or a command leads."""

    node: int
    by_send: bool


@dataclass(frozen=True)
class Inner:
    """A nested graph: a chain of nodes that ask so many questions each."""

    asks: tuple[int, ...]
    remembers: bool
    """Whether it keeps its state from call to call."""


@dataclass(frozen=True)
class Node:
    """A node. Its targets are those of its route; if it commands, they are the command's."""

    writes: frozenset[Key] = frozenset()
    asks: int = 0
    flaky: int = 0
    """Attempts that fail before one succeeds; there are enough of them."""
    defer: bool = False
    commands: bool = False
    targets: tuple[Target, ...] = ()
    edges: tuple[int, ...] = ()
    inner: Inner | None = None


@dataclass(frozen=True)
class Shape:
    """A graph; nodes are known by their numbers."""

    nodes: tuple[Node, ...]
    starts: tuple[int, ...]
    joins: tuple[tuple[tuple[int, ...], int], ...] = ()

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(len(self.nodes))]

    def questions(self, number: int) -> list[str]:
        return [f"n{number}?{place}" for place in range(self.nodes[number].asks)]

    def update(self, number: int, seen: State, answers: Sequence[str]) -> State:
        """What a node writes that sees this."""
        log = seen.get("log", [])
        news = "+".join(seen.get("news", []))
        mark = f"n{number}:{len(log)}:{seen.get('total', 0)}:{news}:{seen.get('last', '')}"
        update: State = {"log": [mark, *answers]}
        writes = self.nodes[number].writes
        if "total" in writes:
            update["total"] = len(log) + 1
        if "news" in writes:
            update["news"] = [f"n{number}"]
        if "last" in writes:
            update["last"] = f"n{number}"
        return update

    def leads_to(self, number: int, log: Sequence[str]) -> list[Target]:
        """Where a node's route or command leads after this log: to none of its targets, some, or all."""
        targets = self.nodes[number].targets
        if len(log) >= ENOUGH:
            return []
        return [each for place, each in enumerate(targets) if (len(log) + place) % 3]

    def argument(self, number: int, log: Sequence[str]) -> State:
        """What a `Send` of this node carries."""
        return {"log": [*log, f"sent by n{number}"]}


class Hiccup(Exception):
    """What a node raises that is tried again."""


RETRIES = RetryPolicy(max_attempts=3, initial_interval=0, jitter=False, retry_on=Hiccup)


def answer_to(question: str) -> str:
    return f"<{question}>"


def build(shape: Shape, saver: BaseCheckpointSaver | bool | None) -> Graph:
    """The graph of a shape."""
    builder: Any = StateGraph(State)
    for number, (name, node) in enumerate(zip(shape.names, shape.nodes, strict=True)):
        action = _inner(node.inner) if node.inner else _action(shape, number)
        goto = [shape.names[target.node] for target in node.targets]
        retry = RETRIES if node.flaky else None
        builder.add_node(name, action, defer=node.defer, retry_policy=retry, destinations=tuple(goto))
        for edge in node.edges:
            builder.add_edge(name, shape.names[edge])
        if node.targets and not (node.commands and node.inner is None):
            builder.add_conditional_edges(name, _route(shape, number), [*goto, "__end__"])
    for start in shape.starts:
        builder.add_edge(START, shape.names[start])
    for starts, end in shape.joins:
        builder.add_edge([shape.names[each] for each in starts], shape.names[end])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GraphWarning)
        graph: Graph = builder.compile(saver)
    return graph


def _action(shape: Shape, number: int) -> Any:
    node = shape.nodes[number]

    async def work(state: State, runtime: Runtime[Any]) -> Any:
        if runtime.execution_info.node_attempt <= node.flaky:
            raise Hiccup(f"n{number}")
        answers = [interrupt(question) for question in shape.questions(number)]
        update = shape.update(number, state, answers)
        if not node.commands:
            return update
        log = state.get("log", [])
        return Command(update=update, goto=_goto(shape, number, log))

    return work


def _route(shape: Shape, number: int) -> Any:
    def route(state: State) -> Any:
        return _goto(shape, number, state["log"])

    return route


def _goto(shape: Shape, number: int, log: Sequence[str]) -> Any:
    names = shape.names
    goto = [
        Send(names[node], shape.argument(number, log)) if by_send else names[node]
        for node, by_send in shape.leads_to(number, log)
    ]
    return goto or "__end__"


def inner_shape(inner: Inner) -> Shape:
    """A nested graph as a shape of its own."""
    nodes = tuple(
        Node(asks=asks, edges=(number + 1,) if number + 1 < len(inner.asks) else ())
        for number, asks in enumerate(inner.asks)
    )
    return Shape(nodes, (0,))


def _inner(inner: Inner) -> Graph:
    return build(inner_shape(inner), inner.remembers or None)


# -- strategies ----------------------------------------------------------------------------------------


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    """Graphs of up to five nodes. Edges and joins lead on, routes and commands anywhere."""
    size = draw(_sizes)
    nodes = tuple(draw(_nodes(number, size)) for number in range(size))
    joins = draw(_joins(size))
    led_to = {0, *(end for _, end in joins)}
    starts = {0}
    for number, node in enumerate(nodes):
        # a join that waits for a node which nothing leads to would be refused
        if number not in led_to:
            starts.add(number)
        led_to |= {*node.edges, *(target.node for target in node.targets)}
    return Shape(nodes, tuple(sorted(starts)), joins)


def _rarely(strategy: Any, otherwise: Any) -> Any:
    return st.one_of(st.just(otherwise), st.just(otherwise), strategy)


def _sorted(numbers: set[Any]) -> tuple[Any, ...]:
    return tuple(sorted(numbers))


_sizes = st.integers(1, 5)
_seldom_some = _rarely(st.integers(1, 2), 0)
_inners = st.builds(Inner, st.lists(st.integers(0, 1), min_size=1, max_size=2).map(tuple), st.booleans())


# strategies are made once, as making them takes longer than drawing from them


@cache
def _nodes(number: int, size: int) -> st.SearchStrategy[Node]:
    after = range(number + 1, size)
    targets = st.builds(Target, st.integers(0, size - 1), st.booleans())
    # of all nodes one writes the key that takes one value: mostly it is alone, but there may be `Send`s
    keys = ("total", "news", "last")[: 3 if number == 1 else 2]
    return st.builds(
        Node,
        writes=st.frozensets(st.sampled_from(keys), max_size=2),
        asks=_seldom_some,
        flaky=_seldom_some,
        defer=_rarely(st.just(True), False),
        commands=st.booleans(),
        targets=st.lists(targets, max_size=2).map(tuple),
        edges=st.sets(st.sampled_from(after), max_size=2).map(_sorted) if after else st.just(()),
        inner=_rarely(_inners, None),
    )


@cache
def _joins(size: int) -> st.SearchStrategy[tuple[tuple[tuple[int, ...], int], ...]]:
    if size < 3:
        return st.just(())
    joins = [
        st.tuples(st.sets(st.integers(0, end - 1), min_size=2, max_size=3).map(_sorted), st.just(end))
        for end in range(2, size)
    ]
    return st.one_of(st.just(()), st.one_of(joins).map(lambda join: (join,)))
