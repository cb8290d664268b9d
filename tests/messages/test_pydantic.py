"""Messages as fields of Pydantic models, and in JSON schemas."""

from typing import Any

import langchain_core.messages as langchain
import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    AnyMessage,
    HumanMessage,
    Message,
    RemoveMessage,
    ToolMessage,
)


class Conversation(BaseModel):
    said: list[AnyMessage]


def test_messages_of_both_libraries_are_taken_as_they_are() -> None:
    messages: list[Any] = [
        HumanMessage("a"),
        langchain.AIMessage("b"),
        AIMessageChunk("c"),
        RemoveMessage("d"),
    ]
    conversation = Conversation(said=messages)
    assert all(one is other for one, other in zip(conversation.said, messages, strict=True))


def test_dicts_are_read() -> None:
    said: Any = [{"type": "human", "content": "a"}, {"type": "ai", "content": "b"}]
    assert Conversation(said=said).said == [HumanMessage("a"), AIMessage("b")]


@pytest.mark.parametrize(
    "thing", [3, "hi", {"type": "wizard"}, {"content": "hi"}, {"type": "human", "body": "hi"}, None]
)
def test_what_is_no_message_is_refused(thing: Any) -> None:
    with pytest.raises(ValidationError):
        Conversation(said=[thing])


def test_a_field_for_one_kind_takes_no_other() -> None:
    adapter = TypeAdapter(ToolMessage)
    assert adapter.validate_python(langchain.ToolMessage("4", tool_call_id="c")).content == "4"
    with pytest.raises(ValidationError, match="this is no ToolMessage"):
        adapter.validate_python(HumanMessage("4"))
    assert TypeAdapter(Message).validate_python(HumanMessage("4")) == HumanMessage("4")


def test_a_dumped_conversation_can_be_read_again() -> None:
    conversation = Conversation(
        said=[HumanMessage("a", id="1"), ToolMessage("4", tool_call_id="c"), RemoveMessage("d")]
    )
    dumped = conversation.model_dump_json()
    assert Conversation.model_validate_json(dumped) == conversation
    assert '{"type":"human","content":"a","id":"1"}' in dumped
    theirs: Any = langchain.HumanMessage("a")
    assert Conversation(said=[theirs]).model_dump()["said"][0]["content"] == "a"


def test_a_json_schema_tells_what_a_dict_has_to_have() -> None:
    schema = TypeAdapter(ToolMessage).json_schema()
    assert schema["required"] == ["type", "content", "tool_call_id"]
    assert schema["properties"]["type"] == {"const": "tool"}
