"""Tools out of whatever people pass as one."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, cast

from aiograph.tools._arguments import json_schema
from aiograph.tools._langchain import is_langchain_tool, tool_of_langchain
from aiograph.tools._spec import ToolSpec, spec_of_dict
from aiograph.tools._tool import Tool, tool


def as_tool(value: Any) -> Tool:
    """What is passed where a tool is wanted, as a `Tool`.

    Args:
        value: A `Tool`, a function, a tool of LangChain, a Pydantic model or another class with annotated
            fields (which a model can call and nobody carries out), or a dict, for a tool that runs at the
            model's provider.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
        TypeError: It is none of these.
        ValueError: It has no name or no description.
    """
    if isinstance(value, Tool):
        return value
    if isinstance(value, Mapping):
        return Tool(spec=spec_of_dict(value))
    if inspect.isclass(value):
        return Tool(spec=spec_of_type(value))
    if is_langchain_tool(value):
        return tool_of_langchain(value)
    if hasattr(value, "ainvoke"):
        raise TypeError(
            f"{value!r} does not say what it takes: call it in a function with a docstring, and pass that"
        )
    made: Tool = tool(cast("Callable[..., Any]", value))
    return made


def spec_of(value: Any) -> ToolSpec:
    """What a model is told of whatever is passed as a tool; see `as_tool`."""
    return value if isinstance(value, ToolSpec) else as_tool(value).spec


def spec_of_type(cls: type) -> ToolSpec:
    """A class with annotated fields as something that a model can call: its fields are the arguments.

    Raises:
        MissingExtraError: The `schema` extra is not installed.
    """
    schema = json_schema(cls)
    description = schema.pop("description", None) or inspect.getdoc(cls) or ""
    return ToolSpec(cls.__name__, description, schema)
