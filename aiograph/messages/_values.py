"""Messages as values: who says what, which tools a model calls, and what that has used.

Fields bear the names that LangChain's messages have, so that code which reads messages reads both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NotRequired, TypeAlias, TypedDict

Part: TypeAlias = "str | Mapping[str, Any]"
"""A piece of content: text, or a dict with a `"type"`, such as `{"type": "text", "text": ...}`."""

Content: TypeAlias = "str | Sequence[Part]"
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


@dataclass(slots=True)
class Message:
    """What all messages have. Use one of its subclasses."""

    type: ClassVar[str]
    """Tells kinds of messages apart; LangChain's have the same."""

    content: Content
    id: str | None = field(default=None, kw_only=True)
    """Unique in its conversation; `add_messages` makes one up for a message that has none."""
    name: str | None = field(default=None, kw_only=True)
    """Who says it, where several have the same role; for a tool's answer, the tool."""
    additional_kwargs: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """What a provider says beyond the fields there are."""
    response_metadata: dict[str, Any] = field(default_factory=dict, kw_only=True)
    """What a provider tells of its answer, such as the model's name and why it stopped."""

    @property
    def text(self) -> str:
        """The text of the content; parts that are no text are left out."""
        if isinstance(self.content, str):
            return self.content
        return "".join(map(_text_of, self.content))


def _text_of(part: Part) -> str:
    if isinstance(part, str):
        return part
    text = part.get("text") if part.get("type") == "text" else None
    return text if isinstance(text, str) else ""


@dataclass(slots=True)
class HumanMessage(Message):
    """What a user says."""

    type: ClassVar[str] = "human"


@dataclass(slots=True)
class SystemMessage(Message):
    """What a model is told before a conversation begins."""

    type: ClassVar[str] = "system"


@dataclass(slots=True)
class AIMessage(Message):
    """What a model says, and which tools it calls."""

    type: ClassVar[str] = "ai"

    content: Content = ""
    tool_calls: list[ToolCall] = field(default_factory=list, kw_only=True)
    invalid_tool_calls: list[InvalidToolCall] = field(default_factory=list, kw_only=True)
    usage_metadata: UsageMetadata | None = field(default=None, kw_only=True)


@dataclass(slots=True)
class AIMessageChunk(AIMessage):
    """A piece of what a model says while it says it; `+` joins pieces."""

    type: ClassVar[str] = "AIMessageChunk"

    tool_call_chunks: list[ToolCallChunk] = field(default_factory=list, kw_only=True)


@dataclass(slots=True)
class ToolMessage(Message):
    """What a tool answers to one call."""

    type: ClassVar[str] = "tool"

    tool_call_id: str = field(kw_only=True)
    artifact: Any = field(default=None, kw_only=True)
    """What the tool has made and the model is not shown."""
    status: Literal["success", "error"] = field(default="success", kw_only=True)


@dataclass(slots=True, init=False)
class RemoveMessage(Message):
    """Removes the message with this id, by way of `add_messages`."""

    type: ClassVar[str] = "remove"

    def __init__(self, id: str) -> None:
        # not super(): a dataclass with slots is another class than the one whose body this is
        Message.__init__(self, "", id=id)


AnyMessage: TypeAlias = (
    HumanMessage | AIMessage | SystemMessage | ToolMessage | AIMessageChunk | RemoveMessage
)
"""Any message of ours."""
