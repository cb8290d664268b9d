"""A chat model that answers by a script, for tests and examples without a provider."""

import asyncio
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass, replace
from functools import partial
from itertools import count
from typing import Any, TypeAlias

import orjson

from aiograph.messages import AIMessage, AIMessageChunk, InvalidToolCall, ToolCall, ToolCallChunk
from aiograph.models import BaseChatModel, ModelRequest
from aiograph.models._chunks import Chunks

__all__ = ["Answer", "ScriptedModel"]

Answer: TypeAlias = (
    "str | AIMessage | BaseException | type[BaseException] | Callable[[Sequence[Any]], Any] | Any"
)
"""What a script may hold: text; a message; an exception, which is raised; a function that makes one of these
of the conversation; or an object of a schema, for a call that asks for one."""


class ScriptedModel(BaseChatModel):
    """A chat model that gives the answers of a script, one for each call, in their order.

    It streams them by words. Copies that `bind_tools` and the like make go on with the same script.

    Args:
        answers: What it says; see `Answer`.
        repeat: Whether to begin again after the last answer.

    Examples:
        >>> model = ScriptedModel(["Hello there!", "Bye."])
        >>> model.invoke("Hi").content
        'Hello there!'
        >>> [chunk.content for chunk in model.stream("Bye") if chunk.content]
        ['Bye.']
        >>> [request.messages[-1].content for request in model.requests]
        ['Hi', 'Bye']
    """

    keeps_to_schemas = True

    def __init__(self, answers: Sequence[Answer], *, repeat: bool = False) -> None:
        if isinstance(answers, str):
            raise TypeError(f"a script is a list of answers, not {answers!r}")
        self._answers = list(answers)
        self._repeats = repeat
        self._turns = count()
        self.requests: list[ModelRequest] = []
        """What it was asked, call by call."""

    async def _astream(self, request: ModelRequest) -> Chunks:
        self.requests.append(request)
        for chunk in chunks_of(self._next_answer(request)):
            yield chunk
            await asyncio.sleep(0)  # as a real model: others have their turn between two words

    def _next_answer(self, request: ModelRequest) -> AIMessage:
        turn = next(self._turns)
        if self._repeats and self._answers:
            turn %= len(self._answers)
        if turn >= len(self._answers):
            last = request.messages[-1] if request.messages else None
            raise RuntimeError(
                f"the script has {len(self._answers)} answers, and this is call {turn + 1}; "
                f"the conversation ends with {last!r}"
            )
        return _as_message(self._answers[turn], request.messages)

    def __repr__(self) -> str:
        return f"ScriptedModel(<{len(self._answers)} answers>)"


def _as_message(answer: Answer, messages: Sequence[Any]) -> AIMessage:
    if isinstance(answer, BaseException) or (isinstance(answer, type) and issubclass(answer, BaseException)):
        raise answer
    if isinstance(answer, str):
        return AIMessage(answer)
    if isinstance(answer, AIMessage):
        return answer
    if inspect.isroutine(answer) or isinstance(answer, partial):
        return _as_message(answer(messages), messages)
    if isinstance(answer, Mapping) or is_dataclass(answer) or hasattr(answer, "model_dump"):
        return AIMessage(orjson.dumps(answer, default=_dumped).decode())
    raise TypeError(f"a scripted model cannot answer with {answer!r}")


def _dumped(value: Any) -> Any:
    dump: Callable[..., Any] | None = getattr(value, "model_dump", None)  # Pydantic's
    if dump is not None:
        return dump(mode="json")
    raise TypeError(f"{value!r} cannot be written as JSON")


def chunks_of(message: AIMessage) -> list[AIMessageChunk]:
    """The chunks that a message comes in: words, then calls in two pieces each, then what else there is."""
    chunks = [AIMessageChunk(piece, id=message.id) for piece in _pieces(message.content)]
    calls: list[ToolCall | InvalidToolCall] = [*message.tool_calls, *message.invalid_tool_calls]
    for index, call in enumerate(calls):
        chunks += [
            AIMessageChunk("", id=message.id, tool_call_chunks=[each]) for each in _halves(index, call)
        ]
    rest = replace(message, content="", tool_calls=[], invalid_tool_calls=[])
    last = AIMessageChunk(
        "",
        id=rest.id,
        name=rest.name,
        additional_kwargs=rest.additional_kwargs,
        response_metadata=rest.response_metadata,
        usage_metadata=rest.usage_metadata,
    )
    return [*chunks, last]


def _pieces(content: Any) -> list[Any]:
    if isinstance(content, str):
        return re.findall(r"\s*\S+|\s+$", content)
    return [content] if content else []


def _halves(index: int, call: ToolCall | InvalidToolCall) -> list[ToolCallChunk]:
    args = call["args"]
    text = args if isinstance(args, str) else orjson.dumps(args or {}).decode()
    middle = len(text) // 2
    begun: ToolCallChunk = {"name": call["name"], "args": text[:middle], "id": call.get("id"), "index": index}
    return [begun, {"name": None, "args": text[middle:], "id": None, "index": index}]
