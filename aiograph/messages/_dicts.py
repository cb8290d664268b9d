"""Messages in dicts: in the style of OpenAI's chat completions, or under the names of our fields. Pure."""

import json
from collections.abc import Mapping
from typing import Any

from aiograph.messages._calls import parse_call, sort_calls
from aiograph.messages._parts import InvalidToolCall, ToolCall
from aiograph.messages._values import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

ROLE = "__openai_role__"
"""In `additional_kwargs`: the role of a system message that had another one. LangChain's key."""

ACCEPTED = (
    "a message is one of aiograph's or LangChain's, a string (what the user says), a pair of role and "
    "content, or a dict with 'role' and 'content'"
)

_ROLES: Mapping[str, type[Message]] = {
    "human": HumanMessage,
    "user": HumanMessage,
    "ai": AIMessage,
    "assistant": AIMessage,
    "AIMessageChunk": AIMessageChunk,
    "system": SystemMessage,
    "developer": SystemMessage,
    "tool": ToolMessage,
    "remove": RemoveMessage,
}

_FIELDS: Mapping[type[Message], tuple[str, ...]] = {
    HumanMessage: (),
    SystemMessage: (),
    AIMessage: ("usage_metadata",),
    AIMessageChunk: ("usage_metadata", "tool_call_chunks"),
    ToolMessage: ("tool_call_id", "artifact", "status"),
}
"""What stands in a dict under the name of its field, beside what all messages have."""


def message_from_dict(given: Mapping[str, Any]) -> AnyMessage:
    """The message in a dict.

    Args:
        given: Has a `"role"` or a `"type"`. Keys that the message has no field for are kept in its
            `additional_kwargs`.

    Raises:
        ValueError: The role is not known, or something is missing that it needs.
    """
    role = given.get("role", given.get("type"))
    cls = _class_of(given, role)
    if cls is RemoveMessage:
        _require(given, role, "id")
        return RemoveMessage(given["id"])
    if cls is ToolMessage:
        _require(given, role, "tool_call_id")
    if not issubclass(cls, AIMessage):  # a model may say nothing but which tools it calls
        _require(given, role, "content")
    left = {key: value for key, value in given.items() if value is not None and key not in ("role", "type")}
    names = ("id", "name", "response_metadata", *_FIELDS[cls])
    fields = {name: left.pop(name) for name in names if name in left}
    content = left.pop("content", "")
    if issubclass(cls, AIMessage):
        fields |= _calls_from(left)
    fields["additional_kwargs"] = _extras(left, role)
    return cls(content, **fields)  # type: ignore[return-value]  # no class in the table is abstract


def _class_of(given: Mapping[str, Any], role: Any) -> type[Message]:
    if role is None:
        raise ValueError(f"a dict with the keys {_keys(given)} has no 'role': {ACCEPTED}")
    cls = _ROLES.get(role) if isinstance(role, str) else None
    if cls is None:
        known = ", ".join(repr(name) for name in _ROLES if name != AIMessageChunk.type)
        raise ValueError(f"the role {role!r:.100} is none of {known}")
    return cls


def _require(given: Mapping[str, Any], role: str, key: str) -> None:
    if key not in given:
        raise ValueError(f"a message of the role {role!r} needs {key!r}, and has {_keys(given)}")


def _keys(given: Mapping[str, Any]) -> list[str]:
    return sorted(map(str, given))


def _extras(left: Mapping[str, Any], role: str) -> dict[str, Any]:
    rest = {key: value for key, value in left.items() if key != "additional_kwargs" and value != []}
    mark = {ROLE: role} if role == "developer" else {}
    return {**mark, **left.get("additional_kwargs", {}), **rest}


# -- calls


def _calls_from(left: dict[str, Any]) -> dict[str, Any]:
    calls = [read_call(call) for call in left.pop("tool_calls", ())]
    good, bad = sort_calls([*calls, *left.pop("invalid_tool_calls", ())])
    return {"tool_calls": good, "invalid_tool_calls": bad}


def read_call(call: Any) -> ToolCall | InvalidToolCall:
    """A call in either style. What is no call at all does not end what can still be read."""
    if not isinstance(call, Mapping):
        return parse_call(None, json.dumps(call, default=repr), None)
    function = call.get("function")
    if isinstance(function, Mapping):
        return parse_call(function.get("name"), function.get("arguments"), call.get("id"))
    args = call.get("args", {})
    if isinstance(args, Mapping) and call.get("name"):
        return {"name": call["name"], "args": dict(args), "id": call.get("id"), "type": "tool_call"}
    return parse_call(call.get("name"), json.dumps(args, default=repr), call.get("id"))
