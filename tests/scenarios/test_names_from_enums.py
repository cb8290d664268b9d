"""Nodes that are named by the members of an enum, which are text."""

import enum
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.graph import END, START, StateGraph
from aiograph.types import Command, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class Name(enum.StrEnum):
    ASK = "ask"
    LOOK = "look"
    TELL = "tell"


class OldName(str, enum.Enum):  # noqa: UP042  # which is what older code has
    ASK = "ask"
    LOOK = "look"
    TELL = "tell"


class State(TypedDict):
    log: Annotated[list[str], operator.add]


@pytest.fixture
async def saver() -> AsyncIterator[AsyncSqliteSaver]:
    async with AsyncSqliteSaver.from_conn_string(":memory:") as saver:
        yield saver


def logging(name: str) -> Any:
    async def node(state: State) -> dict[str, Any]:
        return {"log": [str.__str__(name)]}

    return node


@pytest.mark.parametrize("names", [Name, OldName])
async def test_edges_and_conditions_lead_to_them(saver: AsyncSqliteSaver, names: Any) -> None:
    builder = StateGraph(State)
    for name in names:
        builder.add_node(name, logging(name))
    builder.add_edge(START, names.ASK).add_edge(names.LOOK, names.TELL).add_edge(names.TELL, END)
    builder.add_conditional_edges(names.ASK, lambda state: names.LOOK, [names.LOOK, names.TELL])
    graph = builder.compile(saver)
    assert await graph.ainvoke({"log": []}, THREAD) == {"log": ["ask", "look", "tell"]}
    due = [state.next async for state in graph.aget_state_history(THREAD)]
    assert due == [(), ("tell",), ("look",), ("ask",), (START,)]
    assert {type(name) for each in due for name in each} == {str}


@pytest.mark.parametrize("names", [Name, OldName])
async def test_commands_and_sends_go_to_them(saver: AsyncSqliteSaver, names: Any) -> None:
    async def ask(state: State) -> Any:
        return Command(goto=names.LOOK, update={"log": ["ask"]})

    async def look(state: State) -> Any:
        return Command(goto=[Send(names.TELL, state)], update={"log": ["look"]})

    builder = StateGraph(State).add_node(names.ASK, ask, destinations=(names.LOOK,))
    builder.add_node(names.LOOK, look, destinations=(names.TELL,)).add_node(names.TELL, logging(names.TELL))
    graph = builder.add_edge(START, names.ASK).compile(saver)
    assert await graph.ainvoke({"log": []}, THREAD) == {"log": ["ask", "look", "tell"]}


@pytest.mark.parametrize("names", [Name, OldName])
async def test_runs_stop_at_them_and_go_on_from_them(saver: AsyncSqliteSaver, names: Any) -> None:
    builder = StateGraph(State).add_sequence([(name, logging(name)) for name in names])
    graph = builder.add_edge(START, names.ASK).compile(saver, interrupt_before=[names.LOOK])
    await graph.ainvoke({"log": []}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["by hand"]}, as_node=names.LOOK)
    assert await graph.ainvoke(None, THREAD) == {"log": ["ask", "by hand", "tell"]}


@pytest.mark.parametrize("names", [Name, OldName])
async def test_graphs_within_lead_to_them(saver: AsyncSqliteSaver, names: Any) -> None:
    async def leave(state: State) -> Any:
        return Command(goto=names.TELL, graph=Command.PARENT)

    inner = StateGraph(State).add_node(names.LOOK, leave).add_edge(START, names.LOOK).compile()
    builder = StateGraph(State).add_node(names.ASK, inner, destinations=(names.TELL,))
    builder.add_node(names.TELL, logging(names.TELL)).add_edge(START, names.ASK)
    assert await builder.compile(saver).ainvoke({"log": []}, THREAD) == {"log": ["tell"]}
