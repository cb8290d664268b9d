"""Chat models in nodes: what a run shows of them, and what happens when they fail."""

from typing import Any, TypedDict

import pytest

from aiograph.errors import StructuredOutputError
from aiograph.graph import END, START, StateGraph
from aiograph.models import BaseChatModel
from aiograph.testing import ScriptedModel
from aiograph.types import RetryPolicy, RunnableConfig, StreamMode


class State(TypedDict, total=False):
    question: str
    answer: Any


def asking(model: BaseChatModel, **options: Any) -> Any:
    """A graph with one node that asks a model."""

    async def ask(state: State) -> State:
        return {"answer": await model.ainvoke(state["question"])}

    graph = StateGraph(State).add_node(ask, **options)
    return graph.add_edge(START, "ask").add_edge("ask", END).compile()


async def test_tokens_of_a_model_are_streamed_with_the_place_they_come_from() -> None:
    graph = asking(ScriptedModel(["one two three"]))
    shown = [each async for each in graph.astream({"question": "q"}, stream_mode="messages")]
    assert [chunk.content for chunk, _ in shown] == ["one", " two", " three", ""]
    assert {metadata["langgraph_node"] for _, metadata in shown} == {"ask"}


async def test_the_message_that_the_chunks_make_is_not_shown_again() -> None:
    class Talk(TypedDict):
        messages: list[Any]

    async def ask(state: Talk) -> Talk:
        return {"messages": [await ScriptedModel(["one two"]).ainvoke("q")]}

    graph = StateGraph(Talk).add_node(ask).add_edge(START, "ask").compile()
    modes: list[StreamMode] = ["messages", "values"]
    shown = [each async for each in graph.astream({"messages": []}, stream_mode=modes)]
    chunks = [payload[0] for mode, payload in shown if mode == "messages"]
    assert [chunk.content for chunk in chunks] == ["one", " two", ""]
    assert {chunk.id for chunk in chunks} == {shown[-1][1]["messages"][0].id}


def test_synchronous_nodes_show_theirs_as_well() -> None:
    model = ScriptedModel(["one two"])

    def ask(state: State) -> State:
        return {"answer": model.invoke(state["question"]).content}

    graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
    shown = list(graph.stream({"question": "q"}, stream_mode="messages"))
    assert [chunk.content for chunk, _ in shown] == ["one", " two", ""]


async def test_a_models_own_tags_and_metadata_stand_beside_its_chunks() -> None:
    model = ScriptedModel(["one"]).with_config(tags=["small"], metadata={"tier": "cheap"})

    async def ask(state: State, config: RunnableConfig) -> State:
        return {"answer": await model.ainvoke("q", {**config, "tags": ["now"]})}

    graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
    shown = [each async for each in graph.astream({"question": "q"}, stream_mode="messages")]
    assert {tuple(metadata["tags"]) for _, metadata in shown} == {("small", "now")}
    assert {metadata["tier"] for _, metadata in shown} == {"cheap"}


async def test_a_model_may_be_left_out() -> None:
    graph = asking(ScriptedModel(["one two"]).with_config({"tags": ["nostream"]}))
    modes: list[StreamMode] = ["messages", "values"]
    shown = [each async for each in graph.astream({"question": "q"}, stream_mode=modes)]
    assert [mode for mode, _ in shown if mode == "messages"] == ["messages"]
    assert shown[-1][1]["answer"].content == "one two"


async def test_a_model_that_fails_is_asked_again_by_the_nodes_policy() -> None:
    model = ScriptedModel([ConnectionError("gone"), "back"])
    graph = asking(model, retry_policy=RetryPolicy(initial_interval=0))
    assert (await graph.ainvoke({"question": "q"}))["answer"].content == "back"


async def test_a_wrong_object_is_asked_for_again_where_a_policy_says_so() -> None:
    schema = {"title": "city", "type": "object", "properties": {"name": {"type": "string"}}}
    model = ScriptedModel(["Rome", {"name": "Rome"}]).with_structured_output(schema)

    async def ask(state: State) -> State:
        return {"answer": await model.ainvoke("q")}

    policy = RetryPolicy(initial_interval=0, retry_on=StructuredOutputError)
    graph = StateGraph(State).add_node(ask, retry_policy=policy).add_edge(START, "ask").compile()
    assert await graph.ainvoke({"question": "q"}) == {"question": "q", "answer": {"name": "Rome"}}


async def test_an_error_of_a_model_names_it_and_the_node() -> None:
    with pytest.raises(KeyError) as caught:
        await asking(ScriptedModel([KeyError("x")])).ainvoke({"question": "q"})
    notes = "\n".join(caught.value.__notes__)
    assert "The model is ScriptedModel" in notes
    assert "'ask'" in notes
