"""The strict form of JSON schemas."""

import pytest
from pydantic import BaseModel

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


def test_data_is_no_schema() -> None:
    schema = {"type": "object", "properties": {"x": {"enum": [{"type": "object"}]}}}
    made = strict_form(schema)
    assert made is not None
    assert made["properties"]["x"]["enum"] == [{"type": "object"}]
