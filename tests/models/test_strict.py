"""The strict form of JSON schemas."""

from typing import Literal

import pytest
from pydantic import BaseModel, Field

from aiograph.models._strict import strict_form


class Leaf(BaseModel):
    default: str = "x"


class Tree(BaseModel):
    leaves: list[Leaf] = []
    left: "Tree | None" = None


def test_every_property_is_required_and_no_other_allowed() -> None:
    made = strict_form(Tree.model_json_schema())
    assert made is not None
    tree, leaf = made["$defs"]["Tree"], made["$defs"]["Leaf"]
    assert (tree["required"], tree["additionalProperties"]) == (["leaves", "left"], False)
    assert (leaf["required"], leaf["additionalProperties"]) == (["default"], False)


def test_defaults_go_but_properties_of_that_name_stay() -> None:
    made = strict_form(Leaf.model_json_schema())
    assert made is not None
    assert "default" in made["properties"]
    assert "default" not in made["properties"]["default"]


def test_the_schema_itself_is_left_as_it_was() -> None:
    schema = Tree.model_json_schema()
    strict_form(schema)
    assert schema == Tree.model_json_schema()


@pytest.mark.parametrize(
    "open_object",
    [
        {"type": "object"},
        {"type": "object", "additionalProperties": {"type": "integer"}},
        {"type": "object", "properties": {}, "additionalProperties": True},
    ],
)
def test_objects_with_keys_of_any_name_have_none(open_object: dict[str, object]) -> None:
    assert strict_form(open_object) is None
    assert strict_form({"type": "object", "properties": {"inside": open_object}}) is None


def test_a_reference_stands_alone() -> None:
    class Described(BaseModel):
        leaf: Leaf = Field(description="the only one")

    made = strict_form(Described.model_json_schema())
    assert made is not None
    assert made["properties"]["leaf"] == {"description": "the only one", "anyOf": [{"$ref": "#/$defs/Leaf"}]}


def test_a_recursive_model_keeps_the_reference_at_its_root() -> None:
    made = strict_form(Tree.model_json_schema())
    assert made is not None
    assert made["$ref"] == "#/$defs/Tree"


def test_a_union_with_a_mark_is_said_in_other_words() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Owner(BaseModel):
        pet: Cat | Dog = Field(discriminator="kind")

    made = strict_form(Owner.model_json_schema())
    assert made is not None
    assert set(made["properties"]["pet"]) == {"anyOf", "title"}


def test_a_tuple_has_none() -> None:
    class Line(BaseModel):
        ends: tuple[int, int]

    assert strict_form(Line.model_json_schema()) is None


def test_data_is_no_schema() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": [{"type": "object"}]}}}
    made = strict_form(schema)
    assert made is not None
    assert made["properties"]["x"]["enum"] == [{"type": "object"}]
