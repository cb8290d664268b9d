"""Chat Completions by the real SDK, against a server that speaks them."""

import asyncio
import json
from typing import Any

import openai as sdk
import pytest
from pydantic import BaseModel

from aiograph.errors import StructuredOutputError
from aiograph.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from aiograph.models.openai import OpenAIChat
from aiograph.tools import ToolSpec
from aiograph.types import default_retry_on
from tests.models.conftest import openai_model
from tests.models.server import HANGS, ModelServer, Reply, said, streamed
from tests.models.wire import completion, openai_call, openai_call_deltas, openai_events

ADD = ToolSpec("add", "Adds.", {"type": "object", "properties": {"a": {"type": "integer"}}})
USED = {
    "input_tokens": 11,
    "output_tokens": 5,
    "total_tokens": 16,
    "input_token_details": {"cache_read": 3},
    "output_token_details": {"reasoning": 2},
}
TOLD = {"model_provider": "openai", "model_name": "gpt-test", "id": "chatcmpl-1", "finish_reason": "stop"}
AWKWARD = '{"text": "a \\"quote\\", a \\\\ and \\u00e9 \\ud83d\\ude00", "n": 1}'


async def streamed_answer(model: OpenAIChat) -> AIMessage:
    """The answer as the chunks make it."""
    chunks = [chunk async for chunk in model.astream("q")]
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    return whole.message()


# -- answers -----------------------------------------------------------------------------------------


async def test_a_plain_answer(server: ModelServer, openai: OpenAIChat) -> None:
    server.replies = [said(completion("Hello."))]
    answer = await openai.ainvoke("Hi")
    assert (answer.content, answer.usage_metadata, answer.response_metadata) == ("Hello.", USED, TOLD)
    assert answer.id
    assert answer.id != "chatcmpl-1"


@pytest.mark.parametrize("cut", [None, 1, 7, 50])
async def test_a_streamed_answer_however_it_is_cut(
    server: ModelServer, openai: OpenAIChat, cut: int | None
) -> None:
    pieces = ["Grüß", " dich, 😀", "!"]
    events = openai_events({"role": "assistant", "content": ""}, *({"content": piece} for piece in pieces))
    server.replies = [streamed([event.replace("\\ud83d\\ude00", "😀") for event in events], cut=cut)]
    chunks = [chunk async for chunk in openai.astream("Hi")]
    assert [chunk.content for chunk in chunks if chunk.content] == pieces
    answer = await streamed_answer(openai)
    assert (answer.content, answer.usage_metadata, answer.response_metadata) == ("Grüß dich, 😀!", USED, TOLD)


async def test_a_call_of_a_tool(server: ModelServer, openai: OpenAIChat) -> None:
    server.replies = [
        said(completion(tool_calls=[openai_call("c1", "add", '{"a": 1}')], finish="tool_calls"))
    ]
    (call,) = (await openai.bind_tools([ADD]).ainvoke("q")).tool_calls
    assert (call["name"], call["args"], call["id"]) == ("add", {"a": 1}, "c1")


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100])
async def test_parallel_calls_whose_arguments_are_cut_mid_escape(
    server: ModelServer, openai: OpenAIChat, size: int
) -> None:
    deltas = openai_call_deltas(
        ("c1", "say", AWKWARD), ("c2", "add", '{"a": 2}'), ("c3", "now", ""), size=size
    )
    server.replies = [streamed(openai_events(*deltas, finish="tool_calls"), cut=11)]
    answer = await streamed_answer(openai)
    calls = [(call["id"], call["name"], call["args"]) for call in answer.tool_calls]
    assert calls == [("c1", "say", json.loads(AWKWARD)), ("c2", "add", {"a": 2}), ("c3", "now", {})]


@pytest.mark.parametrize("arguments", ['{"a": ', "[1]", "not JSON"])
async def test_malformed_arguments_are_told_apart(
    server: ModelServer, openai: OpenAIChat, arguments: str
) -> None:
    server.replies = [
        said(completion(tool_calls=[openai_call("c1", "add", arguments)])),
        streamed(openai_events(*openai_call_deltas(("c1", "add", arguments)))),
    ]
    for answer in [await openai.ainvoke("q"), await streamed_answer(openai)]:
        assert answer.tool_calls == []
        assert [(call["id"], call["args"]) for call in answer.invalid_tool_calls] == [("c1", arguments)]


