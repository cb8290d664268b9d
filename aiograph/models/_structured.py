"""Answers that are objects: the schema a model is told of, and how its answer is read."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import orjson

from aiograph._config_types import RunnableConfig
from aiograph.bridge import blocking
from aiograph.errors import MissingExtraError, StructuredOutputError
from aiograph.messages import AIMessage
from aiograph.tools import ToolSpec

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Shape(Generic[T]):
    """A kind of object that a model is asked for."""

    spec: ToolSpec
    read: Callable[[bytes | str], T]
    """Makes one of JSON text; raises `ValueError` if it cannot."""


def shape_of(schema: Any) -> Shape[Any]:
    """What a model is told of `schema`, and how its answers are read.

    Raises:
        TypeError: It describes no object.
        MissingExtraError: It is a type, and Pydantic is not installed.
    """
    if isinstance(schema, Mapping):
        return Shape(_spec_of("answer", schema), _read_object)
    if not isinstance(schema, type):
        raise _not_a_schema(schema)
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise MissingExtraError("structured output of a type", "schema") from error
    adapter = TypeAdapter(schema)
    return Shape(_spec_of(schema.__name__, adapter.json_schema()), adapter.validate_json)


def _spec_of(name: str, schema: Mapping[str, Any]) -> ToolSpec:
    if schema.get("type", "object") != "object" or not {"properties", "$ref"} & schema.keys():
        raise _not_a_schema(schema)
    title = re.sub(r"[^\w-]", "_", str(schema.get("title") or name), flags=re.ASCII)[:64]
    return ToolSpec(title, str(schema.get("description") or "The answer."), dict(schema))


def _not_a_schema(schema: Any) -> TypeError:
    return TypeError(
        "with_structured_output() takes a Pydantic model, a dataclass, a TypedDict, or the JSON schema of "
        f"an object, not {schema!r}"
    )


def _read_object(text: bytes | str) -> dict[str, Any]:
    value = orjson.loads(text)
    if not isinstance(value, dict):
        raise ValueError("it is no object")
    return value


class _Answers(Protocol):
    async def ainvoke(self, messages: Any, config: RunnableConfig | None = None) -> AIMessage: ...


class StructuredModel(Generic[T]):
    """A model that answers with objects: what `with_structured_output` gives."""

    def __init__(self, model: _Answers, shape: Shape[T]) -> None:
        self._model = model
        self._shape = shape

    async def ainvoke(self, messages: Any, config: RunnableConfig | None = None) -> T:
        """The model's answer, as an object of the schema.

        Raises:
            StructuredOutputError: It is none. The error has the message as `raw`.
        """
        return answer_in(await self._model.ainvoke(messages, config), self._shape)

    invoke = blocking(ainvoke)


def answer_in(answer: AIMessage, shape: Shape[T]) -> T:
    """The object that an answer holds, in a call of the schema's name or in its text.

    Raises:
        StructuredOutputError: It holds none.
    """
    name = shape.spec.name
    calls = [call["args"] for call in answer.tool_calls if call["name"] == name]
    text = orjson.dumps(calls[0]) if calls else answer.text
    if not text:
        raise StructuredOutputError(f"the model gave no {name}{_why(answer)}", answer)
    try:
        return shape.read(text)
    except ValueError as error:
        what = f"the model's answer is no {name}{_why(answer)}: {error}"
        raise StructuredOutputError(what, answer) from error


def _why(answer: AIMessage) -> str:
    """What the answer itself says about why it is not what was asked for."""
    refusal = answer.additional_kwargs.get("refusal")
    if refusal:
        return f", it refused: {refusal}"
    for call in answer.invalid_tool_calls:
        return f", its arguments are malformed: {call['args']!r}"
    metadata = answer.response_metadata
    reason = metadata.get("finish_reason") or metadata.get("stop_reason")
    return f" (it stopped for {reason!r})" if reason else ""
