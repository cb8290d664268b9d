"""What LangChain's chat models say in nodes, shown as `stream_mode="messages"` however they are called."""

import asyncio
import gc
import operator
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any, TypedDict

import pytest
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, AnyMessage, HumanMessage
from langchain_core.outputs import ChatGenerationChunk
from langchain_core.runnables import RunnableLambda, RunnableParallel

from aiograph import START, StateGraph
from aiograph._context import current_task
from aiograph.config import MessageStream
from aiograph.constants import TAG_NOSTREAM
from aiograph.func import entrypoint, task
from aiograph.models import as_chat_model
from aiograph.testing.models import ScriptedModel
from aiograph.types import RunnableConfig


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], operator.add]
    note: Any


def model(*answers: str, **options: Any) -> Any:
    return GenericFakeChatModel(messages=iter([AIMessage(answer) for answer in answers]), **options)


def graph_of(node: Any, **options: Any) -> Any:
    return StateGraph(State).add_node("talk", node, **options).add_edge(START, "talk").compile()


def shown(node: Any, **options: Any) -> list[Any]:
    graph = node if hasattr(node, "invoke") else graph_of(node)
    chunks: list[Any] = graph.invoke({"note": "begin"}, stream_mode="messages", **options)
    return chunks


def texts(chunks: list[Any]) -> list[str]:
    return [message.content for message, _ in chunks]


# -- however a node calls its model --------------------------------------------------------------------


def test_a_model_that_is_invoked_is_streamed_and_what_it_returns_is_not_shown_again() -> None:
    chunks = shown(lambda state: {"messages": [model("Good morning").invoke("hi")]})
    assert texts(chunks) == ["Good", " ", "morning"]
    assert {type(message) for message, _ in chunks} == {AIMessageChunk}
    assert len({message.id for message, _ in chunks}) == 1


async def test_a_model_that_is_invoked_asynchronously_is_streamed() -> None:
    async def talk(state: State) -> State:
        return {"messages": [await model("Good morning").ainvoke("hi")]}

    stream = graph_of(talk).astream({"note": 1}, stream_mode="messages")
    assert [message.content async for message, _ in stream] == ["Good", " ", "morning"]


def test_a_node_that_streams_itself_and_joins_the_pieces_is_heard_once() -> None:
    def talk(state: State) -> State:
        first, *rest = model("Good morning").stream("hi")
        return {"messages": [sum(rest, first)]}

    assert texts(shown(talk)) == ["Good", " ", "morning"]


async def test_a_node_that_streams_asynchronously_is_heard_once() -> None:
    async def talk(state: State) -> State:
        pieces = [piece async for piece in model("Good morning").astream("hi")]
        return {"messages": [sum(pieces[1:], pieces[0])]}

    stream = graph_of(talk).astream({"note": 1}, stream_mode="messages")
    assert [message.content async for message, _ in stream] == ["Good", " ", "morning"]


def test_a_model_that_is_given_the_config_is_heard_once() -> None:
    def talk(state: State, config: RunnableConfig) -> State:
        return {"messages": [model("Good morning").invoke("hi", config)]}

    assert texts(shown(talk)) == ["Good", " ", "morning"]


def test_a_model_in_a_chain_of_runnables_is_heard_once() -> None:
    chain = RunnableLambda(lambda state: "hi") | model("Good morning") | (lambda said: {"messages": [said]})
    assert texts(shown(graph_of(chain))) == ["Good", " ", "morning"]


def test_models_in_threads_of_langchain_are_heard() -> None:
    both = RunnableParallel(one=model("one"), two=model("two"))
    assert sorted(texts(shown(lambda state: both.invoke("hi") and None))) == ["one", "two"]


async def test_a_model_in_a_thread_with_the_context_of_its_node_is_heard() -> None:
    async def talk(state: State) -> None:
        await asyncio.to_thread(model("hello").invoke, "hi")

    stream = graph_of(talk).astream({"note": 1}, stream_mode="messages")
    assert [message.content async for message, _ in stream] == ["hello"]


def test_a_model_in_a_task_is_heard() -> None:
    @task
    def ask(question: str) -> Any:
        return model("an answer").invoke(question)

    @entrypoint()
    def talk(input: Any) -> Any:
        return ask("hi").result()

    chunks = shown(talk)
    assert texts(chunks) == ["an", " ", "answer"]
    assert {metadata["langgraph_node"] for _, metadata in chunks} == {"ask"}


def test_a_model_in_a_graph_inside_a_node_is_heard_there_alone() -> None:
    inner = graph_of(lambda state: {"messages": [model("from inside").invoke("hi")]})
    around = RunnableLambda(lambda state: inner.invoke(state))
    seen = list(graph_of(around).stream({"note": 1}, stream_mode="messages", subgraphs=True))
    assert [message.content for _, (message, _) in seen] == ["from", " ", "inside"]
    assert {metadata["langgraph_checkpoint_ns"].count("|") for _, (_, metadata) in seen} == {1}
    assert texts(shown(graph_of(around))) == ["from inside"]


def test_a_call_that_is_over_is_forgotten_even_if_it_was_broken_off() -> None:
    remembered = []

    def talk(state: State) -> None:
        with closing(model("Good morning").stream("hi")) as pieces:
            next(pieces)
        model("Good night").invoke("hi")
        scope = current_task.get()
        assert scope is not None
        assert scope.run.audience is not None
        remembered.append(dict(scope.run.audience.speaking))

    assert texts(shown(talk)) == ["Good", "Good", " ", "night"]
    assert remembered == [{}]


