"""A thread with a `Send` to a node that its graph no longer has: it can be seen, changed and used."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.types import RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def stay(state: State) -> State:
    return {"log": ["stay"]}


def moved(arg: Any) -> State:
    return {"log": [f"moved {arg}"]}


@pytest.fixture
async def saver() -> InMemorySaver:
    """Holds a thread that was broken off before `moved` had run."""

    def fail(arg: Any) -> None:
        raise ValueError("as planned")

    saver = InMemorySaver()
    builder = StateGraph(State).add_node("moved", fail).add_node(stay)
    builder.add_conditional_edges(START, lambda state: [Send("moved", 1), "stay"], ["moved", "stay"])
    with pytest.raises(ValueError, match="as planned"):
        await builder.compile(saver).ainvoke({"log": ["in"]}, THREAD)
    return saver


@pytest.fixture
def graph(saver: InMemorySaver) -> Any:
    return StateGraph(State).add_node(stay).add_edge(START, "stay").compile(saver)


async def test_its_state_shows_what_is_due(graph: Any) -> None:
    assert "moved" in (await graph.aget_state(THREAD)).next
    assert [state.next async for state in graph.aget_state_history(THREAD)][-1] == ("__start__",)


async def test_resuming_it_fails_by_name_and_works_once_the_node_is_back(
    graph: Any, saver: InMemorySaver
) -> None:
    with pytest.raises(InvalidUpdateError, match=r"a Send names the node 'moved'.*it has \['stay'\]"):
        await graph.ainvoke(None, THREAD)
    repaired = (
        StateGraph(State).add_node(stay).add_node(moved).add_edge(START, "stay").add_edge("stay", "moved")
    )
    assert "moved 1" in (await repaired.compile(saver).ainvoke(None, THREAD))["log"]


async def test_it_takes_new_input(graph: Any) -> None:
    assert (await graph.ainvoke({"log": ["again"]}, THREAD))["log"][-2:] == ["again", "stay"]
    assert (await graph.aget_state(THREAD)).next == ()


async def test_it_can_be_updated(graph: Any) -> None:
    await graph.aupdate_state(THREAD, {"log": ["by hand"]}, as_node="stay")
    assert (await graph.aget_state(THREAD)).values["log"][-1] == "by hand"
