"""What conversations tell, whoever's messages they are made of."""

from typing import Any

import pytest
from langchain_core import messages as theirs

from aiograph import messages as ours
from aiograph.errors import ErrorCode, InvalidChatHistoryError
from aiograph.prebuilt._conversation import dangling_calls, last_turn, require_answers, with_own_ids


def call(id: str | None, name: str = "add") -> Any:
    return {"name": name, "args": {}, "id": id, "type": "tool_call"}


@pytest.fixture(params=[ours, theirs], ids=["ours", "langchain"])
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


def test_a_turn_begins_with_what_the_model_said_last(library: Any) -> None:
    said = library.AIMessage("", tool_calls=[call("1"), call("2")])
    answer = library.ToolMessage("3", tool_call_id="1")
    turn = last_turn([library.AIMessage("before"), library.HumanMessage("hi"), said, answer])
    assert turn.said is said
    assert turn.answers == [answer]
    assert [each["id"] for each in turn.open_calls] == ["2"]


def test_before_the_model_has_spoken_there_is_no_turn(library: Any) -> None:
    turn = last_turn([library.HumanMessage("hi")])
    assert turn.said is None
    assert turn.open_calls == []


def test_an_empty_conversation_has_no_turn() -> None:
    assert last_turn([]).said is None


def test_calls_that_no_later_message_answers_are_dangling_in_their_order(library: Any) -> None:
    messages = [
        library.ToolMessage("too early", tool_call_id="1"),
        library.AIMessage("", tool_calls=[call("1"), call("2"), call("3")]),
        library.ToolMessage("", tool_call_id="2"),
        library.HumanMessage("and?"),
        library.AIMessage("", tool_calls=[call("4")]),
    ]
    assert [each["id"] for each in dangling_calls(messages)] == ["1", "3", "4"]


def test_a_refused_conversation_is_told_by_its_calls(library: Any) -> None:
    with pytest.raises(InvalidChatHistoryError, match=r"search \(id '7'\).*RemoveMessage") as caught:
        require_answers([library.AIMessage("", tool_calls=[call("7", "search")])])
    assert isinstance(caught.value, ValueError)
    assert caught.value.code is ErrorCode.INVALID_CHAT_HISTORY
    assert [each["id"] for each in caught.value.calls] == ["7"]


def test_a_conversation_in_which_all_is_answered_is_not_refused(library: Any) -> None:
    said = library.AIMessage("", tool_calls=[call("1")])
    require_answers([said, library.HumanMessage("wait"), library.ToolMessage("", tool_call_id="1")])


def test_calls_with_one_id_get_ids_of_their_own(library: Any) -> None:
    said = library.AIMessage("", tool_calls=[call("1"), call("1"), call("2"), call(None)], id="m")
    mended = with_own_ids(said)
    ids = [each["id"] for each in mended.tool_calls]
    assert ids[0] == "1"
    assert ids[2] == "2"
    assert len({*ids, None}) == 5
    assert mended.id == "m"
    assert said.tool_calls[1]["id"] == "1"


def test_a_message_whose_calls_have_ids_is_left_alone(library: Any) -> None:
    said = library.AIMessage("", tool_calls=[call("1"), call("2")])
    assert with_own_ids(said) is said
