"""Messages are stored without being allowed, in few bytes, and come back as what they were."""

import subprocess
import sys
from typing import Any

import langchain_core.messages as langchain
import numpy as np
import pytest
from msgpack import packb  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError
from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
)

CALL = ToolCall(name="f", args={"a": (1, 2)}, id="c", type="tool_call")
USAGE: Any = {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}

OURS = [
    HumanMessage("hi"),
    HumanMessage([{"type": "text", "text": "hi"}, "there"], id="1", name="ada", additional_kwargs={"a": 1}),
    SystemMessage("Be kind.", id="2", response_metadata={"b": None}),
    AIMessage(id="3", tool_calls=[CALL], usage_metadata=USAGE),
    AIMessageChunk("a", tool_call_chunks=[{"name": "f", "args": "{", "id": "c", "index": 0}]),
    ToolMessage("4", tool_call_id="c", artifact={1, 2}, status="error"),
    ToolMessage("", tool_call_id="", name="", id="", artifact=False),
    RemoveMessage("1"),
]
THEIRS = [
    langchain.HumanMessage("hi", id="1", example=True),
    langchain.SystemMessage("Be kind."),
    langchain.AIMessage("", id="3", tool_calls=[CALL], usage_metadata=USAGE),
    langchain.AIMessageChunk(
        content="a", tool_call_chunks=[{"name": "f", "args": "{", "id": "c", "index": 0}]
    ),
    langchain.ToolMessage("4", tool_call_id="c", artifact={1, 2}, status="error"),
    langchain.ChatMessage(content="a", role="wizard"),
    langchain.FunctionMessage(content="a", name="f"),
    langchain.RemoveMessage(id="1"),
]


def there_and_back(value: Any) -> Any:
    return JsonPlusSerializer().loads_typed(JsonPlusSerializer().dumps_typed(value))


@pytest.mark.parametrize("message", [*OURS, *THEIRS], ids=repr)
def test_a_message_comes_back_as_what_it_was(message: Any) -> None:
    back = there_and_back(message)
    assert type(back) is type(message)
    assert back == message


def test_a_mixed_conversation_comes_back() -> None:
    assert there_and_back([*OURS, *THEIRS]) == [*OURS, *THEIRS]


def test_an_artifact_may_be_an_array() -> None:
    back = there_and_back(ToolMessage("a", tool_call_id="c", artifact=np.arange(3)))
    assert back.artifact.tolist() == [0, 1, 2]


def test_a_message_takes_little_more_than_what_it_says() -> None:
    message = AIMessage("x" * 1000, id="0" * 36)
    _, data = JsonPlusSerializer().dumps_typed(message)
    assert len(data) < 1000 + 36 + 60


def test_classes_that_a_schema_mentions_are_stored_the_same() -> None:
    allowing = JsonPlusSerializer(allow=[HumanMessage, langchain.HumanMessage])
    for message in (HumanMessage("a"), langchain.HumanMessage("a")):
        assert allowing.dumps_typed(message) == JsonPlusSerializer().dumps_typed(message)


def test_a_subclass_is_another_class() -> None:
    class Loud(HumanMessage):
        pass

    with pytest.raises(Exception, match="not allowed"):
        JsonPlusSerializer().dumps_typed(Loud("a"))


def blob(name: str, part: Any, kind: str = "message") -> tuple[str, bytes]:
    """What a forger may put into a row."""
    head = b"\xc7" + bytes([len(packb([kind, name])), 64]) + packb([kind, name])
    return "msgpack-rich", b"\x92" + head + packb(part)


@pytest.mark.parametrize("part", [3, None, [], {}, {"id": "1"}])
def test_a_forged_message_is_refused(part: Any) -> None:
    with pytest.raises(CheckpointDeserializationError):
        JsonPlusSerializer().loads_typed(blob("aiograph:HumanMessage", part))


def test_fields_that_there_are_not_are_left_out() -> None:
    forged = blob("aiograph:HumanMessage", {"content": "a", "__class__": "x", "later": 1})
    assert JsonPlusSerializer().loads_typed(forged) == HumanMessage("a")


def test_a_field_with_the_wrong_kind_of_class_is_refused() -> None:
    with pytest.raises(CheckpointDeserializationError, match="was stored as a record and is a message now"):
        JsonPlusSerializer().loads_typed(blob("aiograph:HumanMessage", {"content": "a"}, "record"))


IMPORTS = """
import sys
from aiograph.checkpoint.serde import JsonPlusSerializer
serializer = JsonPlusSerializer()
serializer.loads_typed(serializer.dumps_typed([{1}, "a"]))
assert "aiograph.messages" not in sys.modules
value = serializer.loads_typed(("msgpack-rich", bytes.fromhex(sys.argv[1])))
assert "langchain_core" not in sys.modules
assert value.content == "hi"
value = serializer.loads_typed(("msgpack-rich", bytes.fromhex(sys.argv[2])))
assert type(value).__module__ == "langchain_core.messages.human"
"""


def test_neither_library_is_imported_before_one_of_its_messages_is_met() -> None:
    stored = [JsonPlusSerializer().dumps_typed(message)[1].hex() for message in (OURS[0], THEIRS[0])]
    subprocess.run([sys.executable, "-c", IMPORTS, *stored], check=True)
