"""The events of an answer that Anthropic streams, as chunks. Knows no connection.

Text is plain content. A call of a tool is told of in `tool_call_chunks`, all other blocks are parts of the
content: thinking, and text with citations, in pieces that join by `"index"`, and what tools at the provider
say in one piece.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from aiograph.messages import AIMessageChunk, ToolCallChunk, UsageMetadata


class AnswerReader:
    """Reads one answer, event by event."""

    def __init__(self) -> None:
        self.is_finished = False
        """Whether the last event has come."""
        self._told: dict[str, Any] = {}
        self._usage: dict[str, Any] = {}
        self._cited: set[int] = set()
        """Blocks of text that has citations, by index."""
        self._closed_blocks: dict[int, dict[str, Any]] = {}
        """Blocks that are passed on in one piece, by index, with the JSON of their input so far."""

    def read(self, event: Any) -> AIMessageChunk | None:
        """What an event adds to the answer; `None` if nothing."""
        read = self._READERS.get(event.type)
        return None if read is None else read(self, event)

    def _start(self, event: Any) -> None:
        self._told = {"id": event.message.id, "model": event.message.model}
        self._note_usage(event.message.usage)

    def _start_block(self, event: Any) -> AIMessageChunk | None:
        block = event.content_block
        match block.type:
            case "text" if block.citations is not None:
                self._cited.add(event.index)
                return _part(event.index, _shown(block))
            case "text":
                return AIMessageChunk(block.text) if block.text else None
            case "tool_use":
                args = orjson.dumps(block.input).decode() if block.input else ""
                return _call(event.index, args, name=block.name, id=block.id)
            case "thinking" | "redacted_thinking":
                return _part(event.index, _shown(block))
        self._closed_blocks[event.index] = {"block": _shown(block), "json": ""}
        return None

    def _go_on(self, event: Any) -> AIMessageChunk | None:
        delta = event.delta
        match delta.type:
            case "text_delta" if event.index in self._cited:
                return _part(event.index, {"type": "text", "text": delta.text})
            case "citations_delta":
                return _part(event.index, {"type": "text", "citations": [_shown(delta.citation)]})
            case "text_delta":
                return AIMessageChunk(delta.text) if delta.text else None
            case "thinking_delta":
                return _part(event.index, {"type": "thinking", "thinking": delta.thinking})
            case "signature_delta":
                return _part(event.index, {"type": "thinking", "signature": delta.signature})
            case "input_json_delta" if event.index in self._closed_blocks:
                self._closed_blocks[event.index]["json"] += delta.partial_json
            case "input_json_delta":
                return _call(event.index, delta.partial_json)
        return None

    def _end_block(self, event: Any) -> AIMessageChunk | None:
        kept = self._closed_blocks.pop(event.index, None)
        if kept is None:
            return None
        if kept["json"]:
            kept["block"]["input"] = orjson.loads(kept["json"])
        return AIMessageChunk([kept["block"]])

    def _end_soon(self, event: Any) -> None:
        self._told |= _shown(event.delta)
        self._note_usage(event.usage)

    def _end(self, _: Any) -> AIMessageChunk:
        self.is_finished = True
        return AIMessageChunk(
            "", response_metadata=metadata_of(self._told), usage_metadata=usage_of(self._usage)
        )

    def _note_usage(self, usage: Any) -> None:
        """Later counts replace earlier ones: they are totals."""
        self._usage |= _shown(usage)

    _READERS: Mapping[str, Callable[[Any, Any], AIMessageChunk | None]] = {
        "message_start": _start,
        "content_block_start": _start_block,
        "content_block_delta": _go_on,
        "content_block_stop": _end_block,
        "message_delta": _end_soon,
        "message_stop": _end,
    }


def _shown(value: Any) -> dict[str, Any]:
    """One of the SDK's values as a dict. Servers may say what the SDK does not expect: it need not warn."""
    shown: dict[str, Any] = value.to_dict(exclude_none=True, warnings=False)
    return shown


def _call(index: int, args: str, *, name: str | None = None, id: str | None = None) -> AIMessageChunk:
    call: ToolCallChunk = {"name": name, "args": args, "id": id, "index": index, "type": "tool_call_chunk"}
    return AIMessageChunk("", tool_call_chunks=[call])


def _part(index: int, part: Mapping[str, Any]) -> AIMessageChunk:
    return AIMessageChunk([{**part, "index": index}])


def metadata_of(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of what an answer tells of itself."""
    found = {
        "model_provider": "anthropic",
        "model_name": told.get("model"),
        "id": told.get("id"),
        "stop_reason": told.get("stop_reason"),
        "stop_sequence": told.get("stop_sequence"),
    }
    return {key: value for key, value in found.items() if value is not None}


def usage_of(counts: Mapping[str, Any]) -> UsageMetadata:
    """What an answer has used. Tokens that were read from or written to the cache are input, too."""
    read, written = counts.get("cache_read_input_tokens"), counts.get("cache_creation_input_tokens")
    cached = (counts.get("input_tokens") or 0) + (read or 0) + (written or 0)
    output = counts.get("output_tokens") or 0
    usage: UsageMetadata = {"input_tokens": cached, "output_tokens": output, "total_tokens": cached + output}
    details = {"cache_read": read, "cache_creation": written}
    if any(details.values()):
        usage["input_token_details"] = {key: count or 0 for key, count in details.items()}
    return usage