def test_a_call_that_its_node_abandons_ends_with_the_run() -> None:
    asked = model("Good morning")

    async def talk(state: State) -> None:
        async for _ in asked.astream("hi"):
            break

    async def listen() -> list[str]:
        return [message.content async for message, _ in graph_of(talk).astream({}, stream_mode="messages")]

    assert asyncio.run(listen()) == ["Good"]
    gc.collect()
    assert [each for each in gc.get_objects() if type(each) is MessageStream] == []


# -- what they say -------------------------------------------------------------------------------------


def test_a_model_that_cannot_stream_is_heard_whole_even_if_nobody_writes_it() -> None:
    whole = FakeMessagesListChatModel(responses=[AIMessage("all at once")])
    [(message, _)] = shown(lambda state: {"note": whole.invoke("hi").content})
    assert message.content == "all at once"


def test_what_a_model_that_cannot_stream_has_said_is_not_shown_again() -> None:
    whole = model("all at once", disable_streaming=True)
    assert texts(shown(lambda state: {"messages": [whole.invoke("hi")]})) == ["all at once"]


def test_metadata_tells_of_the_model_and_of_its_node() -> None:
    told = model("hello").with_config(tags=["small"], metadata={"size": 1, "langgraph_node": "another"})
    [(_, metadata)] = shown(
        lambda state: {"note": told.invoke("hi").content},
        config={"tags": ["trial"], "metadata": {"user": "Ada"}},
    )
    assert metadata["tags"] == ["small", "trial"]
    assert metadata["ls_provider"] == "genericfakechatmodel"
    assert (metadata["size"], metadata["user"], metadata["langgraph_node"]) == (1, "Ada", "talk")


def test_a_model_with_the_tag_nostream_is_not_heard() -> None:
    quiet = model("psst").with_config(tags=[TAG_NOSTREAM])
    assert shown(lambda state: {"note": quiet.invoke("hi").content}) == []


def test_a_node_with_the_tag_nostream_mutes_its_model() -> None:
    graph = graph_of(lambda state: {"note": model("psst").invoke("hi").content}, tags=[TAG_NOSTREAM])
    assert shown(graph) == []


def test_messages_that_the_node_was_called_with_are_no_news() -> None:
    graph = graph_of(lambda state: {"note": state["messages"][0], "messages": [AIMessage("new")]})
    chunks = graph.invoke({"messages": [HumanMessage("old")]}, stream_mode="messages")
    assert texts(chunks) == ["new"]


def test_models_of_both_kinds_are_heard_side_by_side() -> None:
    def ours(state: State) -> Any:
        return {"note": [ScriptedModel(["our"]).invoke("hi"), state["messages"][-1]]}

    builder = StateGraph(State).add_node("theirs", lambda state: {"messages": [model("their").invoke("hi")]})
    builder.add_node(ours).add_edge(START, "theirs").add_edge("theirs", "ours")
    graph = builder.compile()
    assert "|".join(texts(shown(graph))).rstrip("|") == "their|our"


async def test_a_model_that_is_taken_for_one_of_ours_is_heard_once() -> None:
    async def talk(state: State) -> State:
        return {"messages": [await as_chat_model(model("Good morning")).ainvoke("hi")]}

    stream = graph_of(talk).astream({"note": 1}, stream_mode="messages")
    assert [message.content async for message, _ in stream] == ["Good", " ", "morning"]


class Breaking(GenericFakeChatModel):
    """Says a word and breaks."""

    def _stream(self, *args: Any, **kwargs: Any) -> Iterator[ChatGenerationChunk]:
        yield ChatGenerationChunk(message=AIMessageChunk(content="Well"))
        raise ConnectionError("gone")


def test_a_model_that_breaks_raises_in_its_node_and_what_it_has_said_stays() -> None:
    def talk(state: State) -> Any:
        with pytest.raises(ConnectionError):
            Breaking(messages=iter(())).invoke("hi")
        return {"messages": [model("never mind").invoke("hi")]}

    assert texts(shown(talk)) == ["Well", "never", " ", "mind"]


# -- what is left alone --------------------------------------------------------------------------------


class Asked(BaseCallbackHandler):
    """Counts the tokens it is told of."""

    tokens = 0

    def on_llm_new_token(self, token: Any, **rest: Any) -> None:
        self.tokens += 1


def test_where_nobody_listens_a_model_that_is_invoked_does_not_stream() -> None:
    asked = Asked()

    def talk(state: State) -> None:
        model("Good morning").invoke("hi", {"callbacks": [asked]})

    graph = graph_of(talk)
    shown(graph)
    heard, asked.tokens = asked.tokens, 0
    list(graph.stream({"note": 1}, stream_mode="updates"))
    model("Good morning").invoke("hi", {"callbacks": [asked]})
    assert (heard, asked.tokens) == (3, 0)


IMPORTS_LATE = """
import sys
from typing import Any, TypedDict
from aiograph import START, StateGraph

class State(TypedDict):
    note: Any

def talk(state):
    assert "langchain_core" not in sys.modules
    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    return {"note": GenericFakeChatModel(messages=iter(["Good morning"])).invoke("hi")}

graph = StateGraph(State).add_node(talk).add_edge(START, "talk").compile()
finders = list(sys.meta_path)
print([message.content for message, _ in graph.stream({"note": 1}, stream_mode="messages")])
assert sys.meta_path == finders
"""


def test_a_node_that_is_the_first_to_import_langchain_is_heard() -> None:
    run = subprocess.run([sys.executable, "-c", IMPORTS_LATE], capture_output=True, text=True, check=False)
    assert (run.stdout, run.stderr) == ("['Good', ' ', 'morning']\n", "")
