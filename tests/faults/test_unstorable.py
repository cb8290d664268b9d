"""Values that cannot be stored fail the superstep that made them, before anything of it is stored."""

import operator
import threading
from collections.abc import Callable
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointSerializationError
from aiograph.graph import END, START, StateGraph
from aiograph.testing.faults import FaultySaver, delay_turns
from aiograph.types import Durability
from tests.faults.rig import CONFIG, BeginningSaver, Graph

SAVERS: dict[str, Callable[[], BaseCheckpointSaver]] = {
    "memory": InMemorySaver,
    "slow": lambda: FaultySaver(InMemorySaver(), before=delay_turns(3), after=delay_turns(1)),
    "behind": lambda: FaultySaver(BeginningSaver(), before=delay_turns(3), after=delay_turns(1)),
}


class State(TypedDict, total=False):
    x: Any
    y: int
    trail: Annotated[list[str], operator.add]


def side_by_side(saver: BaseCheckpointSaver, updates: dict[str, Any]) -> Graph:
    """A first node, then one for each update, side by side."""
    builder = StateGraph(State).add_node("first", lambda _: {"trail": ["first"]}, inline=True)
    builder.add_edge(START, "first")
    for name, update in updates.items():
        builder.add_node(name, writer(name, update))
        builder.add_edge("first", name).add_edge(name, END)
    return builder.compile(checkpointer=saver)


def writer(name: str, update: dict[str, Any]) -> Any:
    async def node(state: State) -> dict[str, Any]:
        return {"trail": [name], **update}

    return node


LOCK = threading.Lock()

ALONE = {"a": {"y": 1, "x": {"deep": [0, LOCK]}}}
BESIDE_OTHERS = {**ALONE, "b": {}}


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("updates", [ALONE, BESIDE_OTHERS], ids=["alone", "beside others"])
@pytest.mark.parametrize("name", ["memory", "slow"])
async def test_a_value_that_cannot_be_stored_fails_its_superstep(
    name: str, updates: dict[str, Any], durability: Durability
) -> None:
    saver = SAVERS[name]()
    graph = side_by_side(saver, updates)
    with pytest.raises(CheckpointSerializationError, match=r"thread 't', step 2: .*x\.deep\[1\].*lock"):
        await graph.ainvoke({"y": 0}, CONFIG, durability=durability)
    snapshot = await graph.aget_state(CONFIG)
    assert snapshot.values["y"] == 0
    assert "a" in snapshot.next
    mended = side_by_side(saver, {**updates, "a": {"y": 2}})
    output = await mended.ainvoke(None, CONFIG)
    assert output["y"] == 2
    assert output["trail"] == ["first", *updates]


@pytest.mark.parametrize("updates", [ALONE, BESIDE_OTHERS], ids=["alone", "beside others"])
@pytest.mark.parametrize("name", ["memory", "slow"])
async def test_a_value_that_cannot_be_stored_at_exit(name: str, updates: dict[str, Any]) -> None:
    """Nothing was promised before the end of the run; nothing half is stored."""
    saver = SAVERS[name]()
    graph = side_by_side(saver, updates)
    with pytest.raises(CheckpointSerializationError, match=r"thread 't', step 2: .*x\.deep\[1\].*lock"):
        await graph.ainvoke({"y": 0}, CONFIG, durability="exit")
    snapshot = await graph.aget_state(CONFIG)
    assert snapshot.values.get("y", 0) == 0
    mended = side_by_side(saver, {**updates, "a": {"y": 2}})
    output = await mended.ainvoke({"y": 0} if snapshot.created_at is None else None, CONFIG)
    assert output["trail"] == ["first", *updates]
