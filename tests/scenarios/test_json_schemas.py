"""What goes into a graph and comes out of it, as JSON schemas and Pydantic models."""

import operator
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NotRequired, Required, TypedDict

import pytest
from pydantic import BaseModel, Field, ValidationError

from aiograph.channels import LastValue, Topic
from aiograph.errors import MissingExtraError
from aiograph.graph import START, StateGraph
from aiograph.managed import RemainingSteps
from aiograph.pregel import NodeBuilder, Pregel


class Connection:
    """A type that Pydantic knows nothing of."""


class Message(TypedDict):
    role: Literal["user", "model"]
    replies: "list[Message]"


class Chat(TypedDict):
    """A conversation."""

    messages: Annotated[list[Message], operator.add]
    score: NotRequired[int | None]
    tags: Annotated[list[str], Topic(str)]
    depth: Annotated[int, Field(gt=0), max]
    connection: Connection
    remaining: RemainingSteps


@dataclass
class Job:
    """A job."""

    item: str
    remaining: RemainingSteps
    connection: Connection | None = None
    log: Annotated[list[Message], operator.add] = field(default_factory=list)
    amount: int = 7


class Order(BaseModel):
    """An order."""

    item: str
    log: Annotated[list[str], operator.add] = []


class Hurried(BaseModel):
    item: str
    remaining: RemainingSteps


class Node(TypedDict):
    next: "Node | None"


class Family(TypedDict, total=False):
    favourite: NotRequired[Node]
    all: Required[list[Node]]


def compiled(schema: Any, **schemas: Any) -> Any:
    return StateGraph(schema, **schemas).add_node("a", lambda state: None).add_edge(START, "a").compile()


MESSAGE = {
    "properties": {
        "role": {"enum": ["user", "model"], "title": "Role", "type": "string"},
        "replies": {"items": {"$ref": "#/$defs/Message"}, "title": "Replies", "type": "array"},
    },
    "required": ["role", "replies"],
    "title": "Message",
    "type": "object",
}


def test_a_typed_dict_without_what_is_the_engines() -> None:
    assert compiled(Chat).get_input_jsonschema() == {
        "$defs": {"Message": MESSAGE},
        "description": "A conversation.",
        "properties": {
            "messages": {"items": {"$ref": "#/$defs/Message"}, "title": "Messages", "type": "array"},
            "score": {"anyOf": [{"type": "integer"}, {"type": "null"}], "title": "Score"},
            "tags": {"items": {"type": "string"}, "title": "Tags", "type": "array"},
            "depth": {"exclusiveMinimum": 0, "title": "Depth", "type": "integer"},
            "connection": {"title": "Connection"},
        },
        "required": ["messages", "tags", "depth", "connection"],
        "title": "Chat",
        "type": "object",
    }


def test_a_dataclass_with_its_defaults() -> None:
    found = compiled(Job).get_input_jsonschema()
    assert found["description"] == "A job."
    assert found["required"] == ["item"]
    assert [*found["properties"]] == ["item", "connection", "log", "amount"]
    assert found["properties"]["amount"]["default"] == 7
    assert found["$defs"] == {"Message": MESSAGE}


def test_a_pydantic_model_as_pydantic_describes_it() -> None:
    graph = compiled(Order)
    assert graph.get_input_jsonschema() == Order.model_json_schema()
    assert graph.get_input_schema() is Order


def test_a_model_loses_its_managed_values() -> None:
    graph = compiled(Hurried)
    assert [*graph.get_input_jsonschema()["properties"]] == ["item"]
    assert graph.get_input_schema()(item="x").item == "x"


def test_a_state_of_one_value() -> None:
    assert compiled(Annotated[list[int], operator.add]).get_output_jsonschema() == {
        "items": {"type": "integer"},
        "type": "array",
    }


def test_a_value_of_an_unknown_type_may_be_anything() -> None:
    assert compiled(Annotated[Connection, LastValue]).get_input_jsonschema() == {}


def test_a_schema_that_contains_itself() -> None:
    found = compiled(Node).get_input_jsonschema()
    assert found["$defs"]["Node"]["properties"]["next"]["anyOf"][0] == {"$ref": "#/$defs/Node"}


def test_keys_that_say_whether_they_are_required_may_hold_typed_dicts() -> None:
    found = compiled(Family).get_input_jsonschema()
    assert found["properties"]["favourite"] == {"$ref": "#/$defs/Node"}
    assert found["properties"]["all"]["items"] == {"$ref": "#/$defs/Node"}
    assert found["required"] == ["all"]


def test_input_output_and_context_have_schemas_of_their_own() -> None:
    graph = compiled(Chat, input_schema=Node, output_schema=Order, context_schema=Message)
    assert graph.get_input_jsonschema()["$ref"] == "#/$defs/Node"
    assert graph.get_output_jsonschema()["title"] == "Order"
    assert graph.get_context_jsonschema()["$ref"] == "#/$defs/Message"
    assert graph.get_output_schema() is Order


def test_without_a_context_schema_there_is_none() -> None:
    assert compiled(Order).get_context_jsonschema() is None


def test_a_model_made_of_a_typed_dict_validates_input() -> None:
    model = compiled(Node).get_input_schema()
    assert model.__name__ == "Node"
    assert model.model_validate({"next": {"next": None}}).model_dump() == {"next": {"next": None}}
    with pytest.raises(ValidationError):
        model.model_validate({"next": 3})


def test_a_graph_of_channels_is_described_by_their_types() -> None:
    graph: Pregel[Any, Any, Any, Any] = Pregel(
        nodes={"a": NodeBuilder().subscribe_only("word").do(len).write_to("lengths")},
        channels={"word": LastValue(str), "lengths": Topic(int)},
        input_channels="word",
        output_channels=["word", "lengths"],
    )
    assert graph.get_input_jsonschema() == {"type": "string"}
    assert graph.get_output_jsonschema() == {
        "properties": {
            "word": {"title": "Word", "type": "string"},
            "lengths": {"items": {"type": "integer"}, "title": "Lengths", "type": "array"},
        },
        "title": "Output",
        "type": "object",
    }
    assert graph.get_context_jsonschema() is None


@pytest.mark.parametrize(
    "ask", [Pregel.get_input_jsonschema, Pregel.get_output_jsonschema, Pregel.get_input_schema]
)
def test_without_the_extra_the_error_names_it(
    ask: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = compiled(Chat)
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(MissingExtraError, match=r"the schema of a graph needs the 'schema' extra"):
        ask(graph)
