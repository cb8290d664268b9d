"""Messages as values: who says what, which tools a model calls, and what that has used.

Fields bear the names that LangChain's messages have, so that code which reads messages reads both.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal, TypeAlias

from aiograph.messages._calls import join_call_chunks, parse_call_chunks, sort_calls
from aiograph.messages._joining import add_usage, join_contents, join_extras
from aiograph.messages._parts import (
    Content,
    InvalidToolCall,
    ToolCall,
    ToolCallChunk,
    UsageMetadata,
    parts_of,
    text_of,
)
from aiograph.messages._pretty import pretty_repr


@dataclass(slots=True, repr=False)
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
        return "".join(text_of(part) or "" for part in parts_of(self.content))

    def pretty_repr(self) -> str:
        """The message as people read it."""
        return pretty_repr(self)

    def pretty_print(self) -> None:
        """Prints the message as people read it."""
        print(pretty_repr(self))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> Any:
        from aiograph.messages._pydantic import core_schema  # not imported unless a model has messages

        return core_schema(cls)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> Any:
        from aiograph.messages._pydantic import json_schema

        return json_schema(cls)

    def __repr__(self) -> str:
        shown = [repr(self.content)]
        for each in fields(self)[1:]:
            value = getattr(self, each.name)
            # a tool's artifact may be an array, which cannot be asked whether it is empty
            if value is not None if each.default is None else value and value != each.default:
                shown.append(f"{each.name}={value!r}")
        return f"{type(self).__name__}({', '.join(shown)})"


@dataclass(slots=True, repr=False)
class HumanMessage(Message):
    """What a user says."""

    type: ClassVar[str] = "human"


@dataclass(slots=True, repr=False)
class SystemMessage(Message):
    """What a model is told before a conversation begins."""

    type: ClassVar[str] = "system"


@dataclass(slots=True, repr=False)
class AIMessage(Message):
    """What a model says, and which tools it calls."""

    type: ClassVar[str] = "ai"

    content: Content = ""
    tool_calls: list[ToolCall] = field(default_factory=list, kw_only=True)
    invalid_tool_calls: list[InvalidToolCall] = field(default_factory=list, kw_only=True)
    usage_metadata: UsageMetadata | None = field(default=None, kw_only=True)


@dataclass(slots=True, repr=False)
class AIMessageChunk(AIMessage):
    """A piece of what a model says while it says it; `+` joins pieces.

    Examples:
        >>> piece = AIMessageChunk("Hel", id="1") + AIMessageChunk("lo")
        >>> piece.message()
        AIMessage('Hello', id='1')
    """

    type: ClassVar[str] = "AIMessageChunk"

    tool_call_chunks: list[ToolCallChunk] = field(default_factory=list, kw_only=True)

    def __add__(self, other: "AIMessageChunk") -> "AIMessageChunk":
        if not isinstance(other, AIMessageChunk):
            return NotImplemented
        return join_chunks((self, other))

    def message(self) -> AIMessage:
        """The message that the piece is when no other follows: the pieces of its calls are read.

        Calls whose arguments are no JSON object are among its `invalid_tool_calls`.
        """
        calls, invalid = sort_calls(parse_call_chunks(self.tool_call_chunks))
        return AIMessage(
            self.content,
            id=self.id,
            name=self.name,
            additional_kwargs=self.additional_kwargs,
            response_metadata=self.response_metadata,
            tool_calls=[*self.tool_calls, *calls],
            invalid_tool_calls=[*self.invalid_tool_calls, *invalid],
            usage_metadata=self.usage_metadata,
        )


def join_chunks(chunks: Sequence[AIMessageChunk]) -> AIMessageChunk:
    """Pieces of one message as one piece: as `+` does, in time that grows with what is said.

    Text is joined, and so are parts of content that have the same `"index"`, and pieces of calls. Usage is
    added up. Of ids and names the first counts, of each key of the `response_metadata` the last.
    """
    usage: UsageMetadata | None = None
    for chunk in chunks:
        usage = add_usage(usage, chunk.usage_metadata)
    return AIMessageChunk(
        join_contents([chunk.content for chunk in chunks]),
        id=next((chunk.id for chunk in chunks if chunk.id is not None), None),
        name=next((chunk.name for chunk in chunks if chunk.name is not None), None),
        additional_kwargs=join_extras(chunk.additional_kwargs for chunk in chunks),
        response_metadata={key: value for chunk in chunks for key, value in chunk.response_metadata.items()},
        tool_calls=[call for chunk in chunks for call in chunk.tool_calls],
        invalid_tool_calls=[call for chunk in chunks for call in chunk.invalid_tool_calls],
        usage_metadata=usage,
        tool_call_chunks=join_call_chunks(each for chunk in chunks for each in chunk.tool_call_chunks),
    )


@dataclass(slots=True, repr=False)
class ToolMessage(Message):
    """What a tool answers to one call."""

    type: ClassVar[str] = "tool"

    tool_call_id: str = field(kw_only=True)
    artifact: Any = field(default=None, kw_only=True)
    """What the tool has made and the model is not shown."""
    status: Literal["success", "error"] = field(default="success", kw_only=True)


@dataclass(slots=True, init=False, repr=False)
class RemoveMessage(Message):
    """Removes the message with this id, by way of `add_messages`."""

    type: ClassVar[str] = "remove"

    def __init__(self, id: str) -> None:
        # not super(): a dataclass with slots is another class than the one whose body this is
        Message.__init__(self, "", id=id)

    def __repr__(self) -> str:
        return f"RemoveMessage({self.id!r})"


AnyMessage: TypeAlias = (
    HumanMessage | AIMessage | SystemMessage | ToolMessage | AIMessageChunk | RemoveMessage
)
"""Any message of ours."""
