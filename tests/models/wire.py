"""What the two providers put on the wire: whole answers, and the events of streamed ones."""

import json
from collections.abc import Sequence
from typing import Any

USAGE = {
    "prompt_tokens": 11,
    "completion_tokens": 5,
    "total_tokens": 16,
    "prompt_tokens_details": {"cached_tokens": 3},
    "completion_tokens_details": {"reasoning_tokens": 2},
}


# -- Chat Completions --------------------------------------------------------------------------------


def completion(content: str | None = None, *, finish: str = "stop", **message: Any) -> dict[str, Any]:
    """A whole answer."""
    choice = {
        "index": 0,
        "finish_reason": finish,
        "message": {"role": "assistant", "content": content, **message},
    }
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-test",
        "choices": [choice],
        "usage": USAGE,
    }


def openai_call(id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def openai_events(*deltas: dict[str, Any], finish: str | None = "stop", is_done: bool = True) -> list[str]:
    """The events of a streamed answer: one for each delta, then why it ended and what it used."""
    chunks = [_openai_chunk([{"index": 0, "delta": delta, "finish_reason": None}]) for delta in deltas]
    if finish is not None:
        chunks.append(_openai_chunk([{"index": 0, "delta": {}, "finish_reason": finish}]))
        chunks.append({**_openai_chunk([]), "usage": USAGE})
    events = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
    return [*events, "data: [DONE]\n\n"] if is_done else events


def _openai_chunk(choices: Sequence[Any]) -> dict[str, Any]:
    shared = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-test"}
    return {**shared, "choices": choices}


def openai_call_deltas(*calls: tuple[str, str, str], size: int = 3) -> list[dict[str, Any]]:
    """Deltas that write calls of `(id, name, arguments)` at once, a few characters at a time."""
    begun = [
        {
            "tool_calls": [
                {"index": index, "id": id, "type": "function", "function": {"name": name, "arguments": ""}}
            ]
        }
        for index, (id, name, _) in enumerate(calls)
    ]
    longest = max(len(arguments) for *_, arguments in calls)
    written = [
        {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}
        for start in range(0, longest, size)
        for index, (*_, arguments) in enumerate(calls)
        if (piece := arguments[start : start + size])
    ]
    return [*begun, *written]


# -- Messages ----------------------------------------------------------------------------------------


def message(*blocks: dict[str, Any], stop: str = "end_turn") -> dict[str, Any]:
    """A whole answer."""
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-test",
        "content": list(blocks),
        "stop_reason": stop,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 10,
            "output_tokens": 7,
            "cache_read_input_tokens": 4,
            "cache_creation_input_tokens": 2,
        },
    }


def anthropic_events(
    *blocks: Sequence[dict[str, Any]], stop: str = "end_turn", is_whole: bool = True
) -> list[str]:
    """The events of a streamed answer; a block is how it starts, and its deltas."""
    begun = message()
    begun = {**begun, "stop_reason": None, "usage": {**begun["usage"], "output_tokens": 1}}
    events: list[dict[str, Any]] = [{"type": "message_start", "message": begun}, {"type": "ping"}]
    for index, (start, *deltas) in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": start})
        events += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        events.append({"type": "content_block_stop", "index": index})
    if is_whole:
        ending = {"stop_reason": stop, "stop_sequence": None}
        events.append({"type": "message_delta", "delta": ending, "usage": {"output_tokens": 7}})
        events.append({"type": "message_stop"})
    return [anthropic_event(event) for event in events]


def anthropic_event(event: dict[str, Any]) -> str:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n"


def text_block(*pieces: str) -> list[dict[str, Any]]:
    return [{"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces)]


def call_block(id: str, name: str, arguments: str, size: int = 3) -> list[dict[str, Any]]:
    pieces = [arguments[start : start + size] for start in range(0, len(arguments), size)]
    deltas = [{"type": "input_json_delta", "partial_json": piece} for piece in ("", *pieces)]
    return [{"type": "tool_use", "id": id, "name": name, "input": {}}, *deltas]


def thinking_block(*pieces: str, signature: str) -> list[dict[str, Any]]:
    deltas = [{"type": "thinking_delta", "thinking": piece} for piece in pieces]
    start = {"type": "thinking", "thinking": "", "signature": ""}
    return [start, *deltas, {"type": "signature_delta", "signature": signature}]
