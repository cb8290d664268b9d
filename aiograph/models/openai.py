"""Models behind the Chat Completions API: OpenAI's, and those of the many servers that speak like it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from aiograph.errors import MissingExtraError
from aiograph.messages import AIMessage, AIMessageChunk, ToolCallChunk, UsageMetadata, from_openai, to_openai
from aiograph.models._chunks import Chunks
from aiograph.models._clients import SdkChat, clients_of
from aiograph.models._protocol import ModelRequest
from aiograph.models._strict import strict_form
from aiograph.tools import ToolSpec

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types import CompletionUsage
    from openai.types.chat import ChatCompletion, ChatCompletionChunk
    from openai.types.chat.chat_completion_chunk import Choice

__all__ = ["OpenAIChat"]


class OpenAIChat(SdkChat["AsyncOpenAI"]):
    """A chat model by way of the `openai` SDK, which the extra of that name installs.

    Errors are the SDK's own. It tries a failed request twice more by itself; `client=` can say otherwise.

    Args:
        model: Name of the model.
        api_key: By default, `OPENAI_API_KEY` of the environment.
        base_url: Of another server that speaks like OpenAI's; by default, `OPENAI_BASE_URL`, or OpenAI.
        client: A function that makes an `AsyncOpenAI`, called once for each event loop; or such a client,
            which then is yours to close and to use on one loop only. In place of `api_key` and `base_url`.
        options: What every request shall have besides, such as `temperature=0` or `timeout=30`.

    Raises:
        MissingExtraError: The `openai` extra is not installed.
    """

    keeps_to_schemas = True

    def __init__(
        self,
        model: str,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        client: "AsyncOpenAI | Callable[[], AsyncOpenAI] | None" = None,
        **options: Any,
    ) -> None:
        try:
            from openai import AsyncOpenAI
        except ImportError as error:
            raise MissingExtraError("OpenAIChat", "openai") from error
        clients = clients_of(client, lambda: AsyncOpenAI(api_key=api_key, base_url=base_url))
        super().__init__(model, clients, options)

    async def _agenerate(self, request: ModelRequest) -> AIMessage:
        client = await self._clients.here()
        completion = await client.chat.completions.create(**self._params(request))
        return _answer(completion)

    async def _astream(self, request: ModelRequest) -> Chunks:
        client = await self._clients.here()
        params: dict[str, Any] = {
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._params(request),
        }
        usage: CompletionUsage | None = None
        is_finished = False
        async with await client.chat.completions.create(**params) as events:
            async for event in events:
                usage = event.usage or usage  # some servers count on and on: the last one is right
                for choice in event.choices[:1]:
                    is_finished = is_finished or choice.finish_reason is not None
                    if (chunk := _chunk(event, choice)) is not None:
                        yield chunk
        if not is_finished:
            raise ConnectionError("the answer broke off: the server did not say why it ended")
        if usage is not None:
            yield AIMessageChunk("", usage_metadata=_usage(usage))

    def _params(self, request: ModelRequest) -> dict[str, Any]:
        params: dict[str, Any] = {
            "model": self.model,
            "messages": to_openai(request.messages),
            **self.options,
        }
        if request.tools:
            params["tools"] = [spec.as_openai_tool() for spec in request.tools]
        if request.tools and request.tool_choice is not None:
            params["tool_choice"] = _choice(request.tool_choice)
        if request.response_schema is not None:
            params["response_format"] = _response_format(request.response_schema)
        return params


# -- what is sent --------------------------------------------------------------------------------------


def _choice(choice: str) -> str | dict[str, Any]:
    free = {"auto": "auto", "any": "required", "none": "none"}
    return free.get(choice) or {"type": "function", "function": {"name": choice}}


def _response_format(spec: ToolSpec) -> dict[str, Any]:
    strict = strict_form(spec.parameters)
    schema = spec.parameters if strict is None else strict
    described = {"name": spec.name, "description": spec.description, "schema": schema}
    return {"type": "json_schema", "json_schema": {**described, "strict": strict is not None}}


# -- what comes back -----------------------------------------------------------------------------------


def _answer(completion: "ChatCompletion") -> AIMessage:
    """The message of a completion.

    Raises:
        ConnectionError: It has none, as when a server between here and the model has failed.
    """
    # what another server leaves out is None, whatever the SDK's types say
    if not completion.choices:
        raise ConnectionError(f"the server's answer holds no message: {completion!r}")
    choice = completion.choices[0]
    answer = from_openai(choice.message.to_dict(exclude_none=True, warnings=False))
    if not isinstance(answer, AIMessage):
        raise ConnectionError(f"the server's answer is no message of a model: {choice!r}")
    answer.usage_metadata = None if completion.usage is None else _usage(completion.usage)
    answer.response_metadata = _metadata(completion, choice.finish_reason)
    return answer


def _chunk(event: "ChatCompletionChunk", choice: "Choice") -> AIMessageChunk | None:
    """What an event adds to the answer; `None` if nothing."""
    delta = choice.delta
    calls: list[ToolCallChunk] = [
        {
            "name": call.function.name if call.function else None,
            "args": call.function.arguments if call.function else None,
            "id": call.id,
            "index": call.index,
            "type": "tool_call_chunk",
        }
        for call in delta.tool_calls or ()
    ]
    if not (delta.content or delta.refusal or calls or choice.finish_reason):
        return None
    chunk = AIMessageChunk(delta.content or "", tool_call_chunks=calls)
    if delta.refusal:
        chunk.additional_kwargs = {"refusal": delta.refusal}
    if choice.finish_reason:
        chunk.response_metadata = _metadata(event, choice.finish_reason)
    return chunk


def _metadata(source: "ChatCompletion | ChatCompletionChunk", finish_reason: str | None) -> dict[str, Any]:
    found = {
        "model_provider": "openai",
        "model_name": source.model,
        "id": source.id,
        "finish_reason": finish_reason,
        "system_fingerprint": source.system_fingerprint,
    }
    return {key: value for key, value in found.items() if value is not None}


def _usage(usage: "CompletionUsage") -> UsageMetadata:
    made: UsageMetadata = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    read, written = usage.prompt_tokens_details, usage.completion_tokens_details
    if read is not None and read.cached_tokens is not None:
        made["input_token_details"] = {"cache_read": read.cached_tokens}
    if written is not None and written.reasoning_tokens is not None:
        made["output_token_details"] = {"reasoning": written.reasoning_tokens}
    return made
