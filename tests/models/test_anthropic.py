"""Anthropic's Messages by the real SDK, against a server that speaks them."""

import json
from typing import Any

import anthropic as sdk
import pytest
from pydantic import BaseModel

from aiograph.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from aiograph.models.anthropic import AnthropicChat
from aiograph.tools import ToolSpec
from aiograph.types import default_retry_on
from tests.models.conftest import anthropic_model
from tests.models.server import HANGS, ModelServer, said, streamed
from tests.models.wire import (
    anthropic_event,
    anthropic_events,
    call_block,
    message,
    text_block,
    thinking_block,
)

ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
USED = {
    "input_tokens": 16,
    "output_tokens": 7,
    "total_tokens": 23,
    "input_token_details": {"cache_read": 4, "cache_creation": 2},
}
TOLD = {"model_provider": "anthropic", "model_name": "claude-test", "id": "msg_1", "stop_reason": "end_turn"}
AWKWARD = '{"text": "a \\"quote\\", a \\\\ and \\u00e9 \\ud83d\\ude00", "n": 1}'


async def streamed_answer(model: AnthropicChat) -> AIMessage:
    """The answer as the chunks make it."""
    chunks = [chunk async for chunk in model.astream("q")]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole.message()


async def both_ways(server: ModelServer, model: AnthropicChat, *replies: Any) -> list[AIMessage]:
    """An answer in one piece, and the same one streamed."""
    server.replies = list(replies)
    return [await model.ainvoke("q"), await streamed_answer(model)]


def without_index(content: Any) -> Any:
    return [
        {key: value for key, value in part.items() if key != "index"} if isinstance(part, dict) else part
        for part in content
    ]


# -- answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [None, 1, 7, 50])
async def test_text_however_it_comes(server: ModelServer, anthropic: AnthropicChat, cut: int | None) -> None:
    whole = said(message({"type": "text", "text": "Grüß dich, 😀!"}))
    events = streamed(anthropic_events(text_block("Grüß", " dich, 😀", "!")), cut=cut)
    at_once, answer = await both_ways(server, anthropic, whole, events)
    assert (answer.content, answer.usage_metadata, answer.response_metadata) == ("Grüß dich, 😀!", USED, TOLD)
    assert (at_once.usage_metadata, at_once.response_metadata) == (USED, TOLD)
    assert at_once.text == answer.text
    assert "msg_1" not in (at_once.id, answer.id)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_parallel_calls_whose_arguments_are_cut_mid_escape(
    server: ModelServer, anthropic: AnthropicChat, size: int
) -> None:
    wanted = [("c1", "say", json.loads(AWKWARD)), ("c2", "add", {"a": 2}), ("c3", "now", {})]
    blocks = [{"type": "tool_use", "id": id, "name": name, "input": args} for id, name, args in wanted]
    events = anthropic_events(
        text_block("Let me", " see."),
        call_block("c1", "say", AWKWARD, size),
        call_block("c2", "add", '{"a": 2}', size),
        call_block("c3", "now", "", size),
        stop="tool_use",
    )
    whole = said(message({"type": "text", "text": "Let me see."}, *blocks, stop="tool_use"))
    for answer in await both_ways(server, anthropic, whole, streamed(events, cut=13)):
        calls = [(call["id"], call["name"], call["args"]) for call in answer.tool_calls]
        assert (answer.text, calls) == ("Let me see.", wanted)


async def test_malformed_arguments_are_told_apart(server: ModelServer, anthropic: AnthropicChat) -> None:
    server.replies = [streamed(anthropic_events(call_block("c1", "add", '{"a": 1'), stop="max_tokens"))]
    answer = await streamed_answer(anthropic)
    assert answer.tool_calls == []
    assert [(call["id"], call["args"]) for call in answer.invalid_tool_calls] == [("c1", '{"a": 1')]


