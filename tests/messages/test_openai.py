"""Messages as OpenAI's chat completions have them, and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage as LangChainAIMessage
from langchain_core.messages import HumanMessage as LangChainHumanMessage
from langchain_core.messages import ToolMessage as LangChainToolMessage

from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    InvalidToolCall,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    from_openai,
    to_openai,
)
from tests.messages.kit import CALLS, IDS, IMAGES, NAMES, TEXT_PARTS, TEXTS

CALL = ToolCall(name="go", args={"place": "Rom é"}, id="c1", type="tool_call")


def test_a_conversation_in_openais_words() -> None:
    assert to_openai(
        [
            SystemMessage("Be kind."),
            HumanMessage("Hi", name="ada", id="1"),
            AIMessage("", tool_calls=[CALL]),
            ToolMessage("done", tool_call_id="c1", artifact=object()),
            AIMessage("Bye"),
        ]
    ) == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi", "name": "ada"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "c1",
                    "type": "function",
                    "function": {"name": "go", "arguments": '{"place": "Rom é"}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "done"},
        {"role": "assistant", "content": "Bye"},
    ]


def test_langchains_messages_say_the_same() -> None:
    theirs = [
        LangChainHumanMessage([{"type": "text", "text": "Hi"}], name="ada"),
        LangChainAIMessage("", tool_calls=[CALL]),
        LangChainToolMessage("done", tool_call_id="c1"),
    ]
    ours = [
        HumanMessage([{"type": "text", "text": "Hi"}], name="ada"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("done", tool_call_id="c1"),
    ]
    assert to_openai(theirs) == to_openai(ours)


def test_what_stands_for_messages_will_do() -> None:
    assert to_openai("hi") == to_openai([("user", "hi")]) == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source_type": "base64", "mime_type": "image/png", "data": "AAAA"},
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ],
)
def test_images_in_any_words_become_image_urls(part: dict[str, Any]) -> None:
    (shown,) = to_openai([HumanMessage(["Look", part])])
    assert shown["content"] == [
        {"type": "text", "text": "Look"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]


def test_thoughts_are_left_out_and_calls_told_once() -> None:
    content: Any = [
        {"type": "thinking", "thinking": "Hm", "signature": "s"},
        {"type": "text", "text": "So", "index": 1},
        {"type": "tool_use", "id": "c1", "name": "go", "input": {"place": "x"}},
        {"type": "tool_use", "id": "c2", "name": "go", "input": {}},
    ]
    (shown,) = to_openai([AIMessage(content, tool_calls=[CALL])])
    assert shown["content"] == [{"type": "text", "text": "So"}]
    assert [call["id"] for call in shown["tool_calls"]] == ["c1", "c2"]


def test_answers_of_tools_in_what_a_user_says_are_messages_of_their_own() -> None:
    result = {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "4"}]}
    assert to_openai([HumanMessage([result, {"type": "text", "text": "And?"}])]) == [
        {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "4"}]},
        {"role": "user", "content": [{"type": "text", "text": "And?"}]},
    ]


def test_a_developer_stays_one() -> None:
    said = {"role": "developer", "content": "Be kind."}
    assert to_openai([from_openai(said)]) == [said]
    assert from_openai(said).type == "system"


def test_a_refusal_is_kept() -> None:
    said = {"role": "assistant", "content": "", "refusal": "No."}
    message = from_openai(said)
    assert message.additional_kwargs == {"refusal": "No."}
    assert to_openai([message]) == [said]


def test_a_malformed_call_is_kept_as_it_was_written() -> None:
    function = {"name": "go", "arguments": "{"}
    said = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": function}],
    }
    message = from_openai(said)
    assert isinstance(message, AIMessage)
    assert [call["args"] for call in message.invalid_tool_calls] == ["{"]
    assert to_openai([message]) == [said]


def test_what_a_server_adds_without_meaning_is_left_out() -> None:
    answer: dict[str, Any] = {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
        "annotations": [],
        "audio": None,
    }
    assert from_openai(answer) == AIMessage("Hi")


def test_a_piece_is_told_as_its_message() -> None:
    assert to_openai([AIMessageChunk("Hi")]) == [{"role": "assistant", "content": "Hi"}]


def test_a_removal_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="'remove' has no place"):
        to_openai([RemoveMessage("1")])


def test_a_dict_without_a_role_is_none_of_openais() -> None:
    with pytest.raises(ValueError, match="no 'role'"):
        from_openai({"type": "human", "content": "hi"})


CONTENTS = TEXTS | st.lists(TEXT_PARTS | IMAGES, min_size=1, max_size=2)
INVALID = st.builds(
    lambda id: InvalidToolCall(
        name="go",
        args="{",
        id=id,
        error="its arguments are no JSON: Expecting property name enclosed in double quotes: "
        "line 1 column 2 (char 1)",
        type="invalid_tool_call",
    ),
    IDS,
)
NAMED = st.none() | NAMES
MESSAGES: st.SearchStrategy[Message] = (
    st.builds(HumanMessage, CONTENTS, name=NAMED)
    | st.builds(SystemMessage, TEXTS | st.lists(TEXT_PARTS, min_size=1, max_size=2), name=NAMED)
    | st.builds(ToolMessage, TEXTS | st.lists(TEXT_PARTS, min_size=1, max_size=2), tool_call_id=IDS)
    | st.builds(
        AIMessage, CONTENTS, name=NAMED, tool_calls=CALLS, invalid_tool_calls=st.lists(INVALID, max_size=1)
    )
)


@given(st.lists(MESSAGES, max_size=4))
def test_there_and_back_messages_are_the_same(messages: list[Message]) -> None:
    assert [from_openai(shown) for shown in to_openai(messages)] == messages
