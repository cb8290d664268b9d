"""Tools out of whatever people pass as one, and what models are told of them."""

from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, Field

from aiograph.graph import START, MessagesState, StateGraph
from aiograph.tools import ToolSpec, as_tool, spec_of, tool
from aiograph.tools._docstring import read_docstring


def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


def test_a_tool_stays_what_it_is() -> None:
    made = tool(add)
    assert as_tool(made) is made
    assert spec_of(made) is made.spec
    assert spec_of(made.spec) is made.spec


def test_a_function_becomes_a_tool() -> None:
    assert as_tool(add).invoke({"a": 1, "b": 2}) == 3


SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}}


@pytest.mark.parametrize(
    "given",
    [
        {"type": "function", "function": {"name": "f", "description": "F.", "parameters": SCHEMA}},
        {"name": "f", "description": "F.", "parameters": SCHEMA},
        {"name": "f", "description": "F.", "input_schema": SCHEMA},
    ],
)
def test_a_dict_may_describe_a_function(given: dict[str, Any]) -> None:
    assert spec_of(given) == ToolSpec("f", "F.", SCHEMA)
    assert not as_tool(given).is_called_here


@pytest.mark.parametrize(
    ("given", "name"),
    [({"type": "web_search"}, "web_search"), ({"type": "web_search_20260101", "name": "search"}, "search")],
)
def test_a_dict_may_name_what_a_provider_has(given: dict[str, Any], name: str) -> None:
    spec = spec_of(given)
    assert (spec.name, spec.provided) == (name, given)
    with pytest.raises(TypeError, match="runs at the model's provider"):
        as_tool(given)()


def test_a_dict_has_to_say_what_it_is() -> None:
    with pytest.raises(ValueError, match=r"needs a 'name' or a 'type'; this one has \['x'\]"):
        as_tool({"x": 1})


class Answer(BaseModel):
    """An answer."""

    text: str = Field(description="in full")


class Place(TypedDict):
    """A place."""

    lat: float


@pytest.mark.parametrize(("cls", "key"), [(Answer, "text"), (Place, "lat")])
def test_a_class_describes_what_a_model_may_fill_in(cls: type, key: str) -> None:
    spec = spec_of(cls)
    assert (spec.name, spec.description) == (cls.__name__, cls.__doc__)
    assert list(spec.parameters["properties"]) == spec.parameters["required"] == [key]
    assert "title" not in spec.parameters


def test_what_does_not_say_what_it_takes_is_refused() -> None:
    graph = StateGraph(MessagesState).add_node("n", lambda state: {}).add_edge(START, "n").compile()
    with pytest.raises(TypeError, match="does not say what it takes: call it in a function"):
        as_tool(graph)


# -- docstrings ----------------------------------------------------------------------------------------


def test_a_docstring_is_taken_apart() -> None:
    described = read_docstring(
        """Finds.

        More: of it.

        Args:
            one: first
                line: still the first
            *rest: the others

            two (int, optional): second

        Returns:
            three: not a parameter
        """
    )
    assert described.text == "Finds.\n\nMore: of it."
    assert described.parameters == {
        "one": "first line: still the first",
        "rest": "the others",
        "two": "second",
    }


@pytest.mark.parametrize("doc", ["", "Only text.", "Args:\nnot indented: so no parameter"])
def test_a_docstring_need_not_have_sections(doc: str) -> None:
    assert read_docstring(doc).parameters == {}


def test_text_after_the_section_is_no_parameter() -> None:
    assert read_docstring("A.\n\nArgs:\n    x: the x\nAnd y: no").parameters == {"x": "the x"}
