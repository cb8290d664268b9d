"""`add_messages`, the reducer of conversations. Where LangGraph's does something else, the test says so."""

import copy
import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessageChunk as LangChainAIMessageChunk
from langchain_core.messages import HumanMessage as LangChainHumanMessage
from langchain_core.messages import RemoveMessage as LangChainRemoveMessage

from aiograph.graph.message import REMOVE_ALL_MESSAGES, add_messages
from aiograph.messages import AIMessage, AIMessageChunk, HumanMessage, RemoveMessage, ToolMessage

Kind = Callable[..., Any]

UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def human(id: str, content: str = "") -> HumanMessage:
    return HumanMessage(content or id, id=id)


def langchain_human(id: str, content: str = "") -> LangChainHumanMessage:
    return LangChainHumanMessage(content or id, id=id)


def said(messages: list[Any]) -> list[tuple[str, str]]:
    """What there is to compare of messages of either library."""
    return [(message.id, message.content) for message in messages]


@pytest.fixture(params=[human, langchain_human], ids=["ours", "langchain"])
def message(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return kind


@pytest.fixture(params=[RemoveMessage, LangChainRemoveMessage], ids=["remove-ours", "remove-langchain"])
def remove(request: pytest.FixtureRequest) -> Kind:
    kind: Kind = request.param
    return lambda id: kind(id=id)


def test_new_messages_come_last(message: Kind) -> None:
    assert said(add_messages([message("1")], [message("2"), message("3")])) == [
        ("1", "1"),
        ("2", "2"),
        ("3", "3"),
    ]


def test_a_message_with_a_known_id_takes_the_place_of_that(message: Kind) -> None:
    left = [message("1"), message("2")]
    assert said(add_messages(left, [message("1", "new")])) == [("1", "new"), ("2", "2")]


def test_of_new_messages_with_one_id_the_last_counts(message: Kind) -> None:
    assert said(add_messages([], [message("1", "a"), message("2"), message("1", "b")])) == [
        ("1", "b"),
        ("2", "2"),
    ]


def test_a_message_is_removed_by_its_id(message: Kind, remove: Kind) -> None:
    assert said(add_messages([message("1"), message("2")], remove("1"))) == [("2", "2")]


def test_what_is_not_there_cannot_be_removed(message: Kind, remove: Kind) -> None:
    with pytest.raises(ValueError, match="no message with the id '9'"):
        add_messages([message("1")], [remove("9")])


def test_a_message_may_be_added_or_replaced_and_removed_at_once(message: Kind, remove: Kind) -> None:
    right = [message("2"), remove("2"), message("1", "new"), remove("1"), remove("1")]
    assert add_messages([message("1")], right) == []


def test_a_message_that_is_removed_and_said_anew_keeps_its_place(message: Kind, remove: Kind) -> None:
    left = [message("1"), message("2")]
    assert said(add_messages(left, [remove("1"), message("1", "new")])) == [("1", "new"), ("2", "2")]


def test_all_messages_can_be_removed_but_those_that_follow(message: Kind, remove: Kind) -> None:
    right = [
        message("2"),
        remove(REMOVE_ALL_MESSAGES),
        message("3"),
        remove(REMOVE_ALL_MESSAGES),
        message("1"),
    ]
    assert said(add_messages([message("1")], right)) == [("1", "1")]


def test_what_follows_the_removal_of_all_obeys_the_same_rules(message: Kind, remove: Kind) -> None:
    """LangGraph keeps both messages, and the removal among them."""
    clear = remove(REMOVE_ALL_MESSAGES)
    assert said(add_messages([], [clear, message("1", "a"), message("1", "b")])) == [("1", "b")]
    assert add_messages([], [clear, message("1"), remove("1")]) == []
    with pytest.raises(ValueError, match="'1'"):
        add_messages([message("1")], [clear, remove("1")])


def test_a_removal_without_an_id_is_refused() -> None:
    nameless: Any = None
    for kind in (RemoveMessage, LangChainRemoveMessage):
        with pytest.raises(ValueError, match="needs the id"):
            add_messages([], [kind(id=nameless)])


def test_who_has_no_id_gets_one() -> None:
    ours, theirs = HumanMessage("a"), LangChainHumanMessage("b")
    merged = add_messages([ours], [theirs, "c"])
    assert len({UUID4.fullmatch(message.id) for message in merged} - {None}) == 3
    assert [type(message) for message in merged] == [HumanMessage, LangChainHumanMessage, HumanMessage]


def test_neither_lists_nor_messages_are_changed() -> None:
    left: list[Any] = [HumanMessage("a"), LangChainHumanMessage("b")]
    right: list[Any] = [HumanMessage("c"), LangChainHumanMessage("d"), AIMessageChunk("e")]
    before = copy.deepcopy((left, right))
    assert len(add_messages(left, right)) == 5
    assert (left, right) == before


def test_messages_with_ids_are_passed_on_themselves(message: Kind) -> None:
    first, second = message("1"), message("2")
    merged = add_messages([first], second)
    assert merged[0] is first
    assert merged[1] is second


def test_both_sides_may_be_anything_that_stands_for_messages() -> None:
    merged = add_messages("a", [("ai", "b"), {"role": "user", "content": "c", "id": "3"}, ["user", "d"]])
    assert [(each.type, each.content) for each in merged] == [
        ("human", "a"),
        ("ai", "b"),
        ("human", "c"),
        ("human", "d"),
    ]
    assert merged[2].id == "3"


def test_pieces_that_follow_each_other_become_one_message() -> None:
    """Of LangGraph's, only the last piece is left."""
    pieces = [AIMessageChunk("He", id="1"), AIMessageChunk("llo", id="1"), AIMessageChunk("!")]
    assert add_messages([], pieces) == [AIMessage("Hello!", id="1")]
    apart = add_messages([], [AIMessageChunk("a", id="1"), AIMessageChunk("b", id="2")])
    assert apart == [AIMessage("a", id="1"), AIMessage("b", id="2")]


def test_langchains_pieces_become_langchains_messages() -> None:
    (merged,) = add_messages([], [LangChainAIMessageChunk(content=each, id="1") for each in "ab"])
    assert (merged.type, merged.content, merged.id) == ("ai", "ab", "1")


def test_what_stands_for_no_message_is_refused_by_its_place() -> None:
    with pytest.raises(TypeError, match="message 1: 3 is a int"):
        add_messages([], ["a", 3])


def test_without_messages_one_gets_a_reducer() -> None:
    assert said(add_messages()([human("1")], [human("2")])) == [("1", "1"), ("2", "2")]
    with pytest.raises(ValueError, match="two lists of messages"):
        add_messages([human("1")], None)
    with pytest.raises(ValueError, match="'xml' is neither"):
        add_messages(format="xml")  # type: ignore[call-overload]  # no such format


# -- shapes of content


IMAGE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
RESULT = {
    "type": "tool_result",
    "tool_use_id": "c",
    "content": [{"type": "text", "text": "4"}],
    "is_error": True,
}
SHAPED = add_messages(format="langchain-openai")


@pytest.mark.parametrize("kind", [HumanMessage, LangChainHumanMessage])
def test_contents_can_be_given_openais_shape(kind: Kind) -> None:
    content = [RESULT, IMAGE, "Look"]
    answer, question = SHAPED([], [kind(content, id="1")])
    assert (answer.type, answer.content, answer.tool_call_id, answer.status) == ("tool", "4", "c", "error")
    assert question.id == "1"
    assert question.content == [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "text", "text": "Look"},
    ]
    assert type(question) is kind
    assert type(answer).__module__.split(".")[0] == kind.__module__.split(".")[0]


