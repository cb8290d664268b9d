"""Messages as Anthropic's interface has them, and back."""

from itertools import pairwise
from typing import Any

import langchain_core.messages as langchain
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    Message,
    RemoveMessage,
    SystemMessage,
    ToolCall,
    ToolMessage,
    from_anthropic,
    to_anthropic,
)
from tests.messages.kit import CALLS, IDS

CALL = ToolCall(name="go", args={"place": "Rome"}, id="c1", type="tool_call")
OTHER = ToolCall(name="stay", args={}, id="c2", type="tool_call")
USE = {"type": "tool_use", "id": "c1", "name": "go", "input": {"place": "Rome"}}


def turns(*messages: Any) -> Any:
    system, shown = to_anthropic(messages)
    assert system is None
    return shown


def test_a_conversation_in_anthropics_words() -> None:
    system, shown = to_anthropic(
        [
            SystemMessage("Be kind."),
            HumanMessage("Hi", name="ada", id="1"),
            AIMessage("Off we go.", tool_calls=[CALL, OTHER]),
            ToolMessage("done", tool_call_id="c1"),
            ToolMessage("no", tool_call_id="c2", status="error"),
            HumanMessage("And?"),
            AIMessage("Bye"),
        ]
    )
    assert system == "Be kind."
    assert shown == [
        {"role": "user", "content": "Hi"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Off we go."},
                USE,
                {"type": "tool_use", "id": "c2", "name": "stay", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": "done"},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": True},
                {"type": "text", "text": "And?"},
            ],
        },
        {"role": "assistant", "content": "Bye"},
    ]


def test_all_system_messages_stand_apart() -> None:
    cached = {"type": "text", "text": "b", "cache_control": {"type": "ephemeral"}}
    assert to_anthropic([SystemMessage("a"), HumanMessage("x"), SystemMessage("b")])[0] == "a\n\nb"
    assert to_anthropic([SystemMessage("a"), SystemMessage([cached])])[0] == [
        {"type": "text", "text": "a"},
        cached,
    ]


def test_thoughts_are_given_back_and_keep_their_place() -> None:
    thought = {"type": "thinking", "thinking": "Hm", "signature": "s"}
    message = AIMessage(
        [{**thought, "index": 0}, {"type": "text", "text": "So", "index": 1}], tool_calls=[CALL]
    )
    (turn,) = turns(message)
    assert turn["content"] == [thought, {"type": "text", "text": "So"}, USE]
    (back,) = from_anthropic(turn)
    assert turns(back) == [turn]


def test_calls_that_the_content_tells_of_are_told_once_and_as_they_were_parsed() -> None:
    begun = {"type": "tool_use", "id": "c1", "name": "go", "input": {}, "index": 0}
    (turn,) = turns(AIMessage([begun, {"type": "text", "text": "So"}], tool_calls=[CALL]))
    assert turn["content"] == [USE, {"type": "text", "text": "So"}]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": "data:image/png;base64,AAAA"},
        {"type": "image", "base64": "AAAA", "mime_type": "image/png"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
    ],
)
def test_images_in_any_words_become_sources(part: dict[str, Any]) -> None:
    (turn,) = turns(HumanMessage([part]))
    source = {"type": "base64", "media_type": "image/png", "data": "AAAA"}
    assert turn["content"] == [{"type": "image", "source": source}]


def test_an_image_on_the_web_stays_there() -> None:
    (turn,) = turns(HumanMessage([{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]))
    assert turn["content"][0]["source"] == {"type": "url", "url": "https://example.org/a.png"}


def test_what_says_nothing_is_left_out() -> None:
    assert turns(HumanMessage("a"), AIMessage(""), AIMessage(" \n")) == [{"role": "user", "content": "a"}]
    (turn,) = turns(AIMessage([{"type": "text", "text": ""}], tool_calls=[CALL]))
    assert turn["content"] == [USE]


def test_a_call_that_could_not_be_read_is_told_so_that_it_can_be_answered() -> None:
    piece = AIMessageChunk(tool_call_chunks=[{"name": "go", "args": "{", "id": "c1", "index": 0}])
    (turn,) = turns(piece)
    assert turn["content"] == [{"type": "tool_use", "id": "c1", "name": "go", "input": {"arguments": "{"}}]


def test_langchains_messages_say_the_same() -> None:
    theirs = [
        langchain.HumanMessage("Hi"),
        langchain.AIMessage("", tool_calls=[CALL]),
        langchain.ToolMessage("no", tool_call_id="c1", status="error"),
    ]
    ours = [
        HumanMessage("Hi"),
        AIMessage("", tool_calls=[CALL]),
        ToolMessage("no", tool_call_id="c1", status="error"),
    ]
    assert turns(*theirs) == turns(*ours)


def test_a_removal_cannot_be_told() -> None:
    with pytest.raises(ValueError, match="'remove' has no place"):
        to_anthropic([RemoveMessage("1")])


def test_an_answer_can_be_read() -> None:
    answer = {
        "id": "m",
        "type": "message",
        "role": "assistant",
        "content": [{"type": "text", "text": "Hi"}, USE],
    }
    assert from_anthropic(answer) == [AIMessage("Hi", id="m", tool_calls=[CALL])]
    assert from_anthropic({"role": "assistant", "content": "Hi"}) == [AIMessage("Hi")]
    with pytest.raises(ValueError, match="'system' is neither"):
        from_anthropic({"role": "system", "content": "Hi"})


@pytest.mark.parametrize("use", [{}, {"name": "go", "input": 3}, {"input": {}}])
def test_a_malformed_call_is_no_error(use: dict[str, Any]) -> None:
    (message,) = from_anthropic({"role": "assistant", "content": [{"type": "tool_use", **use}]})
    assert isinstance(message, AIMessage)
    assert (len(message.tool_calls), len(message.invalid_tool_calls)) == (0, 1)


TEXTS = st.text("ab", min_size=1, max_size=3)
CONTENTS = TEXTS | st.lists(
    st.builds(lambda text: {"type": "text", "text": text}, TEXTS), min_size=2, max_size=3
)
MESSAGES: st.SearchStrategy[Message] = (
    st.builds(HumanMessage, CONTENTS)
    | st.builds(ToolMessage, CONTENTS, tool_call_id=IDS, status=st.sampled_from(["success", "error"]))
    | st.builds(AIMessage, CONTENTS, tool_calls=CALLS)
)


@given(st.lists(MESSAGES, max_size=5))
def test_there_and_back_messages_are_the_same(messages: list[Message]) -> None:
    shown = turns(*messages)
    assert [message for turn in shown for message in from_anthropic(turn)] == messages
    assert not any(ends_with_an_answer(turn) and then["role"] == "user" for turn, then in pairwise(shown))


def ends_with_an_answer(turn: dict[str, Any]) -> bool:
    return not isinstance(turn["content"], str) and turn["content"][-1]["type"] == "tool_result"
