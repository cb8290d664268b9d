"""LangChain's tools as ours, by what they have and not by what they are: nothing is imported for it."""

import functools
import inspect
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, get_type_hints

from aiograph.messages import ToolMessage
from aiograph.messages._langchain import tool_message_of
from aiograph.tools._arguments import without_properties
from aiograph.tools._injected import Injection, ToolRuntime, injection_of
from aiograph.tools._spec import ToolSpec, without_titles
from aiograph.tools._tool import Tool
from aiograph.types import Command


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
    fields = schema.model_fields if hasattr(schema, "model_fields") else schema.__fields__  # of Pydantic 1
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
        self._tool = _letting_commands_through(tool)
        self._injected = injected
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
        id = runtime.tool_call_id or ""
        call = {"name": self._tool.name, "args": arguments, "id": id, "type": "tool_call"}
        return _ours(await self._tool.ainvoke(call, runtime.config))


# -- results -------------------------------------------------------------------------------------------


def _ours(result: Any) -> Any:
    """A message that a tool of LangChain has made, as one of ours."""
    if hasattr(result, "enclosed"):
        return result.enclosed
    if getattr(result, "type", None) != "tool" or isinstance(result, ToolMessage):
        return result
    return tool_message_of(result)


def _letting_commands_through(tool: Any) -> Any:
    """A copy of a tool of LangChain that does not make text of the commands that its function returns.

    A tool whose function is its own method is left as it is.
    """
    functions = {name: getattr(tool, name, None) for name in ("func", "coroutine")}
    enclosing = {name: _enclosing(fn) for name, fn in functions.items() if fn is not None}
    return tool.model_copy(update=enclosing) if enclosing else tool


def _enclosing(fn: Callable[..., Any]) -> Callable[..., Any]:
    base: Any = import_module("langchain_core.tools.base").ToolOutputMixin

    class Enclosed(base):  # type: ignore[misc]  # LangChain is there, as the tool is one of its
        def __init__(self, value: Any) -> None:
            self.enclosed = value

    def enclosed(result: Any) -> Any:
        is_ours = isinstance(result, list) and any(isinstance(each, Command) for each in result)
        return Enclosed(result) if is_ours or isinstance(result, Command) else result

    if inspect.iscoroutinefunction(fn):

        @functools.wraps(fn)
        async def acall(*args: Any, **kwargs: Any) -> Any:
            return enclosed(await fn(*args, **kwargs))

        return acall

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        return enclosed(fn(*args, **kwargs))

    return call