async def test_thoughts_are_parts_and_are_sent_back(server: ModelServer, anthropic: AnthropicChat) -> None:
    thought = {"type": "thinking", "thinking": "Hmm, so.", "signature": "s=="}
    hidden = {"type": "redacted_thinking", "data": "x=="}
    call = {"type": "tool_use", "id": "c1", "name": "add", "input": {"a": 1}}
    whole = said(message(thought, hidden, {"type": "text", "text": "Yes."}, call))
    events = anthropic_events(
        thinking_block("Hmm", ", so.", signature="s=="),
        [hidden],
        text_block("Yes", "."),
        call_block("c1", "add", '{"a": 1}'),
    )
    for answer in await both_ways(server, anthropic, whole, streamed(events), whole):
        assert without_index(answer.content)[:2] == [thought, hidden]
        assert answer.text == "Yes."
        await anthropic.ainvoke([HumanMessage("q"), answer, ToolMessage("1", tool_call_id="c1")])
        sent = server.requests[-1].body["messages"][1]["content"]
        assert sent == [thought, hidden, {"type": "text", "text": "Yes."}, call]


async def test_citations_stay_with_their_text(server: ModelServer, anthropic: AnthropicChat) -> None:
    citation = {
        "type": "char_location",
        "cited_text": "It rains.",
        "document_index": 0,
        "document_title": "Notes",
        "start_char_index": 0,
        "end_char_index": 9,
    }
    cited = {"type": "text", "text": "It rains", "citations": [citation]}
    pieces = [{"type": "text_delta", "text": piece} for piece in ("It ", "rains")]
    events = anthropic_events(
        [
            {"type": "text", "text": "", "citations": []},
            *pieces,
            {"type": "citations_delta", "citation": citation},
        ],
        text_block(", they say."),
    )
    server.replies = [streamed(events)]
    answer = await streamed_answer(anthropic)
    assert without_index(answer.content) == [cited, ", they say."]
    assert answer.text == "It rains, they say."


async def test_tools_at_the_provider_are_parts(server: ModelServer, anthropic: AnthropicChat) -> None:
    use = {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "é"}}
    found = {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []}
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", '{"que', 'ry": "é"}')]
    events = anthropic_events([{**use, "input": {}}, *deltas], [found], text_block("Found."))
    server.replies = [streamed(events)]
    answer = await streamed_answer(anthropic)
    first, second, text = answer.content
    assert isinstance(first, dict)
    assert {**use, **first} == first
    assert isinstance(second, dict)
    assert {**found, **second} == second
    assert (text, answer.tool_calls) == ("Found.", [])


async def test_long_answers_are_streamed_as_the_sdk_insists(server: ModelServer) -> None:
    server.replies = [streamed(anthropic_events(text_block("Long.")))]
    assert (await anthropic_model(server, max_tokens=100_000).ainvoke("q")).content == "Long."
    assert server.requests[0].body["stream"] is True


# -- requests ----------------------------------------------------------------------------------------


async def test_a_conversation_is_sent_in_the_apis_words(server: ModelServer) -> None:
    server.replies = [said(message({"type": "text", "text": "ok"}))]
    model = anthropic_model(server, stop_sequences=["END"])
    calling = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}])
    await model.ainvoke(
        [SystemMessage("be kind"), HumanMessage("1?"), calling, ToolMessage("2", tool_call_id="c1")]
    )
    (request,) = server.requests
    body = request.body
    assert (request.path, body["model"], body["max_tokens"], body["stop_sequences"]) == (
        "/v1/messages",
        "claude-test",
        4096,
        ["END"],
    )
    assert "be kind" in json.dumps(body["system"])
    assert [each["role"] for each in body["messages"]] == ["user", "assistant", "user"]
    assert body["messages"][1]["content"][0]["type"] == "tool_use"
    assert body["messages"][2]["content"][0]["tool_use_id"] == "c1"
    assert not {"tools", "tool_choice", "output_config", "stream"} & set(body)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", {"type": "auto"}),
        ("any", {"type": "any"}),
        ("none", {"type": "none"}),
        ("add", {"type": "tool", "name": "add"}),
    ],
)
async def test_tools_and_choices_are_sent(
    server: ModelServer, anthropic: AnthropicChat, choice: Any, sent: Any
) -> None:
    server.replies = [said(message({"type": "text", "text": "ok"}))]
    search = {"type": "web_search_20250305", "name": "web_search"}
    await anthropic.bind_tools([ADD, search], tool_choice=choice).ainvoke("q")
    body = server.requests[0].body
    assert body["tools"] == [{"name": "add", "description": "Adds.", "input_schema": ADD.parameters}, search]
    assert body.get("tool_choice") == sent


