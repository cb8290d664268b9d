"""What a model is told about a tool. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """What a model is told about a tool."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})
    """A JSON schema of the arguments that the model may give."""
    provided: Mapping[str, Any] | None = None
    """For a tool that runs at the model's provider: what it is to be sent, as it is."""

    def as_openai_tool(self) -> Mapping[str, Any]:
        """The tool as OpenAI's interface, and LangChain's `bind_tools`, take it."""
        if self.provided is not None:
            return self.provided
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": function}


def spec_of_dict(given: Mapping[str, Any]) -> ToolSpec:
    """What a dict describes: a function in the form of OpenAI or Anthropic, or something a provider knows.

    Raises:
        ValueError: It has neither a name nor a type.
    """
    function = given.get("function") if given.get("type") == "function" else None
    described = function if isinstance(function, Mapping) else given
    parameters = described.get("parameters") or described.get("input_schema")
    name = described.get("name") or given.get("type")
    if not isinstance(name, str):
        raise ValueError(f"a tool that is a dict needs a 'name' or a 'type'; this one has {sorted(given)}")
    if not isinstance(parameters, Mapping):
        return ToolSpec(name, str(described.get("description") or ""), provided=given)
    return ToolSpec(name, str(described.get("description") or ""), parameters)


_NAMED = ("properties", "$defs", "definitions", "patternProperties")


def without_titles(schema: Any) -> Any:
    """A JSON schema without the titles that Pydantic makes of names; they only cost tokens."""
    if isinstance(schema, list):
        return [without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _within(key, value) for key, value in schema.items() if key != "title"}


def _within(key: str, value: Any) -> Any:
    if key in _NAMED and isinstance(value, dict):
        return {name: without_titles(each) for name, each in value.items()}
    return value if key in ("default", "const", "enum", "examples") else without_titles(value)
