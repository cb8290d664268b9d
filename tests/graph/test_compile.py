"""What shows only when channels are made of a builder's edges."""

from dataclasses import dataclass
from typing import TypedDict

import pytest

from aiograph.errors import GraphValidationError
from aiograph.graph import START, StateGraph


class State(TypedDict, total=False):
    value: int


def nothing(state: State) -> None:
    return None


def test_joins_whose_channels_would_bear_one_name_are_refused() -> None:
    builder = StateGraph(State)
    for name in ("a", "b", "a+b"):
        builder.add_node(name, nothing).add_edge(START, name)
    builder.add_node("end", nothing).add_edge(["a", "b"], "end").validate()
    with pytest.raises(GraphValidationError, match="cannot be told apart"):
        builder.add_edge(["a+b"], "end").validate()


async def test_a_context_is_made_once_a_run_whatever_is_streamed() -> None:
    made: list[str] = []

    @dataclass
    class Context:
        user: str

        def __post_init__(self) -> None:
            made.append(self.user)

    graph = StateGraph(State, Context).add_node(nothing).add_edge(START, "nothing").compile()
    await graph.ainvoke({}, context={"user": "ada"}, stream_mode="updates")  # type: ignore[arg-type]
    assert made == ["ada"]
