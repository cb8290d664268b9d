"""LangChain's code inside nodes: it has the run's config without being passed it, as in LangGraph."""

import asyncio
from collections.abc import Sequence
from typing import Any, TypedDict
from uuid import uuid4

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.fake_chat_models import FakeMessagesListChatModel, GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import ConfigurableField, RunnableLambda
from langchain_core.runnables.config import var_child_runnable_config

from aiograph import START, StateGraph
from aiograph.config import get_config
from aiograph.prebuilt import create_react_agent
from aiograph.types import RunnableConfig


class State(TypedDict, total=False):
    said: str


class Tracer(BaseCallbackHandler):
    """Notes which models are called, with which tags and in which node."""

    def __init__(self) -> None:
        self.seen: list[tuple[list[str], Any]] = []

    def on_chat_model_start(
        self, serialized: Any, messages: Any, *, tags: Any = None, metadata: Any = None, **rest: Any
    ) -> None:
        self.seen.append((tags or [], (metadata or {}).get("langgraph_node")))


def model(*answers: str) -> Any:
    return FakeMessagesListChatModel(responses=[AIMessage(answer) for answer in answers or ("yes",)])


def graph_of(*nodes: tuple[str, Any]) -> Any:
    return StateGraph(State).add_sequence(nodes).add_edge(START, nodes[0][0]).compile()


def say(state: State) -> State:
    return {"said": str(model().invoke("hi").content)}


async def say_later(state: State) -> State:
    return {"said": str((await model().ainvoke("hi")).content)}


def test_callbacks_and_tags_of_the_run_are_those_of_its_models() -> None:
    tracer = Tracer()
    graph_of(("now", say), ("later", say_later)).invoke({"said": ""}, {"callbacks": [tracer], "tags": ["T"]})
    assert tracer.seen == [(["T"], "now"), (["T"], "later")]


async def test_asynchronously_too() -> None:
    tracer = Tracer()
    await graph_of(("now", say), ("later", say_later)).ainvoke({"said": ""}, {"callbacks": [tracer]})
    assert tracer.seen == [([], "now"), ([], "later")]


def test_runs_inside_have_them_too() -> None:
    tracer = Tracer()
    inner = graph_of(("deep", say))
    graph_of(("inner", inner)).invoke({"said": ""}, {"callbacks": [tracer]})
    assert tracer.seen == [([], "deep")]


def test_an_agents_model_has_them() -> None:
    tracer = Tracer()
    create_react_agent(model(), []).invoke({"messages": "hi"}, {"callbacks": [tracer], "tags": ["T"]})
    assert tracer.seen == [(["T"], "agent")]


def test_a_node_that_is_a_runnable_has_them() -> None:
    tracer = Tracer()
    chain = RunnableLambda(lambda state: "hi") | model() | (lambda message: {"said": message.content})
    graph_of(("chain", chain)).invoke({"said": ""}, {"callbacks": [tracer]})
    assert [node for _, node in tracer.seen] == ["chain"]


def test_what_can_be_configured_follows_the_runs_config() -> None:
    either = model("first").configurable_alternatives(
        ConfigurableField(id="which"), default_key="first", second=model("second")
    )
    agent = create_react_agent(either, [])
    config: RunnableConfig = {"configurable": {"which": "second"}}
    assert agent.invoke({"messages": "hi"}, config)["messages"][-1].content == "second"
    assert agent.invoke({"messages": "hi"})["messages"][-1].content == "first"


def test_a_chain_around_the_graph_still_has_its_models_traced() -> None:
    tracer = Tracer()
    graph = graph_of(("now", say))
    chain = RunnableLambda(lambda state: graph.invoke(state, {"tags": ["T"]}))
    chain.invoke({"said": ""}, {"callbacks": [tracer]})
    assert tracer.seen == [(["T"], "now")]


async def test_a_callers_own_config_stays_as_it_was() -> None:
    await graph_of(("later", say_later)).ainvoke({"said": ""}, {"tags": ["T"]})
    assert var_child_runnable_config.get() is None


# -- the run's own name and id -------------------------------------------------------------------------


def test_a_tasks_config_has_not_the_runs_id_and_name() -> None:
    seen: list[RunnableConfig] = []
    graph = graph_of(("look", lambda state: seen.append(get_config())))
    graph.invoke({"said": ""}, {"run_id": uuid4(), "run_name": "the run", "tags": ["T"]})
    assert not {"run_id", "run_name"} & seen[0].keys()
    assert seen[0]["tags"] == ["T"]


async def test_two_models_that_are_passed_one_config_say_two_messages() -> None:
    async def say_both(state: State, config: Any) -> None:
        both = [GenericFakeChatModel(messages=iter([AIMessage(text)])) for text in ("a b", "x y")]
        await asyncio.gather(*(each.ainvoke("hi", config) for each in both))

    stream = graph_of(("both", say_both)).astream({"said": ""}, {"run_id": uuid4()}, stream_mode="messages")
    pieces = [piece async for piece, _ in stream]
    assert sorted(_joined(pieces)) == ["a b", "x y"]


def _joined(pieces: Sequence[Any]) -> list[str]:
    texts: dict[str, str] = {}
    for piece in pieces:
        texts[piece.id] = texts.get(piece.id, "") + piece.content
    return list(texts.values())
