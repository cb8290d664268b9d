"""Messages as values: what they show, and that LangChain's have the same fields."""

from typing import Any

import langchain_core.messages as langchain
import numpy as np
import pytest

from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    InvalidToolCall,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    pretty_print,
    pretty_repr,
)

CALL = ToolCall(name="go", args={"place": "Rome", "fast": True}, id="c1", type="tool_call")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        (HumanMessage("hi"), "HumanMessage('hi')"),
        (AIMessage(id="1", tool_calls=[CALL]), f"AIMessage('', id='1', tool_calls={[CALL]})"),
        (AIMessageChunk("a", additional_kwargs={"b": 1}), "AIMessageChunk('a', additional_kwargs={'b': 1})"),
        (
            ToolMessage("4", tool_call_id="c", status="error"),
            "ToolMessage('4', tool_call_id='c', status='error')",
        ),
        (ToolMessage("4", tool_call_id="c", artifact=0), "ToolMessage('4', tool_call_id='c', artifact=0)"),
        (RemoveMessage("1"), "RemoveMessage('1')"),
    ],
)
def test_a_repr_leaves_out_what_is_empty(message: Any, shown: str) -> None:
    assert repr(message) == shown


def test_an_artifact_may_be_an_array() -> None:
    assert "array([0, 1])" in repr(ToolMessage("4", tool_call_id="c", artifact=np.arange(2)))


def test_the_text_is_that_of_the_parts() -> None:
    image = {"type": "image_url", "image_url": {"url": "u"}}
    assert HumanMessage("a").text == "a"
    assert (
        HumanMessage(["a", {"type": "text", "text": "b"}, image, {"type": "text", "text": "c"}]).text == "abc"
    )


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (HumanMessage("a", id="1", name="ada"), langchain.HumanMessage("a", id="1", name="ada")),
        (SystemMessage("a"), langchain.SystemMessage("a")),
        (AIMessage("a", tool_calls=[CALL]), langchain.AIMessage("a", tool_calls=[CALL])),
        (ToolMessage("a", tool_call_id="c"), langchain.ToolMessage("a", tool_call_id="c")),
        (RemoveMessage("1"), langchain.RemoveMessage(id="1")),
        (AIMessageChunk("a"), langchain.AIMessageChunk(content="a")),
    ],
)
def test_langchains_messages_have_the_same_fields(ours: Any, theirs: Any) -> None:
    for name in ("type", *(each for each in ours.__dataclass_fields__)):
        assert getattr(ours, name) == getattr(theirs, name)


def test_a_message_is_pretty() -> None:
    invalid: InvalidToolCall = {"name": "f", "args": "{", "id": "c2", "error": "no JSON"}
    message = AIMessage("So", name="ada", tool_calls=[CALL], invalid_tool_calls=[invalid])
    assert pretty_repr(message).splitlines() == [
        " AI Message ".center(80, "="),
        "Name: ada",
        "",
        "So",
        "Tool Calls:",
        "  go (c1)",
        "  Args:",
        "    place: Rome",
        "    fast: True",
        "Invalid Tool Calls:",
        "  f (c2)",
        "  Error: no JSON",
        "  Args:",
        "    {",
    ]
    assert message.pretty_repr() == pretty_repr(message)


def test_langchains_messages_are_pretty_too(capsys: pytest.CaptureFixture[str]) -> None:
    pretty_print(langchain.HumanMessage("hi"))
    HumanMessage("hi").pretty_print()
    theirs, ours = capsys.readouterr().out.split("hi\n")[:2]
    assert theirs == ours
