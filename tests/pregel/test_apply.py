"""How a superstep that is refused tells who is to blame."""

from typing import TypedDict

import pytest

from aiograph.errors import InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.types import Send


class State(TypedDict, total=False):
    value: int


async def write(state: State) -> State:
    return {"value": 1}


async def test_a_node_with_a_thousand_tasks_is_named_once() -> None:
    builder = StateGraph(State).add_node("many", write).add_node("one", write)
    builder.add_conditional_edges(
        START, lambda state: ["one", *(Send("many", {}) for _ in range(1000))], ["many", "one"]
    )
    with pytest.raises(InvalidUpdateError, match=r"\(written by 'one', 'many' 1000 times in step 1\)"):
        await builder.compile().ainvoke({})