async def test_a_refusal(server: ModelServer, openai: OpenAIChat) -> None:
    server.replies = [
        said(completion(refusal="I must not.")),
        streamed(openai_events({"refusal": "I must"}, {"refusal": " not."})),
    ]
    for answer in [await openai.ainvoke("q"), await streamed_answer(openai)]:
        assert answer.additional_kwargs["refusal"] == "I must not."


async def test_usage_that_a_server_counts_on_and_on_is_taken_once(
    server: ModelServer, openai: OpenAIChat
) -> None:
    events = openai_events({"content": "a"}, {"content": "b"})
    counting = [
        event.replace(
            '"created"',
            '"usage": {"prompt_tokens": 11, "completion_tokens": 1, "total_tokens": 12}, "created"',
        )
        for event in events[:2]
    ]
    server.replies = [streamed([*counting, *events[2:]])]
    assert (await streamed_answer(openai)).usage_metadata == USED


# -- requests ----------------------------------------------------------------------------------------


async def test_a_conversation_is_sent_in_the_apis_words(server: ModelServer) -> None:
    server.replies = [said(completion("ok"))]
    model = openai_model(server, temperature=0, extra_headers={"x-test": "1"})
    calling = AIMessage("", tool_calls=[{"name": "add", "args": {"a": 1}, "id": "c1"}])
    await model.ainvoke(
        [SystemMessage("be kind"), HumanMessage("1?"), calling, ToolMessage("2", tool_call_id="c1")]
    )
    (request,) = server.requests
    assert (request.path, request.headers["x-test"]) == ("/v1/chat/completions", "1")
    assert (request.body["model"], request.body["temperature"]) == ("gpt-test", 0)
    system, human, ai, tool = request.body["messages"]
    assert (system["role"], human["content"], tool["tool_call_id"]) == ("system", "1?", "c1")
    assert json.loads(ai["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert not {"tools", "tool_choice", "response_format", "stream"} & set(request.body)


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (None, None),
        ("auto", "auto"),
        ("any", "required"),
        ("none", "none"),
        ("add", {"type": "function", "function": {"name": "add"}}),
    ],
)
async def test_tools_and_choices_are_sent(
    server: ModelServer, openai: OpenAIChat, choice: Any, sent: Any
) -> None:
    server.replies = [said(completion("ok"))]
    await openai.bind_tools([ADD, {"type": "web_search"}], tool_choice=choice).ainvoke("q")
    body = server.requests[0].body
    function = {"name": "add", "description": "Adds.", "parameters": ADD.parameters}
    assert body["tools"] == [{"type": "function", "function": function}, {"type": "web_search"}]
    assert body.get("tool_choice") == sent


class City(BaseModel):
    name: str
    people: int = 0


async def test_structured_output_is_asked_for_in_the_strict_form(
    server: ModelServer, openai: OpenAIChat
) -> None:
    server.replies = [said(completion('{"name": "Rome", "people": 3}'))]
    assert await openai.with_structured_output(City).ainvoke("q") == City(name="Rome", people=3)
    asked = server.requests[0].body["response_format"]
    assert (asked["type"], asked["json_schema"]["strict"]) == ("json_schema", True)
    assert asked["json_schema"]["schema"]["required"] == ["name", "people"]


async def test_a_schema_without_a_strict_form_is_asked_for_as_it_is(
    server: ModelServer, openai: OpenAIChat
) -> None:
    server.replies = [said(completion('{"counts": {"a": 1}}'))]
    schema = {"type": "object", "properties": {"counts": {"type": "object"}}}
    assert await openai.with_structured_output(schema).ainvoke("q") == {"counts": {"a": 1}}
    assert server.requests[0].body["response_format"]["json_schema"]["strict"] is False


