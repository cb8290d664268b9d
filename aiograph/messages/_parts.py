"""What messages are made of: content, calls of tools and what they have used. Plain dicts and text."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NotRequired, TypeAlias, TypedDict

Part: TypeAlias = str | Mapping[str, Any]
"""A piece of content: text, or a dict with a `"type"`, such as `{"type": "text", "text": ...}`."""

Content: TypeAlias = str | Sequence[Part]
"""What a message says: text, or a list of parts."""


class ToolCall(TypedDict):
    """A model's wish that a tool be called. A dict, as code for LangChain's messages expects it."""

    name: str
    args: dict[str, Any]
    id: str | None
    type: NotRequired[Literal["tool_call"]]


class InvalidToolCall(TypedDict):
    """A call whose arguments are no JSON object."""

    name: str | None
    args: str | None
    """As the model wrote them."""
    id: str | None
    error: str | None
    type: NotRequired[Literal["invalid_tool_call"]]


class ToolCallChunk(TypedDict):
    """A piece of a call that is still being written."""

    name: str | None
    args: str | None
    """The next characters of the arguments' JSON."""
    id: str | None
    index: int | None
    """Which of the message's calls it belongs to."""
    type: NotRequired[Literal["tool_call_chunk"]]


class UsageMetadata(TypedDict):
    """What a message has used, in tokens."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    input_token_details: NotRequired[dict[str, int]]
    """Such as `cache_read` and `cache_creation`."""
    output_token_details: NotRequired[dict[str, int]]
    """Such as `reasoning`."""


def parts_of(content: Any) -> Sequence[Part]:
    """Content as parts; empty text is none."""
    if isinstance(content, str):
        return [content] if content else []
    return [content] if isinstance(content, Mapping) else content or []


def text_of(part: Part) -> str | None:
    """The text of a part; `None` if it is of another kind."""
    if isinstance(part, str):
        return part
    text = part.get("text") if part.get("type") == "text" else None
    return text if isinstance(text, str) else None