def test_calls_in_a_content_become_calls_of_the_message() -> None:
    use = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
    (message,) = SHAPED([], [AIMessage([use, {"type": "text", "text": "So"}], id="1")])
    call = {"name": "f", "args": {"a": 1}, "id": "c", "type": "tool_call"}
    assert message == AIMessage("So", id="1", tool_calls=[call])  # type: ignore[list-item]  # plain JSON


def test_a_shape_that_fits_stays_as_it_is() -> None:
    messages: list[Any] = [human("1"), ToolMessage("4", tool_call_id="c", id="2")]
    assert all(shaped is message for shaped, message in zip(SHAPED([], messages), messages, strict=True))


# -- laws


IDS = st.sampled_from("1234")
HISTORIES = st.lists(IDS, unique=True, max_size=4).map(lambda ids: [human(id) for id in ids])
NEWS = st.lists(st.builds(human, IDS, st.sampled_from("ab")), max_size=4)


@given(HISTORIES, NEWS, NEWS)
def test_it_makes_no_difference_whether_news_come_at_once(left: Any, first: Any, second: Any) -> None:
    assert add_messages(add_messages(left, first), second) == add_messages(left, [*first, *second])


@given(HISTORIES, NEWS)
def test_saying_the_same_again_changes_nothing(left: Any, right: Any) -> None:
    once = add_messages(left, right)
    assert add_messages(once, right) == once
    assert add_messages(once, []) == once
    assert len({message.id for message in once}) == len(once)
