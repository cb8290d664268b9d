"""Conversations in the shape that OpenAI's chat completions have, as messages of either library. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from importlib import import_module
from typing import Any

from aiograph._ids import random_id
from aiograph.messages._calls import sort_calls
from aiograph.messages._dicts import read_call
from aiograph.messages._duck import changed
from aiograph.messages._openai import calls_in, openai_content, split_results
from aiograph.messages._values import Message, ToolMessage


def in_openai_shape(messages: Iterable[Any]) -> list[Any]:
    """The messages, with text or OpenAI's parts as their content, and their calls told beside it.

    Answers of tools in what a user says become messages of their own before it. The last message that one
    becomes keeps its id.
    """
    return [shaped for message in messages for shaped in _shaped(message)]


def _shaped(message: Any) -> Iterator[Any]:
    if isinstance(message.content, str):
        yield message
        return
    results, rest = split_results(message.content)
    for result in results:
        is_last = result is results[-1] and not rest
        yield _answer(message, result, message.id if is_last else random_id())
    if rest or not results:
        calls = _calls(message) if message.type == "ai" else {}
        yield changed(message, content=_text_if_possible(openai_content(rest)), **calls)


def _answer(message: Any, result: Mapping[str, Any], id: str) -> Any:
    """The answer of a tool as a message of the library that `message` is of."""
    cls: Any = ToolMessage
    if not isinstance(message, Message):
        cls = import_module("langchain_core.messages").ToolMessage
    content = _text_if_possible(openai_content(result.get("content") or ""))
    status = "error" if result.get("is_error") else "success"
    return cls(content, tool_call_id=result.get("tool_use_id") or "", id=id, status=status)


def _text_if_possible(content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    if isinstance(content, str) or any(part["type"] != "text" for part in content):
        return content
    return "\n".join(part["text"] for part in content)


def _calls(message: Any) -> dict[str, Any]:
    """The fields with calls, those among them that were told of in the content alone."""
    good, bad = sort_calls(map(read_call, calls_in(message)))
    return {
        "tool_calls": [*message.tool_calls, *good],
        "invalid_tool_calls": [*message.invalid_tool_calls, *bad],
    }
