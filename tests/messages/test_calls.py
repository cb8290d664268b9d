"""Calls of tools, as JSON text that comes in pieces and may be wrong."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.messages import AIMessageChunk, ToolCallChunk


def piece(args: str | None, *, name: str | None = None, id: str | None = None, index: int | None = 0) -> Any:
    return AIMessageChunk(tool_call_chunks=[ToolCallChunk(name=name, args=args, id=id, index=index)])


def test_pieces_of_arguments_become_a_call() -> None:
    joined = piece('{"pla', name="go", id="c1") + piece('ce": "Rome"}')
    assert joined.message().tool_calls == [
        {"name": "go", "args": {"place": "Rome"}, "id": "c1", "type": "tool_call"}
    ]


def test_pieces_of_two_calls_may_be_mixed() -> None:
    pieces = [piece('{"a"', name="f", id="1"), piece('{"b"', name="g", id="2", index=1), piece(": 1}")]
    joined = pieces[0] + pieces[1] + pieces[2] + piece(": 2}", index=1)
    assert [call["args"] for call in joined.message().tool_calls] == [{"a": 1}, {"b": 2}]


def test_a_new_id_begins_a_call_even_under_an_old_index() -> None:
    joined = piece("{}", name="f", id="1") + piece("{", name="g", id="2") + piece("}")
    assert [call["name"] for call in joined.message().tool_calls] == ["f", "g"]


def test_a_server_may_repeat_name_and_id_with_every_piece() -> None:
    joined = piece("{", name="f", id="1") + piece("}", name="f", id="1")
    assert [(call["name"], call["id"]) for call in joined.message().tool_calls] == [("f", "1")]


def test_pieces_without_an_index_go_on_with_the_last_call() -> None:
    joined = piece("{", name="f", id="1", index=None) + piece("}", index=None)
    assert joined.message().tool_calls[0]["args"] == {}


def test_a_call_without_arguments_has_none() -> None:
    assert piece(None, name="now", id="1").message().tool_calls[0]["args"] == {}
    assert piece("", name="now", id="1").message().tool_calls[0]["args"] == {}


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('{"a": ', "no JSON"),
        ("[1]", "an array"),
        ("null", "null"),
        ('"a"', "a string"),
        ('{"a": NaN}', "NaN"),
        ('{"a":' * 100_000, "no JSON"),
        ("1" * 10_000, "no JSON"),
    ],
)
def test_arguments_that_are_no_object_make_an_invalid_call_that_says_why(text: str, fault: str) -> None:
    message = piece(text, name="f", id="1").message()
    assert message.tool_calls == []
    (call,) = message.invalid_tool_calls
    assert (call["name"], call["args"], call["id"]) == ("f", text, "1")
    assert fault in str(call["error"])


def test_a_call_without_a_name_is_invalid() -> None:
    (call,) = piece("{}", id="1").message().invalid_tool_calls
    assert call["error"] == "it does not name a tool"


@given(st.text())
def test_no_text_of_a_model_raises(text: str) -> None:
    message = piece(text, name="f", id="1").message()
    assert len(message.tool_calls) + len(message.invalid_tool_calls) == 1


@given(st.dictionaries(st.text(), st.integers() | st.text()), st.lists(st.integers(0, 60)))
def test_however_json_is_cut_its_pieces_make_the_call(args: dict[str, Any], cuts: list[int]) -> None:
    text = json.dumps(args)
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    joined = piece("", name="f", id="1")
    for start, end in pairwise(bounds):
        joined += piece(text[start:end])
    assert joined.message().tool_calls[0]["args"] == args
