"""Messages of ours as LangChain's, and the other way. Whoever has one of LangChain's has LangChain."""

from importlib import import_module
from typing import Any

from aiograph.messages._values import AIMessageChunk, Message, ToolMessage

_CLASSES = {"human": "HumanMessage", "ai": "AIMessage", "system": "SystemMessage", "tool": "ToolMessage"}

_FIELDS = ("id", "name", "additional_kwargs", "response_metadata")
"""What all messages have beside their content."""

_OWN_FIELDS: dict[str, tuple[str, ...]] = {
    "ai": ("tool_calls", "invalid_tool_calls", "usage_metadata"),
    "tool": ("tool_call_id", "artifact", "status"),
}


def to_langchain(messages: Any) -> Any:
    """A conversation in which messages of ours are LangChain's; all else is LangChain's to understand.

    Raises:
        ImportError: LangChain is not installed.
        TypeError: There is a message that is not said to a model.
    """
    if not isinstance(messages, list | tuple):
        return as_langchains(messages) if isinstance(messages, Message) else messages
    if not any(isinstance(message, Message) for message in messages):
        return messages
    return [as_langchains(each) if isinstance(each, Message) else each for each in messages]


def as_langchains(message: Message) -> Any:
    """A message of ours as one of LangChain's; a piece becomes what it amounts to so far.

    Raises:
        ImportError: LangChain is not installed.
        TypeError: It is none that is said to a model.
    """
    if isinstance(message, AIMessageChunk):
        message = message.message()
    if message.type not in _CLASSES:
        raise TypeError(f"{message!r} cannot be said to a model")
    names = (*_FIELDS, *_OWN_FIELDS.get(message.type, ()))
    content = message.content if isinstance(message.content, str) else list(message.content)
    make = getattr(import_module("langchain_core.messages"), _CLASSES[message.type])
    return make(content=content, **{name: getattr(message, name) for name in names})


def tool_message_of(message: Any) -> ToolMessage:
    """A tool's message of LangChain as one of ours."""
    names = ("content", *_FIELDS, *_OWN_FIELDS["tool"])
    return ToolMessage(**{name: getattr(message, name) for name in names})
