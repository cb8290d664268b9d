"""Messages of either library: what tells that something is one, and how one is changed. Pure.

LangChain is imported only once one of its pieces of messages is met; then it is there.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from importlib import import_module
from operator import add
from typing import Any

from aiograph.messages._values import AIMessageChunk, Message, join_chunks

ATTRIBUTES = frozenset({"type", "content", "id", "additional_kwargs"})
"""What tells a message of LangChain's; those that SDKs of providers have lack the last."""


def is_message(thing: Any) -> bool:
    """Whether something is a message, of ours or of LangChain's."""
    return isinstance(thing, Message) or all(hasattr(thing, name) for name in ATTRIBUTES)


def is_removal(message: Any) -> bool:
    """Whether a message removes another."""
    return bool(message.type == "remove")


def is_chunk(message: Any) -> bool:
    """Whether a message is a piece of one."""
    return bool(message.type.endswith("Chunk"))


def whole(message: Any) -> Any:
    """A message, or the message that a piece of one is when no other follows."""
    if not is_chunk(message):
        return message
    if isinstance(message, AIMessageChunk):
        return message.message()
    return import_module("langchain_core.messages").message_chunk_to_message(message)


def changed(message: Any, **fields: Any) -> Any:
    """A copy of a message, of either library, with other values of some fields."""
    if isinstance(message, Message):
        return replace(message, **fields)
    return message.model_copy(update=fields)


def joined(chunks: Sequence[Any]) -> Any:
    """Pieces of one message, of one library, as one piece; a message alone is itself."""
    if len(chunks) == 1:
        return chunks[0]
    return join_chunks(chunks) if isinstance(chunks[0], AIMessageChunk) else reduce(add, chunks)
