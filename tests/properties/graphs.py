"""Random graphs whose runs have one right outcome: layers of nodes, joined in various ways.

How long each node takes is not part of a graph; it is given anew for each run.
"""

import asyncio
import operator
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Annotated, Any, Literal, TypedDict
from unittest.mock import patch

from hypothesis import strategies as st

from aiograph import _ids
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.graph import END, START, StateGraph
from aiograph.graph.state import CompiledStateGraph
from aiograph.types import Command, RunnableConfig, Send

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}

Graph = CompiledStateGraph[Any, Any, Any, Any]

Kind = Literal["edges", "join", "send", "goto", "loop"]
"""How a layer follows the one before: by an edge from each, by one that waits for all, by `Send`s of its
first node, by `Command`s of its first node; or by edges, and going back to itself once."""


@dataclass(frozen=True)
class Layer:
    """Nodes that run in one superstep."""

    kind: Kind
    width: int


@dataclass(frozen=True)
class Shape:
    """A graph, as Hypothesis draws it."""

    layers: tuple[Layer, ...]

    @property
    def names(self) -> list[list[str]]:
        return [[f"n{i}{'abcd'[j]}" for j in range(layer.width)] for i, layer in enumerate(self.layers)]


kinds: st.SearchStrategy[Kind] = st.sampled_from(["edges", "join", "send", "goto", "loop"])
shapes = st.builds(
    Shape, st.lists(st.builds(Layer, kinds, st.integers(1, 4)), min_size=1, max_size=5).map(tuple)
)


def merged(old: dict[str, int], new: dict[str, int]) -> dict[str, int]:
    return {**old, **new}


def woven(old: str, new: str) -> str:
    """Depends on the order of its arguments through and through."""
    return f"({old}{new})"


class State(TypedDict, total=False):
    trail: Annotated[list[str], operator.add]
    text: Annotated[str, woven]
    seen: Annotated[dict[str, int], merged]
    last: int
    laps: Annotated[dict[str, int], merged]


INPUT: State = {"trail": [], "text": "", "seen": {}, "laps": {}}

Delays = Mapping[str, float]


def build(shape: Shape, saver: BaseCheckpointSaver | None, delays: Delays) -> Graph:
    """The graph; a node that is not in `delays` takes no time."""
    builder = StateGraph(State)
    layers = list(zip(shape.layers, shape.names, strict=True))
    for (layer, names), following in zip(layers, [*layers[1:], None], strict=True):
        for name in names:
            leads = name == names[0] and following is not None
            builder.add_node(name, node(name, delays, following if leads else None))
        if layer.kind == "loop":
            builder.add_conditional_edges(names[0], lap(names[0]), {"again": names[0], "on": END})
    connect(builder, layers)
    return builder.compile(checkpointer=saver)


def node(name: str, delays: Delays, following: tuple[Layer, list[str]] | None) -> Any:
    """A node whose update shows what it has seen of the state; `following` is the layer that it leads to."""
    kind, names = ("", []) if following is None else (following[0].kind, following[1])

    async def work(state: State) -> Any:
        await asyncio.sleep(delays.get(name, 0))
        update: State = {
            "trail": [name],
            "text": f"{name}:{len(state.get('trail', []))}",
            "seen": {name: len(state.get("text", ""))},
        }
        if name.endswith("a"):
            laps = state.get("laps", {}).get(name, 0) + 1
            update = {**update, "laps": {name: laps}}
            if name == "n0a":
                update = {**update, "last": laps}
        if kind == "send":
            return Command(update=update, goto=[Send(other, {**state, "text": other}) for other in names])
        return Command(update=update, goto=names) if kind == "goto" else update

    return work


def lap(name: str) -> Any:
    return lambda state: "again" if state["laps"].get(name, 0) < 2 else "on"


def connect(builder: StateGraph[Any, Any, Any, Any], layers: list[tuple[Layer, list[str]]]) -> None:
    for name in layers[0][1]:
        builder.add_edge(START, name)
    for (_, before), (layer, names) in pairwise(layers):
        for name in names:
            if layer.kind == "join":
                builder.add_edge(before, name)
            elif layer.kind in ("edges", "loop"):
                for other in before:
                    builder.add_edge(other, name)
    for name in layers[-1][1]:
        builder.add_edge(name, END)


@contextmanager
def numbered_checkpoints() -> Iterator[None]:
    """Within it, the ids of checkpoints are the same for the same run."""
    numbers = count(1)

    def numbered(after: str | None = None) -> str:
        return f"{next(numbers):032}"

    with patch.object(_ids, "checkpoint_id", numbered):
        yield
