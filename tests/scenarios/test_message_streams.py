"""What models say inside nodes, shown token by token as `stream_mode="messages"`."""

import asyncio
import operator
import threading
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel

from aiograph import END, START, Command, InMemorySaver, Send, StateGraph
from aiograph.cache.memory import InMemoryCache
from aiograph.config import get_message_stream
from aiograph.constants import TAG_HIDDEN, TAG_NOSTREAM
from aiograph.func import entrypoint, task
from aiograph.graph import MessagesState
from aiograph.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage, RemoveMessage
from aiograph.testing.models import ScriptedModel
from aiograph.types import CachePolicy, Overwrite, RunnableConfig, TimeoutPolicy, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], operator.add]
    note: Any
    kept: list[Any]


def say(*words: str, id: str | None = None, **told: Any) -> AIMessage:
    """What a model does: shows piece after piece, and returns the whole."""
    stream = get_message_stream()
    for word in words:
        if stream is not None:
            stream.emit(AIMessageChunk(word, id=id), **told)
    return AIMessage("".join(words), id=id)


def graph_of(node: Any, schema: Any = State, **options: Any) -> Any:
    return StateGraph(schema).add_node("talk", node, **options).add_edge(START, "talk").compile()


async def turns(number: int) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


def shown(graph: Any, input: Any = None, config: RunnableConfig | None = None) -> Any:
    return graph.invoke({"note": "begin"} if input is None else input, config, stream_mode="messages")


def texts(chunks: Any) -> list[str]:
    return [message.content for message, _ in chunks]


# -- what models say -----------------------------------------------------------------------------------


def test_tokens_are_shown_and_the_whole_message_is_not_shown_again() -> None:
    graph = graph_of(lambda state: {"messages": [say("Good ", "morning", id="m")]})
    assert texts(graph.stream({}, stream_mode="messages")) == ["Good ", "morning"]


async def test_tokens_of_an_asynchronous_node_are_shown_as_they_come() -> None:
    gate = asyncio.Event()

    async def talk(state: State) -> None:
        say("Good ", id="m")
        await gate.wait()
        say("morning", id="m")

    async with aclosing(graph_of(talk).astream({"note": 1}, stream_mode="messages")) as stream:
        assert (await anext(stream))[0].content == "Good "
        gate.set()
        assert (await anext(stream))[0].content == "morning"


def test_where_nobody_listens_a_model_finds_no_stream() -> None:
    found: list[Any] = []
    graph = graph_of(lambda state: found.append(get_message_stream()))
    graph.invoke({})
    list(graph.stream({}, stream_mode=["updates", "custom"]))
    assert found == [None, None]
    assert get_message_stream() is None


def test_metadata_tells_where_a_token_comes_from_and_what_is_known_of_the_run() -> None:
    def talk(state: State) -> None:
        say("Hi", tags=["small"], metadata={"model": "m-1", "langgraph_node": "another"})

    graph = graph_of(talk, metadata={"role": "host"})
    config: RunnableConfig = {"tags": ["trial"], "metadata": {"user": "Ada"}, **THREAD}
    [(_, metadata)] = shown(graph, config=config)
    namespace = metadata["checkpoint_ns"]
    assert namespace.startswith("talk:")
    assert metadata == {
        "user": "Ada",
        "role": "host",
        "model": "m-1",
        "thread_id": "1",
        "checkpoint_ns": namespace,
        "langgraph_checkpoint_ns": namespace,
        "langgraph_step": 1,
        "langgraph_node": "talk",
        "langgraph_triggers": ("branch:to:talk",),
        "langgraph_path": ("__pregel_pull", "talk"),
        "tags": ["small", "trial"],
    }


def test_pieces_of_one_call_without_an_id_get_one_and_another_call_gets_another() -> None:
    def talk(state: State) -> None:
        say("Good ", "morning")
        say("Good ", "night")

    ids = [message.id for message, _ in shown(graph_of(talk))]
    assert ids[0] is not None
    assert ids[0] == ids[1] != ids[2] == ids[3]


def test_whole_messages_that_a_model_says_without_an_id_get_one_each() -> None:
    def talk(state: State) -> None:
        stream = get_message_stream()
        assert stream is not None
        stream.emit(AIMessage("one"))
        stream.emit(AIMessage("two"))

    (one, _), (two, _) = shown(graph_of(talk))
    assert one.id is not None
    assert two.id not in (None, one.id)


