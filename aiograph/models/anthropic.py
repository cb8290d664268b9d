"""Models behind Anthropic's Messages API."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from aiograph.errors import MissingExtraError
from aiograph.messages import AIMessage, from_anthropic, to_anthropic
from aiograph.models._anthropic_events import AnswerReader, metadata_of, usage_of
from aiograph.models._chunks import Chunks
from aiograph.models._clients import SdkChat, clients_of
from aiograph.models._protocol import ModelRequest
from aiograph.models._strict import strict_form
from aiograph.tools import ToolSpec

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

__all__ = ["AnthropicChat"]

_LONG = 8192
"""Tokens of an answer from which on the SDK, for some models, insists on streaming."""


class AnthropicChat(SdkChat["AsyncAnthropic"]):
    """A chat model by way of the `anthropic` SDK, which the extra of that name installs.

    Errors are the SDK's own. It tries a failed request twice more by itself; `client=` can say otherwise.
    What the model thinks is among the content of its answers, and is sent back with them.

    Args:
        model: Name of the model.
        max_tokens: The most tokens that an answer may have.
        api_key: By default, `ANTHROPIC_API_KEY` of the environment.
        base_url: Of another server that speaks like Anthropic's; by default, `ANTHROPIC_BASE_URL`, or
            Anthropic.
        client: A function that makes an `AsyncAnthropic`, called once for each event loop; or such a client,
            which then is yours to close and to use on one loop only. In place of `api_key` and `base_url`.
        options: What every request shall have besides, such as `stop_sequences=["END"]` or `timeout=30`.

    Raises:
        MissingExtraError: The `anthropic` extra is not installed.
    """

    def __init__(
        self,
        model: str,
        *,
        max_tokens: int = 4096,
        api_key: str | None = None,
        base_url: str | None = None,
        client: "AsyncAnthropic | Callable[[], AsyncAnthropic] | None" = None,
        **options: Any,
    ) -> None:
        try:
            from anthropic import AsyncAnthropic
        except ImportError as error:
            raise MissingExtraError("AnthropicChat", "anthropic") from error
        clients = clients_of(client, lambda: AsyncAnthropic(api_key=api_key, base_url=base_url))
        super().__init__(model, clients, {"max_tokens": max_tokens, **options})
        # a model that thinks must not be forced to call a tool
        self.keeps_to_schemas = options.get("thinking", {}).get("type", "disabled") != "disabled"

    async def _agenerate(self, request: ModelRequest) -> AIMessage:
        if self.options["max_tokens"] > _LONG:
            return await super()._agenerate(request)
        client = await self._clients.here()
        reply = await client.messages.create(**self._params(request))
        return _answer(reply.to_dict(exclude_none=True, warnings=False))

    async def _astream(self, request: ModelRequest) -> Chunks:
        client = await self._clients.here()
        reader = AnswerReader()
        async with await client.messages.create(stream=True, **self._params(request)) as events:
            async for event in events:
                if (chunk := reader.read(event)) is not None:
                    yield chunk
        if not reader.is_finished:
            raise ConnectionError("the answer broke off: the server did not say that it ended")

    def _params(self, request: ModelRequest) -> dict[str, Any]:
        system, messages = to_anthropic(request.messages)
        params: dict[str, Any] = {"model": self.model, "messages": messages, **self.options}
        if system:
            params["system"] = system
        if request.tools:
            params["tools"] = list(map(_tool, request.tools))
        if request.tools and request.tool_choice is not None:
            params["tool_choice"] = _choice(request.tool_choice)
        if request.response_schema is not None:
            params["output_config"] = {
                **params.get("output_config", {}),
                "format": _format(request.response_schema),
            }
        return params


def _answer(told: Mapping[str, Any]) -> AIMessage:
    (answer,) = from_anthropic(told)
    if not isinstance(answer, AIMessage):
        raise ConnectionError(f"the server's answer is no message of a model: {told!r}")
    answer.usage_metadata = usage_of(told["usage"])
    answer.response_metadata = metadata_of(told)
    answer.id = None  # see `identified`
    return answer


def _tool(spec: ToolSpec) -> Mapping[str, Any]:
    if spec.provided is not None:
        return spec.provided
    return {"name": spec.name, "description": spec.description, "input_schema": spec.parameters}


def _choice(choice: str) -> dict[str, str]:
    return {"type": choice} if choice in ("auto", "any", "none") else {"type": "tool", "name": choice}


def _format(spec: ToolSpec) -> dict[str, Any]:
    return {"type": "json_schema", "schema": strict_form(spec.parameters) or spec.parameters}
