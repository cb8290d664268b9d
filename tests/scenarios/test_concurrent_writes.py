"""Two nodes that write one key in one superstep: refused by name, never "the last one", and recoverable."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import ChannelUpdateError, ErrorCode, InvalidUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.pregel import Pregel
from aiograph.types import Durability, Overwrite, RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    agree: bool
    winner: str
    log: Annotated[list[str], operator.add]


ran: list[str] = []


@pytest.fixture(autouse=True)
def nothing_ran() -> None:
    ran.clear()


def red(state: State) -> dict[str, Any]:
    ran.append("red")
    return {"winner": "red", "log": ["red"]}


def blue(state: State) -> dict[str, Any]:
    ran.append("blue")
    return {"log": ["blue"]} if state.get("agree") else {"winner": "blue", "log": ["blue"]}


def idle(state: State) -> dict[str, Any]:
    ran.append("idle")
    return {"log": ["idle"]}


def contest() -> Pregel[State, None, State, State]:
    builder = StateGraph(State).add_node(red).add_node(blue).add_node(idle)
    for name in ("red", "blue", "idle"):
        builder.add_edge(START, name)
    return builder.compile(InMemorySaver())


async def test_the_error_names_channel_nodes_and_step() -> None:
    with pytest.raises(InvalidUpdateError, match=r"'winner'.*written by 'blue', 'red' in step 1") as caught:
        await contest().ainvoke({}, THREAD)
    assert caught.value.code is ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_the_state_is_as_before_and_can_be_read(durability: Durability) -> None:
    graph = contest()
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({"log": ["start"]}, THREAD, durability=durability)
    state = await graph.aget_state(THREAD)
    assert state.next == ("blue", "red")
    assert "winner" not in state.values


async def test_resuming_after_a_fix_runs_only_the_writers_that_contradicted_each_other() -> None:
    graph = contest()
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({}, THREAD)
    ran.clear()
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke(None, THREAD)
    assert sorted(ran) == ["blue", "red"]


async def test_new_input_goes_on_with_the_thread() -> None:
    graph = contest()
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({"log": ["start"]}, THREAD)
    end = await graph.ainvoke({"agree": True}, THREAD)
    assert end == {"agree": True, "winner": "red", "log": ["start", "blue", "idle", "red"]}


async def test_an_update_from_outside_goes_on_with_the_thread() -> None:
    graph = contest()
    with pytest.raises(InvalidUpdateError):
        await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"agree": True}, as_node="red")
    assert (await graph.ainvoke(None, THREAD))["log"] == ["idle", "blue"]


async def test_writes_of_a_reduced_key_come_in_task_order() -> None:
    graph = contest()
    assert (await graph.ainvoke({"agree": True}, THREAD))["log"] == ["blue", "idle", "red"]


# -- reducers ------------------------------------------------------------------------------------------


def only_short(old: list[str], new: list[str]) -> list[str]:
    if len(new) > 1:
        raise OverflowError("too long")
    return old + new


class Short(TypedDict, total=False):
    items: Annotated[list[str], only_short]
    count: int


async def test_a_reducer_that_raises_fails_the_superstep_and_is_named() -> None:
    def grow(state: Short) -> dict[str, Any]:
        return {"items": ["a", "b"], "count": 1}

    graph = StateGraph(Short).add_node(grow).add_edge(START, "grow").compile(InMemorySaver())
    with pytest.raises(ChannelUpdateError, match="reducer of channel 'items' raised OverflowError") as caught:
        await graph.ainvoke({"items": ["x"]}, THREAD)
    assert "'grow'" in str(caught.value)
    assert isinstance(caught.value.__cause__, OverflowError)
    assert (await graph.aget_state(THREAD)).values == {"items": ["x"]}


async def test_a_reducer_that_raises_before_a_conditional_edge_is_named_alike() -> None:
    def grow(state: Short) -> dict[str, Any]:
        return {"items": ["a", "b"]}

    builder = StateGraph(Short).add_node(grow).add_edge(START, "grow")
    graph = builder.add_conditional_edges("grow", lambda state: END, [END]).compile()
    with pytest.raises(ChannelUpdateError, match=r"channel 'items' raised OverflowError.*'grow' in step 1"):
        await graph.ainvoke({})


async def test_overwrite_replaces_what_a_reducer_would_add_to() -> None:
    def reset(state: State) -> dict[str, Any]:
        return {"log": Overwrite(["fresh"])}

    graph = StateGraph(State).add_sequence([idle, reset, ("again", idle)]).add_edge(START, "idle").compile()
    assert (await graph.ainvoke({"log": ["old"]}))["log"] == ["fresh", "idle"]


async def test_two_overwrites_in_one_superstep_contradict_each_other() -> None:
    def reset(state: State) -> dict[str, Any]:
        return {"log": Overwrite([])}

    builder = StateGraph(State).add_node("a", reset).add_node("b", reset)
    graph = builder.add_edge(START, "a").add_edge(START, "b").compile()
    with pytest.raises(InvalidUpdateError, match=r"'log'.*written by 'a', 'b' in step 1"):
        await graph.ainvoke({})