def test_a_message_may_be_shown_again_by_whoever_says_it_again() -> None:
    def talk(state: State) -> None:
        stream = get_message_stream()
        assert stream is not None
        stream.emit(AIMessage("draft", id="m"))
        stream.emit(AIMessage("final", id="m"))

    assert texts(shown(graph_of(talk))) == ["draft", "final"]


def test_what_is_no_message_is_refused() -> None:
    def talk(state: State) -> None:
        stream = get_message_stream()
        assert stream is not None
        stream.emit("Hello")

    with pytest.raises(TypeError, match="a message or a piece of one, not 'Hello'"):
        shown(graph_of(talk))


@pytest.mark.parametrize("where", ["model", "node", "run"])
def test_the_tag_nostream_mutes_a_model_a_node_or_a_run(where: str) -> None:
    tags = {each: [TAG_NOSTREAM] if each == where else [] for each in ("model", "node", "run")}
    graph = graph_of(lambda state: {"note": say("psst", tags=tags["model"])}, tags=tags["node"])
    messages = [message for message, _ in shown(graph, config={"tags": tags["run"]})]
    assert [type(message) for message in messages] == [AIMessage]  # that the node writes, once it is written


def test_what_a_muted_model_says_and_nobody_writes_is_never_shown() -> None:
    graph = graph_of(lambda state: {"note": say("psst", tags=[TAG_NOSTREAM]).content})
    assert shown(graph) == []


def test_models_in_hidden_nodes_are_heard() -> None:
    graph = graph_of(lambda state: {"note": say("a", "b", id="m")}, tags=[TAG_HIDDEN])
    assert texts(shown(graph)) == ["a", "b"]


async def test_a_model_is_heard_however_it_is_called() -> None:
    model = ScriptedModel(["Good morning"], repeat=True)

    async def talk(state: State) -> Any:
        streamed = [chunk async for chunk in model.astream("hi")]
        return {"messages": [await model.ainvoke("hi"), sum(streamed[1:], streamed[0]).message()]}

    def talk_synchronously(state: State) -> Any:
        return {"messages": [model.invoke("hi")]}

    for node, calls in ((talk, 2), (talk_synchronously, 1)):
        pieces = [each async for each, _ in graph_of(node).astream({"note": 1}, stream_mode="messages")]
        assert "".join(piece.text for piece in pieces) == "Good morning" * calls
        assert len({piece.id for piece in pieces}) == calls


# -- who says it ---------------------------------------------------------------------------------------


def test_a_model_in_a_router_is_heard() -> None:
    builder = StateGraph(State).add_node("talk", lambda state: None).add_edge(START, "talk")
    builder.add_conditional_edges("talk", lambda state: say(END).text)
    assert texts(shown(builder.compile())) == [END]


def test_a_model_in_a_thread_with_the_context_of_its_node_is_heard() -> None:
    async def talk(state: State) -> None:
        await asyncio.to_thread(say, "from a thread")

    assert texts(shown(graph_of(talk))) == ["from a thread"]


def test_a_model_in_an_error_handler_is_heard() -> None:
    def fail(state: State) -> None:
        raise ValueError

    graph = graph_of(fail, error_handler=lambda state: {"messages": [say("Sorry", id="m")]})
    assert texts(shown(graph)) == ["Sorry"]


def test_models_in_tasks_are_heard_and_what_tasks_return_is_shown() -> None:
    @task
    def stream(word: str) -> AIMessage:
        return say(word, "!", id="streamed")

    @task
    def whole(word: str) -> list[AIMessage]:
        return [AIMessage(word, id="whole")]

    @entrypoint()
    def talk(word: str) -> list[AIMessage]:
        return [stream(word).result(), *whole(word).result(), AIMessage("bye", id="end")]

    chunks = shown(talk, "hi")
    assert texts(chunks) == ["hi", "!", "hi", "bye"]
    assert [metadata["langgraph_node"] for _, metadata in chunks] == ["stream", "stream", "whole", "talk"]


def nested() -> Any:
    inner = graph_of(lambda state: {"messages": [say("in", "side", id="m")]})
    return StateGraph(State).add_node("inner", inner).add_edge(START, "inner").compile()


def test_models_in_graphs_inside_nodes_are_heard_by_those_who_want_to_see_inside() -> None:
    chunks = list(nested().stream({"note": 1}, stream_mode="messages", subgraphs=True))
    assert [message.content for _, (message, _) in chunks] == ["in", "side"]
    assert {path[0].split(":")[0] for path, _ in chunks} == {"inner"}


