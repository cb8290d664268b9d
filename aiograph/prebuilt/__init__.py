"""What most graphs with models need, ready made."""

from aiograph.prebuilt.chat_agent_executor import create_react_agent
from aiograph.prebuilt.tool_node import (
    InjectedState,
    InjectedStore,
    InjectedToolCallId,
    ToolNode,
    ToolRuntime,
    tools_condition,
)

__all__ = [
    "InjectedState",
    "InjectedStore",
    "InjectedToolCallId",
    "ToolNode",
    "ToolRuntime",
    "create_react_agent",
    "tools_condition",
]
