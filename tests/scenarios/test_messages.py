"""States that are conversations: what nodes say, how it is added, and what of it all see."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from random import Random
from typing import Annotated, Any, cast

import langchain_core.messages as langchain
import pytest
from pydantic import BaseModel

from aiograph import END, START, InMemorySaver, Send, StateGraph
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.postgres.aio import AsyncPostgresSaver
from aiograph.checkpoint.serde import JsonPlusSerializer
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import ChannelUpdateError, OutsideRunError
from aiograph.func import entrypoint, task
from aiograph.graph import MessageGraph, MessagesState, add_messages
from aiograph.graph.message import REMOVE_ALL_MESSAGES, push_message
from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    RemoveMessage,
    ToolCall,
    ToolMessage,
)
from aiograph.types import Overwrite, RetryPolicy, RunnableConfig
from aiograph.warnings import UnknownKeyWarning

pytestmark = pytest.mark.anyio

HI: Any = {"messages": "hi"}
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


def graph_of(node: Any, saver: BaseCheckpointSaver | None = None, schema: Any = MessagesState) -> Any:
    return StateGraph(schema).add_node("talk", node).add_edge(START, "talk").compile(saver)


def contents(state: Any) -> list[Any]:
    return [message.content for message in state["messages"]]


async def test_what_nodes_return_is_added_to_what_was_said() -> None:
    graph = graph_of(lambda state: {"messages": AIMessage(f"You said {state['messages'][-1].content}.")})
    state = await graph.ainvoke({"messages": ("user", "hi")})
    assert contents(state) == ["hi", "You said hi."]
    assert all(message.id for message in state["messages"])


async def test_a_conversation_goes_on_from_run_to_run() -> None:
    graph = graph_of(lambda state: {"messages": [("ai", str(len(state["messages"])))]}, InMemorySaver())
    await graph.ainvoke({"messages": "a"}, THREAD)
    state = await graph.ainvoke({"messages": [{"role": "user", "content": "b"}]}, THREAD)
    assert contents(state) == ["a", "1", "b", "3"]


async def test_a_node_can_replace_and_remove_what_was_said() -> None:
    def tidy(state: MessagesState) -> dict[str, Any]:
        first, second, *_ = state["messages"]
        return {"messages": [RemoveMessage(str(first.id)), HumanMessage("B", id=second.id)]}

    state = await graph_of(tidy).ainvoke({"messages": ["a", "b", "c"]})
    assert contents(state) == ["B", "c"]


async def test_a_node_can_start_a_conversation_afresh() -> None:
    graph = graph_of(lambda state: {"messages": [RemoveMessage(REMOVE_ALL_MESSAGES), ("ai", "Well.")]})
    assert contents(await graph.ainvoke({"messages": ["a", "b"]})) == ["Well."]
    graph = graph_of(lambda state: {"messages": Overwrite([AIMessage("Well.")])})
    assert contents(await graph.ainvoke({"messages": ["a", "b"]})) == ["Well."]


async def test_what_is_no_message_is_refused_with_the_name_of_who_said_it() -> None:
    with pytest.raises(ChannelUpdateError, match=r"message 0: 3 is a int.*written by 'talk'"):
        await graph_of(lambda state: {"messages": [3]}).ainvoke({"messages": []})


async def test_langchains_messages_pass_through_and_mix_with_ours() -> None:
    graph = graph_of(lambda state: {"messages": [langchain.AIMessage("b"), AIMessage("c")]})
    state = await graph.ainvoke({"messages": [langchain.HumanMessage("a", id="1")]})
    assert [type(message) for message in state["messages"]] == [
        langchain.HumanMessage,
        langchain.AIMessage,
        AIMessage,
    ]


async def test_the_callers_messages_stay_as_they_were() -> None:
    ours, theirs = HumanMessage("a"), langchain.HumanMessage("b")
    await graph_of(lambda state: None).ainvoke({"messages": [ours, theirs]})
    assert ours == HumanMessage("a")
    assert theirs.id is None


# -- ids: given once, and the same for all who look


async def test_router_stream_and_state_see_the_same_id() -> None:
    seen: list[Any] = []

    def route(state: MessagesState) -> Send:
        seen.append(state["messages"][-1].id)
        return Send("forget", {"messages": state["messages"]})

    builder = StateGraph(MessagesState)
    builder.add_node("talk", lambda state: {"messages": [AIMessage("psst")]})
    builder.add_node("forget", lambda state: {"messages": RemoveMessage(seen[0])})
    builder.add_edge(START, "talk").add_conditional_edges("talk", route, ["forget"]).add_edge("forget", END)
    modes: Any = ["updates", "messages"]
    chunks = [chunk async for chunk in builder.compile().astream(HI, stream_mode=modes)]
    updates = [chunk for mode, chunk in chunks if mode == "updates"]
    shown = [chunk[0] for mode, chunk in chunks if mode == "messages"]
    assert seen == [updates[0]["talk"]["messages"][0].id] == [shown[0].id]


async def test_what_a_node_says_is_shown_in_the_shape_that_it_has() -> None:
    graph = graph_of(lambda state: {"messages": AIMessage("a", id="1")})
    assert await graph.ainvoke({"messages": "hi"}, stream_mode="updates") == [
        {"talk": {"messages": AIMessage("a", id="1")}}
    ]


async def test_messages_that_are_written_from_outside_get_ids_too() -> None:
    graph = graph_of(lambda state: None, InMemorySaver())
    await graph.ainvoke({"messages": "a"}, THREAD)
    await graph.aupdate_state(THREAD, {"messages": ["b"]})
    state = await graph.aget_state(THREAD)
    assert contents(state.values) == ["a", "b"]
    assert all(message.id for message in state.values["messages"])


# -- other states


async def test_a_message_graph_is_a_conversation_itself() -> None:
    graph = MessageGraph().add_node("talk", lambda said: AIMessage(f"{len(said)}"))
    compiled, hi = graph.add_edge(START, "talk").compile(), cast(Any, "hi")
    assert [message.content for message in await compiled.ainvoke(hi)] == ["hi", "1"]


async def test_a_reducer_with_a_format_shapes_contents() -> None:
    class Shaped(MessagesState):
        messages: Annotated[list[AnyMessage], add_messages(format="langchain-openai")]

    image = {"type": "image", "source": {"type": "url", "url": "https://example.org/a.png"}}
    graph = graph_of(lambda state: None, schema=Shaped)
    state = await graph.ainvoke({"messages": [("user", [image])]})
    assert contents(state) == [[{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]]


async def test_a_pydantic_state_takes_messages_of_both_libraries() -> None:
    class State(BaseModel):
        messages: Annotated[list[AnyMessage], add_messages]

    def talk(state: State) -> dict[str, Any]:
        assert [type(message) for message in state.messages] == [langchain.HumanMessage, HumanMessage]
        return {"messages": [AIMessage("c"), langchain.AIMessage("d")]}

    graph = graph_of(talk, schema=State)
    state = await graph.ainvoke({"messages": [langchain.HumanMessage("a"), HumanMessage("b")]})
    assert contents(state) == ["a", "b", "c", "d"]


# -- messages that nodes push


def push(key: str | None) -> Any:
    """A node that pushes a message and returns nothing."""

    def talk(state: MessagesState) -> None:
        push_message(AIMessage("a", id="1"), state_key=key)

    return talk


async def test_a_pushed_message_is_shown_at_once_and_said_before_what_the_node_returns() -> None:
    def talk(state: MessagesState) -> dict[str, Any]:
        assert push_message(AIMessage("Wait.", id="w")) == AIMessage("Wait.", id="w")
        return {"messages": [AIMessage("Done.", id="d")]}

    modes: Any = ["messages", "values"]
    chunks = [chunk async for chunk in graph_of(talk).astream({"messages": "hi"}, stream_mode=modes)]
    assert [chunk[0].id for mode, chunk in chunks if mode == "messages"] == ["w", "d"]
    assert contents(chunks[-1][1]) == ["hi", "Wait.", "Done."]


async def test_a_message_may_be_pushed_without_being_added() -> None:
    graph = graph_of(push(None))
    assert contents(await graph.ainvoke({"messages": "hi"})) == ["hi"]
    shown = await graph.ainvoke({"messages": "hi"}, stream_mode="messages")
    assert [message.content for message, _ in shown] == ["a"]


async def test_pushed_pieces_are_one_message() -> None:
    def talk(state: MessagesState) -> None:
        for word in ("Wait", " a ", "moment."):
            push_message(AIMessageChunk(word, id="w"))

    assert contents(await graph_of(talk).ainvoke({"messages": "hi"})) == ["hi", "Wait a moment."]


async def test_a_router_sees_what_was_pushed() -> None:
    seen: list[Any] = []

    def route(state: MessagesState) -> str:
        seen.append(contents(state))
        return END

    builder = StateGraph(MessagesState).add_node("talk", push("messages")).add_edge(START, "talk")
    await builder.add_conditional_edges("talk", route, [END]).compile().ainvoke(HI)
    assert seen == [["hi", "a"]]


async def test_what_a_failed_node_has_pushed_is_not_said() -> None:
    calls: list[int] = []

    def talk(state: MessagesState) -> None:
        push_message(AIMessage("Wait.", id=str(len(calls))))
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("once")

    builder = StateGraph(MessagesState).add_edge(START, "talk")
    policy = RetryPolicy(initial_interval=0, jitter=False)
    graph = builder.add_node("talk", talk, retry_policy=policy).compile()
    state = await graph.ainvoke({"messages": []})
    assert [message.id for message in state["messages"]] == ["1"]


async def test_a_message_graph_takes_pushed_messages_as_well() -> None:
    def talk(said: list[AnyMessage]) -> None:
        push_message(AIMessage("a", id="1"))

    graph = MessageGraph().add_node("talk", talk).add_edge(START, "talk").compile()
    assert [message.content for message in await graph.ainvoke("hi")] == ["hi", "a"]  # type: ignore[arg-type]


async def test_in_functions_a_pushed_message_is_shown_and_no_more() -> None:
    @task
    async def think(text: str) -> str:
        push_message(AIMessage("thinking", id="t"))
        return text

    @entrypoint()
    async def flow(text: str) -> str:
        push_message(AIMessage("flowing", id="f"))
        return await think(text)

    assert await flow.ainvoke("x") == "x"
    shown = await flow.ainvoke("x", stream_mode="messages")
    assert [message.content for message, _ in shown] == ["flowing", "thinking"]


async def test_a_message_cannot_be_pushed_without_an_id_or_a_run_or_a_key() -> None:
    with pytest.raises(OutsideRunError, match="push_message"):
        push_message(AIMessage("a", id="1"))
    with pytest.raises(ValueError, match="with an id"):
        await graph_of(lambda state: push_message(AIMessage("a"))).ainvoke({"messages": []})
    graph = graph_of(push("said"))
    with pytest.warns(UnknownKeyWarning, match="said"):
        await graph.ainvoke({"messages": []})


# -- kept over restarts


Restart = Callable[[], AbstractAsyncContextManager[BaseCheckpointSaver]]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def restart(request: pytest.FixtureRequest, tmp_path: Path) -> Restart:
    """Opens a saver that finds what the one before it has kept."""
    if request.param == "memory":
        kept = InMemorySaver()
        return lambda: nullcontext(kept)
    if request.param == "sqlite":
        return lambda: AsyncSqliteSaver.from_conn_string(str(tmp_path / "messages.db"))
    conninfo = request.getfixturevalue("postgres_database")
    return lambda: AsyncPostgresSaver.from_conn_string(conninfo)


CALL = ToolCall(name="f", args={"a": 1}, id="c", type="tool_call")
MIXED = [
    HumanMessage("a", id="1"),
    langchain.HumanMessage("b", id="2"),
    AIMessage("", id="3", tool_calls=[CALL]),
    ToolMessage("c", tool_call_id="c", id="4"),
    langchain.AIMessage("", id="5", tool_calls=[CALL]),
    langchain.ToolMessage("d", tool_call_id="c", id="6"),
]


async def test_a_mixed_conversation_is_kept_over_a_restart(restart: Restart) -> None:
    async with restart() as saver:
        await ready(saver)
        said = await graph_of(lambda state: {"messages": "e"}, saver).ainvoke({"messages": MIXED}, THREAD)
    async with restart() as saver:
        graph = graph_of(lambda state: {"messages": "f"}, saver)
        state = await graph.aget_state(THREAD)
        assert state.values == said
        assert [type(each) for each in state.values["messages"][:6]] == [type(each) for each in MIXED]
        changed = await graph.ainvoke(
            {"messages": [langchain.RemoveMessage(id="1"), RemoveMessage("2")]}, THREAD
        )
    assert contents(changed) == ["", "c", "", "d", "e", "f"]


async def ready(saver: Any) -> None:
    if isinstance(saver, AsyncPostgresSaver):
        await saver.asetup()


TURNS = 60


def said(number: int) -> str:
    """1 kB of random text."""
    return Random(number).randbytes(500).hex()


async def test_a_conversation_writes_no_more_than_three_times_what_it_is(restart: Restart) -> None:
    graph: Any
    async with restart() as saver:
        await ready(saver)
        graph = graph_of(lambda state: {"messages": AIMessage(said(len(state["messages"])))}, saver)
        for turn in range(TURNS):
            state = await graph.ainvoke({"messages": ("user", said(-turn - 1))}, THREAD, durability="sync")
        final = len(JsonPlusSerializer().dumps_typed(state)[1])
        assert len(state["messages"]) == 2 * TURNS
        assert await written(saver) <= 3 * final


async def written(saver: Any) -> int:
    """Bytes so far: what was bound or, in memory, what is kept."""
    if isinstance(saver, InMemorySaver):
        return sum([thread.size async for thread in saver.alist_threads()])
    return int(saver.statistics.bytes_written)


def test_the_schema_of_an_input_tells_of_messages() -> None:
    schema = graph_of(lambda state: None).get_input_jsonschema()
    kinds = schema["properties"]["messages"]["items"]["anyOf"]
    assert {"HumanMessage", "AIMessage"} <= {each["title"] for each in kinds}