def test_others_are_shown_what_the_graph_inside_has_written_once_it_has_ended() -> None:
    assert texts(shown(nested())) == ["inside"]


def test_a_muted_node_mutes_graphs_inside_it() -> None:
    inner = graph_of(lambda state: {"note": say("psst").text})
    graph = StateGraph(State).add_node("inner", inner, tags=[TAG_NOSTREAM]).add_edge(START, "inner").compile()
    assert list(graph.stream({"note": 1}, stream_mode="messages", subgraphs=True)) == []


def test_a_muted_node_mutes_tasks_that_it_calls() -> None:
    @task
    def whisper() -> str:
        return say("psst").text

    assert shown(graph_of(lambda state: {"note": whisper().result()}, tags=[TAG_NOSTREAM])) == []


def test_a_list_of_modes_shows_messages_between_the_others() -> None:
    graph = graph_of(lambda state: {"messages": [say("a", id="m"), AIMessage("b", id="n")]})
    modes = [mode for mode, _ in graph.stream({"note": 1}, stream_mode=["updates", "messages"])]
    assert modes == ["messages", "messages", "updates"]


# -- each message once ---------------------------------------------------------------------------------


def test_what_a_node_writes_and_no_model_has_said_is_shown_whole() -> None:
    graph = graph_of(lambda state: {"messages": [AIMessage("Hello", id="h")]})
    [(message, metadata)] = shown(graph)
    assert message == AIMessage("Hello", id="h")
    assert metadata["langgraph_node"] == "talk"


@dataclass
class Notebook:
    note: Any = None
    kept: list[Any] = field(default_factory=list)


class Model(BaseModel):
    note: Any = None
    kept: list[Any] = []


ONE = AIMessage("one", id="1")


@pytest.mark.parametrize(
    ("schema", "update"),
    [
        (State, {"note": ONE}),
        (State, {"kept": [ONE]}),
        (State, {"note": (ONE,)}),
        (State, {"note": ONE, "kept": [ONE]}),
        (State, {"messages": Overwrite([ONE])}),
        (State, Command(update={"note": ONE})),
        (State, [Command(update={"note": ONE}), {"kept": [ONE]}]),
        (Notebook, Notebook(note=ONE)),
        (Model, Model(kept=[ONE])),
    ],
    ids=repr,
)
def test_a_message_is_found_wherever_a_node_writes_it_and_shown_once(schema: Any, update: Any) -> None:
    chunks = shown(graph_of(lambda state: update, schema), {"note": 0})
    assert [message for message, _ in chunks] == [ONE]


def test_what_is_no_message_or_removes_one_is_not_shown() -> None:
    update = {"note": {"deep": ONE}, "messages": [RemoveMessage("1")], "kept": ["text", ("ai", "text")]}
    assert shown(graph_of(lambda state: update)) == []


def test_a_message_that_a_node_has_had_is_no_news_with_an_id_or_without() -> None:
    def hand_on(state: State) -> Any:
        state["messages"].append(AIMessage("new"))
        return {"kept": state["messages"], "note": state["messages"][0]}

    chunks = shown(graph_of(hand_on), {"messages": [HumanMessage("old", id="1"), HumanMessage("nameless")]})
    assert texts(chunks) == ["new"]


def test_a_message_that_a_send_brings_is_no_news() -> None:
    builder = StateGraph(State).add_node("talk", lambda state: {"note": state["note"]})
    builder.add_conditional_edges(START, lambda state: [Send("talk", {"note": ONE})])
    assert shown(builder.compile()) == []


def test_a_message_that_a_task_is_called_with_is_no_news() -> None:
    @task
    def keep(first: AIMessage, rest: list[AIMessage], *, last: AIMessage) -> list[AIMessage]:
        return [first, *rest, last]

    @entrypoint()
    def talk(said: list[AIMessage]) -> str:
        one, two, three = said
        return "" if keep(one, [two], last=three).result() else "lost"

    assert shown(talk, [AIMessage("one"), AIMessage("two", id="2"), AIMessage("three")]) == []


def test_what_the_caller_says_is_no_news() -> None:
    assert shown(graph_of(lambda state: None), {"messages": [HumanMessage("hi")]}) == []


def test_a_message_is_shown_once_however_many_nodes_write_it() -> None:
    builder = StateGraph(State)
    builder.add_sequence([("one", lambda state: {"note": ONE}), ("two", lambda state: {"kept": [ONE]})])
    assert texts(shown(builder.add_edge(START, "one").compile())) == ["one"]


