"""Both adapters in nodes of graphs: what is streamed, and what is tried again."""

import asyncio
from collections.abc import Sequence
from typing import Any

import openai as openai_sdk
import pytest

from aiograph.graph import START, MessagesState, StateGraph
from aiograph.messages import AIMessageChunk, HumanMessage
from aiograph.models import BaseChatModel
from aiograph.models.anthropic import AnthropicChat
from aiograph.models.openai import OpenAIChat
from aiograph.types import RetryPolicy
from tests.models.server import ModelServer, Reply, said, streamed
from tests.models.wire import (
    anthropic_events,
    call_block,
    completion,
    message,
    openai_call_deltas,
    openai_events,
    text_block,
)

QUESTION: dict[str, Any] = {"messages": [HumanMessage("q")]}


def talking(model: BaseChatModel, **options: Any) -> Any:
    """A graph with one node that asks a model."""

    async def talk(state: MessagesState) -> MessagesState:
        return {"messages": [await model.ainvoke(state["messages"])]}

    return StateGraph(MessagesState).add_node(talk, **options).add_edge(START, "talk").compile()


@pytest.fixture(params=["openai", "anthropic"])
def provider(request: pytest.FixtureRequest) -> tuple[BaseChatModel, Reply, Reply]:
    """A model of each provider; how the provider streams `Let me see.` with a call of a tool, and fails."""
    arguments = '{"city": "Zürich"}'
    deltas = [{"content": "Let me"}, {"content": " see."}, *openai_call_deltas(("c1", "weather", arguments))]
    blocks = [text_block("Let me", " see."), call_block("c1", "weather", arguments)]
    model: OpenAIChat | AnthropicChat = request.getfixturevalue(request.param)
    events = openai_events(*deltas) if isinstance(model, OpenAIChat) else anthropic_events(*blocks)
    return model, streamed(events, cut=17), said({"error": {"type": "x", "message": "slow down"}}, 429)


async def test_tokens_are_streamed_and_make_the_message_that_the_state_gets(
    server: ModelServer, provider: tuple[BaseChatModel, Reply, Reply]
) -> None:
    model, server.replies = provider[0], [provider[1]]
    shown: list[AIMessageChunk] = []
    values: dict[str, Any] = {}
    async for mode, payload in talking(model).astream(QUESTION, stream_mode=["messages", "values"]):
        if mode == "messages":
            shown.append(payload[0])
        else:
            values = payload
    await settled()
    answer = values["messages"][-1]
    assert [chunk.content for chunk in shown if chunk.content] == ["Let me", " see."]
    assert {chunk.id for chunk in shown} == {answer.id}
    assert joined(shown) == answer
    assert answer.tool_calls[0]["args"] == {"city": "Zürich"}


async def settled() -> None:
    """OpenAI's SDK drops generators in generators as an answer ends; the loop closes them, turn by turn."""
    for _ in range(50):
        await asyncio.sleep(0)


def joined(chunks: Sequence[AIMessageChunk]) -> Any:
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole.message()


async def test_a_rate_limit_is_waited_out_by_the_nodes_policy(
    server: ModelServer, provider: tuple[BaseChatModel, Reply, Reply]
) -> None:
    model, answer, refusal = provider
    server.replies = [refusal, refusal, answer]
    graph = talking(model, retry_policy=RetryPolicy(initial_interval=0))
    result = [each async for each in graph.astream(QUESTION, stream_mode="messages")]
    await settled()
    assert result[0][0].content == "Let me"
    assert len(server.requests) == 3


async def test_a_wrong_key_is_not_tried_again(server: ModelServer, openai: OpenAIChat) -> None:
    server.replies = [said({"error": {"message": "no"}}, 401)]
    graph = talking(openai, retry_policy=RetryPolicy(initial_interval=0))
    with pytest.raises(openai_sdk.AuthenticationError):
        await graph.ainvoke(QUESTION)
    assert len(server.requests) == 1


async def test_when_nobody_listens_the_answer_is_asked_for_in_one_piece(
    server: ModelServer, openai: OpenAIChat, anthropic: AnthropicChat
) -> None:
    server.replies = [said(completion("one")), said(message({"type": "text", "text": "two"}))]
    await talking(openai).ainvoke(QUESTION)
    await talking(anthropic).ainvoke(QUESTION)
    assert ["stream" in request.body for request in server.requests] == [False, False]