async def test_a_refused_object_is_an_error_that_says_so(server: ModelServer, openai: OpenAIChat) -> None:
    server.replies = [said(completion(refusal="I must not."))]
    with pytest.raises(StructuredOutputError, match="it refused: I must not"):
        await openai.with_structured_output(City).ainvoke("q")


# -- what goes wrong ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "error", "is_transient"),
    [
        (400, sdk.BadRequestError, False),
        (401, sdk.AuthenticationError, False),
        (404, sdk.NotFoundError, False),
        (408, sdk.APIStatusError, True),
        (429, sdk.RateLimitError, True),
        (500, sdk.InternalServerError, True),
        (503, sdk.InternalServerError, True),
    ],
)
async def test_errors_are_the_sdks_own(
    server: ModelServer, openai: OpenAIChat, status: int, error: type[Exception], is_transient: bool
) -> None:
    server.replies = [said({"error": {"message": "no", "type": "x"}}, status)]
    with pytest.raises(error) as caught:
        await openai.ainvoke("q")
    assert caught.value.__notes__ == ["The model is OpenAIChat('gpt-test')."]
    assert default_retry_on(caught.value) is is_transient


async def test_the_sdk_tries_again_by_itself(server: ModelServer) -> None:
    server.replies = [said({"error": {}}, 500), said(completion("ok"))]
    model = OpenAIChat("gpt-test", api_key="k", base_url=f"{server.url}/v1")
    assert (await model.ainvoke("q")).content == "ok"
    assert len(server.requests) == 2


async def test_a_server_that_is_not_there_is_a_transient_error() -> None:
    model = openai_model(ModelServer(port=1))
    with pytest.raises(sdk.APIConnectionError) as caught:
        await model.ainvoke("q")
    assert default_retry_on(caught.value)


async def test_a_server_that_takes_too_long_is_a_transient_error(server: ModelServer) -> None:
    server.replies = [HANGS]
    with pytest.raises(sdk.APITimeoutError) as caught:
        await openai_model(server, timeout=0.05).ainvoke("q")
    assert default_retry_on(caught.value)


async def test_a_connection_that_drops_in_mid_stream_is_a_transient_error(
    server: ModelServer, openai: OpenAIChat
) -> None:
    server.replies = [streamed(openai_events({"content": "Hel"}, finish=None, is_done=False), then="drop")]
    chunks = openai.astream("q")
    assert (await anext(chunks)).content == "Hel"
    with pytest.raises(sdk.APIConnectionError) as caught:
        await anext(chunks)
    assert default_retry_on(caught.value)


async def test_an_answer_that_ends_without_a_reason_is_a_transient_error(
    server: ModelServer, openai: OpenAIChat
) -> None:
    server.replies = [streamed(openai_events({"content": "Hel"}, finish=None))]
    with pytest.raises(ConnectionError, match="broke off"):
        await streamed_answer(openai)


async def test_an_error_among_the_events_is_raised(server: ModelServer, openai: OpenAIChat) -> None:
    begun = openai_events({"content": "Hel"}, finish=None, is_done=False)
    server.replies = [streamed([*begun, 'data: {"error": {"message": "overloaded"}}\n\n'])]
    with pytest.raises(sdk.APIError, match="overloaded") as caught:
        await streamed_answer(openai)
    assert default_retry_on(caught.value)


@pytest.mark.parametrize("body", [{"choices": []}, {"error": "upstream"}])
async def test_an_answer_without_a_message_is_a_transient_error(
    server: ModelServer, openai: OpenAIChat, body: dict[str, Any]
) -> None:
    server.replies = [said(body)]
    with pytest.raises(ConnectionError, match="holds no message"):
        await openai.ainvoke("q")


async def test_cancelling_closes_the_connection(server: ModelServer, openai: OpenAIChat) -> None:
    events = openai_events({"content": "Hel"}, finish=None, is_done=False)
    server.replies = [Reply([event.encode() for event in events], kind="text/event-stream", then="hang")]
    heard = asyncio.Event()

    async def listen() -> None:
        async for _ in openai.astream("q"):
            heard.set()

    listening = asyncio.create_task(listen())
    await heard.wait()
    listening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await listening
    assert await asyncio.to_thread(server.is_left.wait, 10)