def test_a_message_without_an_id_is_shown_with_the_id_that_it_has_in_the_state() -> None:
    saver = InMemorySaver()
    builder = StateGraph(State).add_node("talk", lambda state: {"kept": [AIMessage("hi")]})
    graph: Any = builder.add_edge(START, "talk").compile(saver)
    [(message, _)] = shown(graph, config=THREAD)
    assert message.id is not None
    assert graph.get_state(THREAD).values["kept"] == [message]


def test_a_message_that_a_node_returns_again_and_again_is_another_one_each_time() -> None:
    same = AIMessage("again")
    builder = StateGraph(MessagesState).add_node("talk", lambda state: {"messages": [same]})
    builder.add_edge(START, "talk").add_conditional_edges(
        "talk", lambda state: END if len(state["messages"]) == 3 else "talk"
    )
    graph = builder.compile(InMemorySaver())
    ids = [message.id for message, _ in shown(graph, {"messages": []}, THREAD)]
    assert len(set(ids)) == 3
    assert ids == [message.id for message in graph.get_state(THREAD).values["messages"]]
    assert same.id is None


def test_a_message_that_the_cache_has_is_shown_whole() -> None:
    def graph() -> Any:
        builder = StateGraph(State).add_node(
            "talk", lambda state: {"kept": [say("hi", id="m")]}, cache_policy=CachePolicy()
        )
        return builder.add_edge(START, "talk").compile(cache=cache)

    cache: Any = InMemoryCache()
    assert texts(shown(graph())) == ["hi"]
    [(message, metadata)] = shown(graph())
    assert message == AIMessage("hi", id="m")
    assert metadata["langgraph_node"] == "talk"


def test_what_was_shown_before_an_interrupt_is_not_shown_again() -> None:
    builder = StateGraph(State).add_node("talk", lambda state: {"messages": [say("hi", id="m")]})
    builder.add_node("ask", lambda state: {"note": interrupt("?")})
    graph = builder.add_edge(START, "talk").add_edge(START, "ask").compile(InMemorySaver())
    assert texts(shown(graph, config=THREAD)) == ["hi"]
    assert shown(graph, Command(resume="!"), THREAD) == []


# -- pace and time -------------------------------------------------------------------------------------


async def test_a_slow_consumer_holds_back_a_model_in_a_thread() -> None:
    said = 0

    def talk(state: State) -> None:
        nonlocal said
        for _ in range(500):
            say("word", id="m")
            said += 1

    heard = 0
    async for _ in graph_of(talk).astream({"note": 1}, stream_mode="messages"):
        heard += 1
        assert said - heard < 100
    assert heard == 500


async def test_a_slow_consumer_holds_back_an_asynchronous_model_that_asks_for_room() -> None:
    said = heard = 0

    async def talk(state: State) -> None:
        nonlocal said
        stream = get_message_stream()
        assert stream is not None
        for _ in range(500):
            said += 1
            stream.emit(AIMessageChunk("word", id="m"))
            await stream.room()

    async for _ in graph_of(talk).astream({"note": 1}, stream_mode="messages"):
        heard += 1
        assert said - heard < 100
        await asyncio.sleep(0)
    assert heard == 500


async def test_a_slow_consumer_holds_back_an_asynchronous_model() -> None:
    model = ScriptedModel(["word " * 500])
    asked = 0

    async def talk(state: State) -> None:
        nonlocal asked
        async for _ in model.astream("hi"):
            asked += 1

    heard = 0
    async for _ in graph_of(talk).astream({"note": 1}, stream_mode="messages"):
        heard += 1
        assert asked - heard < 50
        await turns(3)
    assert heard > 500


async def test_tokens_are_a_sign_of_life() -> None:
    async def talk(state: State) -> None:
        for _ in range(5):
            await asyncio.sleep(0.05)
            say("word", id="m")

    graph = graph_of(talk, timeout=TimeoutPolicy(idle_timeout=0.15))
    assert len([each async for each in graph.astream({"note": 1}, stream_mode="messages")]) == 5


def test_a_node_whose_time_is_up_says_nothing_more() -> None:
    is_late, has_spoken = threading.Event(), threading.Event()

    def talk(state: State) -> None:
        say("in time", id="m")
        is_late.wait(5)
        say("too late", id="m")
        has_spoken.set()

    def wait_for_it(state: State) -> None:
        is_late.set()
        assert has_spoken.wait(5)

    assert texts(shown(graph_of(talk, timeout=0.05, error_handler=wait_for_it))) == ["in time"]
