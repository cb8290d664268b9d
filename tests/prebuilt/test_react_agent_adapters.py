"""One agent, and its conversation: whichever adapter its model speaks by, and with a model of LangChain's."""

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from langchain_core.messages import AIMessage as TheirAIMessage
from openai import AsyncOpenAI

from aiograph.messages import AIMessage, InvalidToolCall, ToolCall
from aiograph.models.anthropic import AnthropicChat
from aiograph.models.openai import OpenAIChat
from aiograph.prebuilt import create_react_agent
from aiograph.testing import ScriptedModel
from tests.models.server import ModelServer, Reply, running, said, streamed
from tests.models.wire import (
    anthropic_events,
    call_block,
    completion,
    message,
    openai_call,
    openai_call_deltas,
    openai_events,
    text_block,
)
from tests.prebuilt.their_model import TheirModel

Calls = Sequence[tuple[str, str, str]]
"""`(id, name, arguments)`"""

SCRIPT: list[str | Calls] = [
    [("1", "add", '{"a": 1, "b": 2}'), ("2", "add", '{"a": 3, "b": 4}')],
    [("3", "add", '{"a": 1, "b"')],
    [("4", "substract", '{"a": 1, "b": 2}')],
    "3 and 7",
]
"""Two calls at once, arguments that are no JSON, a tool that there is not, and an answer."""


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with running() as server:
        yield server


# -- the script, as each of them has it ------------------------------------------------------------


def parsed(calls: Calls) -> dict[str, Any]:
    good = [
        ToolCall(name=name, args=json.loads(args), id=id, type="tool_call")
        for id, name, args in calls
        if args.endswith("}")
    ]
    bad = [
        InvalidToolCall(name=name, args=args, id=id, error=None, type="invalid_tool_call")
        for id, name, args in calls
        if not args.endswith("}")
    ]
    return {"tool_calls": good, "invalid_tool_calls": bad}


def scripted(server: ModelServer) -> Any:
    return ScriptedModel([turn if isinstance(turn, str) else AIMessage(**parsed(turn)) for turn in SCRIPT])


def langchains(server: ModelServer) -> Any:
    said = [(turn, {}) if isinstance(turn, str) else ("", parsed(turn)) for turn in SCRIPT]
    return TheirModel(answers=[TheirAIMessage(text, **calls) for text, calls in said])


def openais(server: ModelServer) -> Any:
    server.replies = [_openai_reply(turn) for turn in SCRIPT]
    return _openai(server)


def openais_streamed(server: ModelServer) -> Any:
    server.replies = [
        streamed(openai_events({"content": turn} if isinstance(turn, str) else {}, *_deltas(turn)))
        for turn in SCRIPT
    ]
    return _openai(server)


def _openai(server: ModelServer) -> OpenAIChat:
    url = f"{server.url}/v1"
    return OpenAIChat("gpt-test", client=lambda: AsyncOpenAI(api_key="k", base_url=url, max_retries=0))


def _openai_reply(turn: str | Calls) -> Reply:
    if isinstance(turn, str):
        return said(completion(turn))
    return said(completion(tool_calls=[openai_call(*call) for call in turn], finish="tool_calls"))


def _deltas(turn: str | Calls) -> list[dict[str, Any]]:
    return [] if isinstance(turn, str) else openai_call_deltas(*turn)


def anthropics(server: ModelServer) -> Any:
    """Streams: in one piece, this provider gives arguments as objects, which cannot be malformed."""
    server.replies = [
        streamed(anthropic_events(*([text_block(turn)] if isinstance(turn, str) else _blocks(turn))))
        for turn in SCRIPT
    ]
    url = server.url
    return AnthropicChat(
        "claude-test", client=lambda: AsyncAnthropic(api_key="k", base_url=url, max_retries=0)
    )


def _blocks(turn: Calls) -> list[list[dict[str, Any]]]:
    return [call_block(*call) for call in turn]


# -- the conversation ------------------------------------------------------------------------------


def shown(messages: Sequence[Any]) -> list[Any]:
    """A conversation, whosever messages it is made of."""
    return [
        (
            each.type,
            each.name,
            each.text.partition("\n")[0],  # below that, errors tell what a parser has thought of them
            [(call["name"], call["args"], call["id"]) for call in getattr(each, "tool_calls", ())],
            [(call["name"], call["args"], call["id"]) for call in getattr(each, "invalid_tool_calls", ())],
            getattr(each, "tool_call_id", None),
            getattr(each, "status", None),
        )
        for each in messages
    ]


async def conversation(make: Callable[[ModelServer], Any], server: ModelServer, version: Any) -> list[Any]:
    """What is said; somebody listens, so that those which can stream do."""
    agent = create_react_agent(make(server), [add], version=version, prompt="Be brief.", name="adder")
    output: Any = None
    async for mode, chunk in agent.astream({"messages": "add!"}, stream_mode=["values", "messages"]):
        output = chunk if mode == "values" else output
    return shown(output["messages"])


@pytest.mark.parametrize("version", ["v1", "v2"])
@pytest.mark.parametrize("make", [langchains, openais_streamed, anthropics])
async def test_the_conversation_is_the_same(
    make: Callable[[ModelServer], Any], server: ModelServer, version: Any
) -> None:
    expected = await conversation(scripted, server, version)
    assert len(expected) == 9
    assert await conversation(make, server, version) == expected


async def test_it_is_the_same_if_nobody_listens(server: ModelServer) -> None:
    expected = await conversation(scripted, server, "v2")
    agent = create_react_agent(openais(server), [add], prompt="Be brief.", name="adder")
    assert shown((await agent.ainvoke({"messages": "add!"}))["messages"]) == expected


async def test_a_provider_is_sent_what_it_understands(server: ModelServer) -> None:
    agent = create_react_agent(openais(server), [add], prompt="Be brief.")
    await agent.ainvoke({"messages": "add!"})
    sent = [request.body["messages"] for request in server.requests]
    assert [each["role"] for each in sent[1]] == ["system", "user", "assistant", "tool", "tool"]
    for conversation in sent:  # each call is answered, right after the message that makes it
        for place, each in enumerate(conversation):
            wished = [call["id"] for call in each.get("tool_calls") or ()]
            answers = conversation[place + 1 : place + 1 + len(wished)]
            assert [answer.get("tool_call_id") for answer in answers] == wished


def test_a_whole_answer_of_anthropics_is_understood_too(server: ModelServer) -> None:
    call = {"type": "tool_use", "id": "1", "name": "add", "input": {"a": 1, "b": 2}}
    server.replies = [said(message(call, stop="tool_use")), said(message({"type": "text", "text": "3"}))]
    url = server.url
    model = AnthropicChat("claude", client=lambda: AsyncAnthropic(api_key="k", base_url=url, max_retries=0))
    output = create_react_agent(model, [add]).invoke({"messages": "add!"})
    assert [each.text for each in output["messages"]] == ["add!", "", "3", "3"]
