"""Calls of tools as models write them: JSON that comes in pieces, and may be no JSON at all. Pure."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn, cast

from aiograph.messages._parts import InvalidToolCall, ToolCall, ToolCallChunk


def parse_call(name: str | None, arguments: str | None, id: str | None) -> ToolCall | InvalidToolCall:
    """A call whose arguments are JSON text; no text at all stands for no arguments.

    What cannot be called becomes an `InvalidToolCall` that says why: its `"type"` tells the two apart.
    """
    args, error = _arguments(arguments)
    if not error and not name:
        error = "it does not name a tool"
    if args is None or error or not name:
        return {"name": name, "args": arguments, "id": id, "error": error, "type": "invalid_tool_call"}
    return {"name": name, "args": args, "id": id, "type": "tool_call"}


def sort_calls(calls: Iterable[ToolCall | InvalidToolCall]) -> tuple[list[ToolCall], list[InvalidToolCall]]:
    """Calls that can be made, and those that cannot."""
    good: list[ToolCall] = []
    bad: list[InvalidToolCall] = []
    for call in calls:
        if "error" in call:
            bad.append(cast("InvalidToolCall", call))
        else:
            good.append(call)
    return good, bad


def join_call_chunks(chunks: Iterable[ToolCallChunk]) -> list[ToolCallChunk]:
    """Pieces of calls, joined to as few as there are calls, in the order in which the calls begin."""
    joined: list[ToolCallChunk] = []
    for chunk in chunks:
        place = _place(joined, chunk)
        if place is None:
            joined.append(chunk)
        else:
            joined[place] = _continued(joined[place], chunk)
    return joined


def parse_call_chunks(chunks: Iterable[ToolCallChunk]) -> list[ToolCall | InvalidToolCall]:
    """The calls that pieces amount to when no more of them follow."""
    return [parse_call(chunk["name"], chunk["args"], chunk["id"]) for chunk in join_call_chunks(chunks)]


def _place(joined: Sequence[ToolCallChunk], chunk: ToolCallChunk) -> int | None:
    """Where the call stands that a piece goes on with; `None` if it begins one.

    A piece with a new id begins a call, whatever its index is: some servers give every call the index 0.
    """
    index, id = chunk.get("index"), chunk.get("id")
    for place in range(len(joined) - 1, -1, -1):
        if index is None or joined[place].get("index") == index:
            return place if id is None or joined[place].get("id") == id else None
    return None


def _continued(begun: ToolCallChunk, more: ToolCallChunk) -> ToolCallChunk:
    args = [piece for piece in (begun.get("args"), more.get("args")) if piece is not None]
    return {
        "name": begun.get("name") or more.get("name"),
        "args": "".join(args) if args else None,
        "id": begun.get("id") or more.get("id"),
        "index": begun.get("index"),
        "type": "tool_call_chunk",
    }


def _arguments(text: str | None) -> tuple[dict[str, Any] | None, str | None]:
    """The arguments, or what is wrong with them."""
    if text is None or not text.strip():
        return {}, None
    try:
        args = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        return None, f"its arguments are no JSON: {error}"
    if not isinstance(args, dict):
        return None, f"its arguments have to be a JSON object, and are {_JSON_NAMES[type(args)]}"
    return args, None


_JSON_NAMES = {
    list: "an array",
    str: "a string",
    int: "a number",
    float: "a number",
    bool: "true or false",
    type(None): "null",
}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
