"""Messages as OpenAI's chat completions have them, and back. Pure.

What the format has no place for is left out: ids, what a provider tells of its answer, a model's thinking.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aiograph.messages._coerce import coerce_messages
from aiograph.messages._dicts import ROLE, message_from_dict
from aiograph.messages._duck import whole
from aiograph.messages._parts import Part, parts_of, text_of
from aiograph.messages._values import AnyMessage

_THOUGHTS = frozenset({"thinking", "redacted_thinking", "reasoning", "reasoning_content"})
_ELSEWHERE = frozenset({"tool_use", "tool_call", "tool_call_chunk", "input_json_delta", "invalid_tool_call"})
"""Parts that tell of calls, which are told of beside the content."""


def to_openai(messages: Any) -> list[dict[str, Any]]:
    """Messages for OpenAI's chat completions, or what speaks like them.

    Images that are told of as Anthropic or LangChain do become `image_url` parts; answers of tools in what
    a user says, as Anthropic has them, become messages of the role `tool`.

    Args:
        messages: What `coerce_messages` accepts.

    Raises:
        TypeError: Something is no message, or arguments of a call cannot be written as JSON.
        ValueError: A message has no place in a conversation (`RemoveMessage`), or is of an unknown kind.
    """
    return [shown for message in coerce_messages(messages) for shown in _shown(whole(message))]


def from_openai(message: Mapping[str, Any]) -> AnyMessage:
    """The message in a dict as OpenAI's chat completions have it.

    A call whose arguments are no JSON object becomes one of `invalid_tool_calls`. Keys that there is no
    field for, such as `refusal`, are kept in `additional_kwargs`.

    Raises:
        ValueError: The role is not known, or something is missing that it needs.
    """
    if "role" not in message:
        raise ValueError(f"a dict with the keys {sorted(map(str, message))} has no 'role'")
    return message_from_dict(message)


def _shown(message: Any) -> Iterator[dict[str, Any]]:
    show = _SHOWN.get(message.type)
    if show is None:
        raise ValueError(
            f"a message of the type {message.type!r} has no place in a conversation with a model"
        )
    yield from show(message)


def _human(message: Any) -> Iterator[dict[str, Any]]:
    """What a user says, after the answers of tools that are in there."""
    results, rest = split_results(message.content)
    for result in results:
        content = openai_content(result.get("content") or "")
        yield {"role": "tool", "tool_call_id": result.get("tool_use_id"), "content": content}
    if rest or not results:
        yield _named(message, {"role": "user", "content": openai_content(rest)})


def split_results(content: Any) -> tuple[Sequence[Mapping[str, Any]], Any]:
    """The answers of tools in what a user says, as Anthropic has them, and the content without them."""
    if isinstance(content, str):
        return (), content
    parts = parts_of(content)
    results = [part for part in parts if isinstance(part, Mapping) and part.get("type") == "tool_result"]
    return results, [part for part in parts if part not in results] if results else content


def _system(message: Any) -> Iterator[dict[str, Any]]:
    role = message.additional_kwargs.get(ROLE, "system")
    yield _named(message, {"role": role, "content": openai_content(message.content)})


def _ai(message: Any) -> Iterator[dict[str, Any]]:
    content = openai_content(message.content)
    calls = [_call(call) for call in (*message.tool_calls, *message.invalid_tool_calls)]
    calls += [_call(call) for call in calls_in(message)]
    shown: dict[str, Any] = {"role": "assistant", "content": content or (None if calls else "")}
    if calls:
        shown["tool_calls"] = calls
    if message.additional_kwargs.get("refusal"):
        shown["refusal"] = message.additional_kwargs["refusal"]
    yield _named(message, shown)


def _tool(message: Any) -> Iterator[dict[str, Any]]:
    content = openai_content(message.content)
    yield {"role": "tool", "tool_call_id": message.tool_call_id, "content": content}


_SHOWN = {"human": _human, "system": _system, "ai": _ai, "tool": _tool}


def _named(message: Any, shown: dict[str, Any]) -> dict[str, Any]:
    return {**shown, "name": message.name} if message.name else shown


# -- calls


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    args = call["args"]
    arguments = args if isinstance(args, str) else json.dumps(args or {}, ensure_ascii=False)
    function = {"name": call["name"] or "", "arguments": arguments}
    return {"id": call["id"], "type": "function", "function": function}


def calls_in(message: Any) -> Iterator[dict[str, Any]]:
    """Calls that are told of in the content alone, as Anthropic has them."""
    told = {call["id"] for call in (*message.tool_calls, *message.invalid_tool_calls)}
    for part in parts_of(message.content):
        if isinstance(part, Mapping) and part.get("type") == "tool_use" and part.get("id") not in told:
            yield {"name": part.get("name"), "args": part.get("input"), "id": part.get("id")}


# -- content


def openai_content(content: Any) -> str | list[dict[str, Any]]:
    """Content as text or as OpenAI's parts."""
    if isinstance(content, str):
        return content
    return [shown for part in parts_of(content) for shown in _part(part)]


def _part(part: Part) -> Iterable[dict[str, Any]]:
    text = text_of(part)
    if text is not None:
        return [{"type": "text", "text": text}]
    assert isinstance(part, Mapping)
    kind = part.get("type")
    if kind in _THOUGHTS or kind in _ELSEWHERE:
        return ()
    if kind == "image" and (url := image_url(part)) is not None:
        return [{"type": "image_url", "image_url": {"url": url}}]
    return [dict(part)]


def image_url(part: Mapping[str, Any]) -> str | None:
    """Where the image of a part is, as a URL that may hold it; `None` if that is not told in a known way."""
    source = part.get("source")
    told = source if isinstance(source, Mapping) else part
    if told.get("url"):
        return str(told["url"])
    data = told.get("data") or told.get("base64")
    kind = told.get("media_type") or told.get("mime_type") or "image/png"
    return f"data:{kind};base64,{data}" if data else None
