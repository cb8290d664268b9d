"""Exceptions of nodes that do not take a note, or cannot be shown: they reach the caller all the same."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.pregel import Pregel


class State(TypedDict):
    done: Annotated[list[str], operator.add]


@dataclass(frozen=True)
class Frozen(Exception):
    status: int


class Speechless(Exception):
    def __repr__(self) -> str:
        raise RuntimeError("cannot be shown")


def failing(error: Exception, siblings: int) -> Pregel[Any, Any, Any, Any]:
    async def fail(state: State) -> None:
        raise error

    builder = StateGraph(State)
    for index in range(siblings):
        builder.add_node(f"fail{index}", fail).add_edge(START, f"fail{index}")
    return builder.compile(InMemorySaver())


@pytest.mark.parametrize("make", [lambda: Frozen(404), Speechless])
@pytest.mark.parametrize("siblings", [1, 2])
async def test_they_reach_the_caller(make: Callable[[], Exception], siblings: int) -> None:
    error = make()
    graph = failing(error, siblings)
    with pytest.raises(type(error)) as caught:
        await graph.ainvoke({"done": []}, {"configurable": {"thread_id": "1"}})
    assert caught.value is error
    state = await graph.aget_state({"configurable": {"thread_id": "1"}})
    assert type(error).__name__ in str(state.tasks[0].error)


async def test_a_frozen_exception_tells_where_it_comes_from() -> None:
    error = Frozen(404)
    with pytest.raises(Frozen):
        await failing(error, 1).ainvoke({"done": []}, {"configurable": {"thread_id": "1"}})
    assert error.__notes__[0].startswith("in node 'fail0', step 1, task ")
