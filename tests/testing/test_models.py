"""The model with a script."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.messages import AIMessage, HumanMessage
from aiograph.testing import ScriptedModel


def add(a: int, b: int) -> int:
    """Adds."""
    return a + b


def test_answers_come_in_their_order() -> None:
    model = ScriptedModel(["one", AIMessage("two")])
    assert [model.invoke("q").content for _ in range(2)] == ["one", "two"]


def test_text_comes_by_words_and_loses_nothing() -> None:
    text = "  Hello there,\nyou  two \n"
    chunks = [chunk.content for chunk in ScriptedModel([text]).stream("q")]
    assert "".join(map(str, chunks)) == text
    assert len(chunks) > 4


def test_a_message_arrives_whole() -> None:
    message = AIMessage(
        "Let me see.",
        id="1",
        name="Ann",
        tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "c1", "type": "tool_call"}],
        usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
        additional_kwargs={"more": "x"},
        response_metadata={"finish_reason": "stop"},
    )
    assert ScriptedModel([message]).invoke("q") == message


def test_malformed_calls_stay_malformed() -> None:
    wrong = {"name": "add", "args": '{"a": ', "id": "c1", "error": None}
    answer = ScriptedModel([AIMessage(invalid_tool_calls=[wrong])]).invoke("q")  # type: ignore[list-item]
    assert [call["args"] for call in answer.invalid_tool_calls] == ['{"a": ']


def test_parts_are_kept() -> None:
    parts = [{"type": "text", "text": "see"}, {"type": "image", "url": "x"}]
    assert ScriptedModel([AIMessage(parts)]).invoke("q").content == parts


@pytest.mark.parametrize("error", [KeyError("x"), KeyError])
def test_an_exception_is_raised(error: Any) -> None:
    with pytest.raises(KeyError):
        ScriptedModel([error]).invoke("q")


def test_a_function_answers_to_the_conversation() -> None:
    def echo(messages: Sequence[Any]) -> str:
        return f"You said {messages[-1].content}."

    assert ScriptedModel([echo]).invoke("hi").content == "You said hi."


def test_requests_are_kept() -> None:
    model = ScriptedModel(["one", "two"])
    model.invoke("q")
    model.bind_tools([add]).invoke("r")
    assert [request.messages for request in model.requests] == [[HumanMessage("q")], [HumanMessage("r")]]
    assert [tool.name for tool in model.requests[1].tools] == ["add"]


def test_a_bound_copy_goes_on_with_the_same_script() -> None:
    model = ScriptedModel(["one", "two"])
    model.invoke("q")
    assert model.bind_tools([add]).invoke("q").content == "two"


def test_a_script_that_is_used_up_says_so() -> None:
    model = ScriptedModel(["one"])
    model.invoke("q")
    with pytest.raises(RuntimeError, match=r"has 1 answers, and this is call 2; .* HumanMessage\('again'\)"):
        model.invoke("again")


def test_a_script_may_repeat() -> None:
    model = ScriptedModel(["one", "two"], repeat=True)
    assert [model.invoke("q").content for _ in range(5)] == ["one", "two", "one", "two", "one"]


def test_a_text_is_no_script() -> None:
    with pytest.raises(TypeError, match="a script is a list of answers, not 'one'"):
        ScriptedModel("one")


def test_what_is_no_answer_is_refused() -> None:
    with pytest.raises(TypeError, match="cannot answer with 3"):
        ScriptedModel([3]).invoke("q")
