"""LangChain's tools as ours, by what they have and not by what they are: nothing is imported for it."""

from collections.abc import Mapping
from typing import Any, get_type_hints

from aiograph.tools._arguments import without_properties
from aiograph.tools._injected import Injection, ToolRuntime, injection_of
from aiograph.tools._spec import ToolSpec, without_titles
from aiograph.tools._tool import Tool


def is_langchain_tool(value: Any) -> bool:
    """Whether a value has what tools of LangChain have."""
    return hasattr(value, "ainvoke") and hasattr(value, "args_schema") and isinstance(value.name, str)


def tool_of_langchain(value: Any) -> Tool:
    """A tool of LangChain as one of ours."""
    full = value.args_schema or value.get_input_schema()
    injected = _injections(full)
    shown = getattr(value, "tool_call_schema", None) or full
    caller = _Caller(value, full, injected)
    return Tool(
        spec=ToolSpec(value.name, value.description or "", without_properties(_shown(shown), injected)),
        function=caller,
        keywords=caller.keywords,
        injected=frozenset(injected),
        return_direct=bool(getattr(value, "return_direct", False)),
    )


def _injections(schema: Any) -> dict[str, Injection]:
    if isinstance(schema, Mapping):
        return {}
    hints = get_type_hints(schema, include_extras=True)
    fields = getattr(schema, "model_fields", None) or getattr(schema, "__fields__", {})
    found = {name: injection_of(hints.get(name)) for name in fields}
    return {name: injection for name, injection in found.items() if injection is not None}


def _shown(schema: Any) -> dict[str, Any]:
    if isinstance(schema, Mapping):
        return dict(schema)
    make = getattr(schema, "model_json_schema", None) or schema.schema  # of Pydantic 1
    without: dict[str, Any] = without_titles(make())
    without.pop("description", None)  # the tool has it
    return without


class _Caller:
    """Calls a tool of LangChain with what a model has given and what is injected."""

    def __init__(self, tool: Any, schema: Any, injected: Mapping[str, Injection]) -> None:
        self._tool = tool
        self._injected = injected
        self._makes_message = _makes_message(tool)
        # it checks its arguments itself, but then what is wrong with them could not be told from other faults
        handles = getattr(tool, "handle_validation_error", False)
        self._check = None if handles else getattr(schema, "model_validate", None)

    def keywords(self, given: Mapping[str, Any], runtime: ToolRuntime[Any, Any]) -> dict[str, Any]:
        """What it is called with; raises Pydantic's `ValidationError` if a model has given what is wrong."""
        arguments = {name: value for name, value in given.items() if name not in self._injected}
        for name, injection in self._injected.items():
            if injection.value is not None:
                arguments[name] = injection.value(runtime)
        if self._check is not None:
            self._check(arguments)
        return {"arguments": arguments, "runtime": runtime}

    async def __call__(self, arguments: Mapping[str, Any], runtime: ToolRuntime[Any, Any]) -> Any:
        if not self._makes_message:
            return await self._tool.ainvoke(arguments, runtime.config)
        call = {"name": self._tool.name, "args": arguments, "id": runtime.tool_call_id, "type": "tool_call"}
        return await self._tool.ainvoke(call, runtime.config)


def _makes_message(tool: Any) -> bool:
    """Whether a tool has to make its own message: it has artifacts, or answers to errors.

    The others are called with arguments alone, as no command of ours would be found in their messages.
    """
    has_policy = any(getattr(tool, f"handle_{kind}_error", False) for kind in ("tool", "validation"))
    return has_policy or getattr(tool, "response_format", "content") != "content"
