"""Structured output: objects of a schema, from models that know how and from those that only call tools."""

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest
from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from aiograph.errors import StructuredOutputError
from aiograph.messages import AIMessage, AIMessageChunk
from aiograph.models import BaseChatModel, ModelRequest
from aiograph.testing import ScriptedModel
from aiograph.types import default_retry_on


class Visit(BaseModel):
    """A visit to a city."""

    city: str
    when: date
    nights: int = Field(default=1, ge=1)


@dataclass
class Place:
    city: str
    country: str = "FR"


class Pair(TypedDict):
    left: int
    right: int


PAIR = {"title": "pair", "type": "object", "properties": {"left": {"type": "integer"}}}


class Caller(BaseChatModel):
    """Knows nothing of schemas; calls the tool that it is forced to call."""

    def __init__(self, arguments: str) -> None:
        self.arguments = arguments
        self.requests: list[ModelRequest] = []

    async def _astream(self, request: ModelRequest) -> AsyncGenerator[AIMessageChunk, None]:
        self.requests.append(request)
        yield AIMessageChunk(
            "Sure:",
            tool_call_chunks=[{"name": request.tool_choice, "args": self.arguments, "id": "1", "index": 0}],
        )


@pytest.mark.parametrize(
    ("schema", "answer", "wanted"),
    [
        (Visit, {"city": "Rome", "when": "2026-05-01"}, Visit(city="Rome", when=date(2026, 5, 1))),
        (Place, {"city": "Paris"}, Place("Paris")),
        (Pair, {"left": 1, "right": 2}, {"left": 1, "right": 2}),
        (PAIR, {"left": 1}, {"left": 1}),
    ],
    ids=["pydantic", "dataclass", "typed dict", "json schema"],
)
async def test_an_answer_is_an_object_of_the_schema(
    schema: Any, answer: dict[str, Any], wanted: object
) -> None:
    keeping = ScriptedModel([answer]).with_structured_output(schema)
    calling = Caller(json.dumps(answer)).with_structured_output(schema)
    assert await keeping.ainvoke("q") == wanted
    assert await calling.ainvoke("q") == wanted


def test_it_has_a_synchronous_verb() -> None:
    assert ScriptedModel([{"city": "Rome"}]).with_structured_output(Place).invoke("q") == Place("Rome")


async def test_a_model_that_knows_schemas_is_told_of_it() -> None:
    model = ScriptedModel([Place("Rome")])
    await model.with_structured_output(Place).ainvoke("q")
    told = model.requests[0].response_schema
    assert told is not None
    assert (told.name, set(told.parameters["properties"])) == ("Place", {"city", "country"})


async def test_another_model_is_forced_to_call_it() -> None:
    model = Caller('{"city": "Rome"}')
    await model.with_structured_output(Place).ainvoke("q")
    (request,) = model.requests
    assert ([tool.name for tool in request.tools], request.tool_choice) == (["Place"], "Place")


def test_a_description_is_told() -> None:
    model = ScriptedModel([{"city": "Rome", "when": "2026-05-01"}])
    model.with_structured_output(Visit).invoke("q")
    assert model.requests[0].response_schema is not None
    assert model.requests[0].response_schema.description == "A visit to a city."


@pytest.mark.parametrize(
    "answer",
    ["not JSON", '{"city": 1}', "[]", '{"city": "Rome", "when": "soon"}'],
    ids=["text", "type", "list", "date"],
)
async def test_an_answer_that_is_none_is_an_error_with_the_answer(answer: str) -> None:
    with pytest.raises(StructuredOutputError, match="the model's answer is no Visit") as caught:
        await ScriptedModel([answer]).with_structured_output(Visit).ainvoke("q")
    assert caught.value.raw.content == answer
    assert caught.value.__cause__ is not None


async def test_no_answer_says_why_the_model_stopped() -> None:
    refused = AIMessage("", additional_kwargs={"refusal": "I must not."})
    ended = AIMessage("", response_metadata={"finish_reason": "length"})
    model = ScriptedModel([refused, ended]).with_structured_output(Visit)
    with pytest.raises(StructuredOutputError, match="gave no Visit, it refused: I must not"):
        await model.ainvoke("q")
    with pytest.raises(StructuredOutputError, match=r"gave no Visit \(it stopped for 'length'\)"):
        await model.ainvoke("q")


async def test_malformed_arguments_are_an_error_that_shows_them() -> None:
    model = Caller('{"city": "Ro').with_structured_output(Place)
    with pytest.raises(StructuredOutputError, match="malformed") as caught:
        await model.ainvoke("q")
    assert caught.value.raw.invalid_tool_calls[0]["args"] == '{"city": "Ro'


def test_a_wrong_answer_is_not_asked_for_again_by_default() -> None:
    assert not default_retry_on(StructuredOutputError("no", AIMessage("")))


@pytest.mark.parametrize("schema", [{"type": "array", "items": {}}, "Visit", 3, {"type": "object"}])
def test_what_describes_no_object_is_refused(schema: Any) -> None:
    with pytest.raises(TypeError, match="takes a Pydantic model, a dataclass"):
        ScriptedModel([]).with_structured_output(schema)


def test_a_name_has_only_letters_that_providers_take() -> None:
    model = ScriptedModel([{"left": 1}])
    model.with_structured_output({**PAIR, "title": "a pair of ints[2]"}).invoke("q")
    assert model.requests[0].response_schema is not None
    assert model.requests[0].response_schema.name == "a_pair_of_ints_2_"