class City(BaseModel):
    name: str
    people: int = 0


async def test_structured_output_is_a_forced_call(server: ModelServer, anthropic: AnthropicChat) -> None:
    call = {"type": "tool_use", "id": "c1", "name": "City", "input": {"name": "Rome"}}
    server.replies = [said(message(call, stop="tool_use"))]
    assert await anthropic.with_structured_output(City).ainvoke("q") == City(name="Rome")
    body = server.requests[0].body
    assert (body["tools"][0]["name"], body["tool_choice"]) == ("City", {"type": "tool", "name": "City"})


async def test_a_model_that_thinks_keeps_to_a_schema_instead(server: ModelServer) -> None:
    server.replies = [said(message({"type": "text", "text": '{"name": "Rome", "people": 1}'}))]
    thinking = {"type": "enabled", "budget_tokens": 1024}
    model = anthropic_model(server, thinking=thinking, output_config={"effort": "low"})
    assert await model.with_structured_output(City).ainvoke("q") == City(name="Rome", people=1)
    asked = server.requests[0].body
    assert "tool_choice" not in asked
    assert asked["output_config"]["effort"] == "low"
    assert asked["output_config"]["format"]["schema"]["required"] == ["name", "people"]


# -- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "is_transient"),
    [
        (400, sdk.BadRequestError, False),
        (401, sdk.AuthenticationError, False),
        (404, sdk.NotFoundError, False),
        (429, sdk.RateLimitError, True),
        (500, sdk.InternalServerError, True),
        (529, sdk.InternalServerError, True),
    ],
)
async def test_errors_are_the_sdks_own(
    server: ModelServer, anthropic: AnthropicChat, status: int, error: type[Exception], is_transient: bool
) -> None:
    server.replies = [said({"type": "error", "error": {"type": "x", "message": "no"}}, status)]
    with pytest.raises(error) as caught:
        await anthropic.ainvoke("q")
    assert caught.value.__notes__ == ["The model is AnthropicChat('claude-test')."]
    assert default_retry_on(caught.value) is is_transient


async def test_a_server_that_is_not_there_is_a_transient_error() -> None:
    with pytest.raises(sdk.APIConnectionError) as caught:
        await anthropic_model(ModelServer(port=1)).ainvoke("q")
    assert default_retry_on(caught.value)


async def test_a_server_that_takes_too_long_is_a_transient_error(server: ModelServer) -> None:
    server.replies = [HANGS]
    with pytest.raises(sdk.APITimeoutError) as caught:
        await anthropic_model(server, timeout=0.05).ainvoke("q")
    assert default_retry_on(caught.value)


async def test_a_connection_that_drops_in_mid_stream_is_a_transient_error(
    server: ModelServer, anthropic: AnthropicChat
) -> None:
    server.replies = [streamed(anthropic_events(text_block("Hel"), is_whole=False), then="drop")]
    with pytest.raises(Exception, match=r".") as caught:
        await streamed_answer(anthropic)
    assert default_retry_on(caught.value)


async def test_an_answer_that_does_not_end_is_a_transient_error(
    server: ModelServer, anthropic: AnthropicChat
) -> None:
    server.replies = [streamed(anthropic_events(text_block("Hel"), is_whole=False))]
    with pytest.raises(ConnectionError, match="broke off"):
        await streamed_answer(anthropic)


async def test_an_error_among_the_events_is_transient(server: ModelServer, anthropic: AnthropicChat) -> None:
    overloaded = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    begun = anthropic_events(text_block("Hel"), is_whole=False)
    server.replies = [streamed([*begun, anthropic_event(overloaded)])]
    with pytest.raises(sdk.APIStatusError, match="Overloaded") as caught:
        await streamed_answer(anthropic)
    assert default_retry_on(caught.value)
