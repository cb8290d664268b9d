"""What most graphs with models need, ready made.

- `chat_agent_executor`: agents; `_agent_state`, `_agent_models`: their states
- `_model_source`, `_prompt`: which model answers, and what it is told besides the conversation
- `_react_nodes`, `_routes`: the nodes in which the model speaks, and where they lead
- `_conversation`: what a conversation tells
- `tool_node`: the node that carries out what a model calls; `_tool_input`: what it is asked, `_tool_answers`
  and `_tool_errors`: what the model is told
"""

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
