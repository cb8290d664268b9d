"""Messages as people read them, whichever library they are of. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

_WIDTH = 80


def pretty_repr(message: Any) -> str:
    """A message as lines of text under a title: what is said, then the calls of tools.

    Args:
        message: One of ours, or of LangChain's.
    """
    return "\n".join(_lines(message))


def pretty_print(message: Any) -> None:
    """Prints a message; see `pretty_repr`."""
    print(pretty_repr(message))


def _lines(message: Any) -> Iterator[str]:
    yield _title(message.type)
    if message.name:
        yield f"Name: {message.name}"
    said = message.id if message.type == "remove" else message.content
    if said or message.name is None:
        yield f"\n{said}"
    yield from _call_lines("Tool Calls", getattr(message, "tool_calls", ()))
    yield from _call_lines("Invalid Tool Calls", getattr(message, "invalid_tool_calls", ()))


def _title(kind: str) -> str:
    name = _TITLES.get(kind, kind.title())
    return f" {name} Message ".center(_WIDTH, "=")


_TITLES = {"ai": "AI", "AIMessageChunk": "AI (piece of a)"}


def _call_lines(title: str, calls: Any) -> Iterator[str]:
    if not calls:
        return
    yield f"{title}:"
    for call in calls:
        yield f"  {call['name']} ({call['id']})"
        if call.get("error"):
            yield f"  Error: {call['error']}"
        yield "  Args:"
        args = call["args"]
        if isinstance(args, Mapping):
            yield from (f"    {name}: {value}" for name, value in args.items())
        else:
            yield f"    {args}"
