"""Messages between people, models and tools: plain values, and how they become other libraries' and back.

`_values` has the messages and `_parts` what they are made of; `_joining` and `_calls` join what comes in
pieces, `_coerce` and `_dicts` make messages of what stands for them, `_merge` has the rules by which a
conversation grows, `_openai` and `_anthropic` speak like the interfaces of those names, and `_shape` gives
messages the contents that OpenAI's has; `_pretty` is for people. `_duck` knows LangChain's messages where
they stand among ours, `_langchain` makes them of ours and back, and `_pydantic` has what models with
messages have to know.
"""

from aiograph.messages._anthropic import from_anthropic, to_anthropic
from aiograph.messages._coerce import MessageLike, coerce_message, coerce_messages
from aiograph.messages._merge import REMOVE_ALL_MESSAGES, merge_messages
from aiograph.messages._openai import from_openai, to_openai
from aiograph.messages._parts import (
    Content,
    InvalidToolCall,
    Part,
    ToolCall,
    ToolCallChunk,
    UsageMetadata,
)
from aiograph.messages._pretty import pretty_print, pretty_repr
from aiograph.messages._values import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    join_chunks,
)

__all__ = [
    "REMOVE_ALL_MESSAGES",
    "AIMessage",
    "AIMessageChunk",
    "AnyMessage",
    "Content",
    "HumanMessage",
    "InvalidToolCall",
    "Message",
    "MessageLike",
    "Part",
    "RemoveMessage",
    "SystemMessage",
    "ToolCall",
    "ToolCallChunk",
    "ToolMessage",
    "UsageMetadata",
    "coerce_message",
    "coerce_messages",
    "from_anthropic",
    "from_openai",
    "join_chunks",
    "merge_messages",
    "pretty_print",
    "pretty_repr",
    "to_anthropic",
    "to_openai",
]
