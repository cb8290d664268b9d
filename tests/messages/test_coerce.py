"""What stands for a message."""

from typing import Any

import pytest
from langchain_core.messages import AIMessage as LangChainAIMessage

from aiograph.messages import (
    AIMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
    coerce_message,
    coerce_messages,
)


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        ("hi", HumanMessage("hi")),
        (("user", "hi"), HumanMessage("hi")),
        (("human", "hi"), HumanMessage("hi")),
        (["ai", "hi"], AIMessage("hi")),
        (("assistant", [{"type": "text", "text": "hi"}]), AIMessage([{"type": "text", "text": "hi"}])),
        (("system", "hi"), SystemMessage("hi")),
        ({"role": "user", "content": "hi", "id": "1", "name": "ada"}, HumanMessage("hi", id="1", name="ada")),
        ({"type": "human", "content": "hi"}, HumanMessage("hi")),
        ({"role": "user", "content": None}, HumanMessage("")),
        (
            {"role": "user", "content": "hi", "cached": True},
            HumanMessage("hi", additional_kwargs={"cached": True}),
        ),
        ({"role": "tool", "content": "4", "tool_call_id": "c"}, ToolMessage("4", tool_call_id="c")),
        ({"role": "remove", "id": "1"}, RemoveMessage("1")),
    ],
)
def test_text_pairs_and_dicts_stand_for_messages(thing: Any, message: Any) -> None:
    assert coerce_message(thing) == message


def test_a_dict_may_tell_of_calls_in_either_style() -> None:
    call = {"name": "f", "args": {"a": 1}, "id": "1", "type": "tool_call"}
    function = {"name": "f", "arguments": '{"a": 1}'}
    ours = coerce_message({"type": "ai", "tool_calls": [call]})
    theirs = coerce_message({"role": "assistant", "tool_calls": [{"id": "1", "function": function}]})
    assert ours == theirs == AIMessage(tool_calls=[call])  # type: ignore[list-item]  # a dict as JSON has it


@pytest.mark.parametrize("calls", [[3], [None], [{}], [{"function": {}}], [{"name": "f", "args": 3}]])
def test_what_is_no_call_is_an_invalid_one(calls: list[Any]) -> None:
    message = coerce_message({"role": "assistant", "tool_calls": calls})
    assert message.tool_calls == []
    assert len(message.invalid_tool_calls) == 1


def test_messages_of_both_libraries_are_left_as_they_are() -> None:
    for message in (HumanMessage("hi"), RemoveMessage("1"), LangChainAIMessage("hi")):
        assert coerce_message(message) is message


def test_one_message_may_stand_for_a_list_of_one() -> None:
    assert coerce_messages("hi") == coerce_messages(("user", "hi")) == [HumanMessage("hi")]
    assert coerce_messages({"role": "user", "content": "hi"}) == [HumanMessage("hi")]
    assert coerce_messages((HumanMessage("a"), "b")) == [HumanMessage("a"), HumanMessage("b")]


@pytest.mark.parametrize("thing", [None, 3, b"hi", object(), (1, 2), ("user", "hi", "there"), {"a"}])
def test_what_stands_for_no_message_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="a pair of role and content"):
        coerce_message(thing)


@pytest.mark.parametrize(
    ("thing", "fault"),
    [
        ({"content": "hi"}, "no 'role'"),
        ({"role": "wizard", "content": "hi"}, "'wizard' is none of 'human', 'user'"),
        ({"role": ["user"], "content": "hi"}, "is none of"),
        ({"role": "user"}, "needs 'content'"),
        ({"role": "tool", "content": "4"}, "needs 'tool_call_id'"),
        ({"role": "remove"}, "needs 'id'"),
        (("wizard", "hi"), "'wizard' is none of"),
    ],
)
def test_a_dict_that_lacks_something_is_refused(thing: Any, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        coerce_message(thing)


def test_the_refusal_of_one_among_many_names_its_place() -> None:
    with pytest.raises(TypeError, match="message 2: 3 is a int"):
        coerce_messages(["a", HumanMessage("b"), 3])
    with pytest.raises(ValueError, match="message 0: the role 'x'"):
        coerce_messages([("x", "a")])
