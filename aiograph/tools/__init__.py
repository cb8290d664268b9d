"""Tools: what models may have called, made of functions, of LangChain's tools, and of MCP servers' (`mcp`).

- `_spec`: what a model is told
- `_docstring`, `_arguments`, `_typed_dicts`: what a function's docstring and signature tell; checking of
  arguments
- `_injected`, `_runtime`: what tools get that no model gives
- `_tool`: `Tool` and the decorator; `_langchain`, `_as_tool`: tools out of other things
- `_errors`: what can go wrong with a call
"""

from aiograph.tools._as_tool import as_tool, spec_of
from aiograph.tools._errors import ToolCallError, ToolInvocationError, ToolResultError, ToolTimeoutError
from aiograph.tools._injected import (
    InjectedState,
    InjectedStore,
    InjectedToolCallId,
    NothingToInjectError,
    ToolRuntime,
)
from aiograph.tools._spec import ToolSpec
from aiograph.tools._tool import Tool, tool

__all__ = [
    "InjectedState",
    "InjectedStore",
    "InjectedToolCallId",
    "NothingToInjectError",
    "Tool",
    "ToolCallError",
    "ToolInvocationError",
    "ToolResultError",
    "ToolRuntime",
    "ToolSpec",
    "ToolTimeoutError",
    "as_tool",
    "spec_of",
    "tool",
]
