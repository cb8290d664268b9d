import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from io import StringIO
from pathlib import PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel
from rich.console import Console

from aiograph.cli._given import Refusal
from aiograph.cli._show import age, as_json, laid_out, nodes_of, plain, print_error, print_values, shortened
from aiograph.messages import AIMessage, HumanMessage, ToolCall, ToolMessage, coerce_message
from aiograph.types import Send


class Colour(Enum):
    RED = "red"


class Pair(NamedTuple):
    left: int
    right: int


@dataclass
class Point:
    x: int
    tags: frozenset[str]


class Model(BaseModel):
    colour: Colour


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        ({1: Pair(1, 2), (1, 2): "x", Colour.RED: 1}, {"1": [1, 2], "[1, 2]": "x", "red": 1}),
        ({3, 1, 2}, [1, 2, 3]),
        (Point(1, frozenset("ba")), {"x": 1, "tags": ["a", "b"]}),
        (Model(colour=Colour.RED), {"colour": "red"}),
        (b"\x00", "b'\\x00'"),
        (float("nan"), "nan"),
        (datetime(2030, 1, 2, tzinfo=UTC), "2030-01-02 00:00:00+00:00"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (PurePosixPath("/a"), "/a"),
        (ValueError("no"), "ValueError('no')"),
        (Send("node", 1), "Send(node='node', arg=1)"),
    ],
)
def test_anything_becomes_json(value: Any, expected: Any) -> None:
    assert plain(value) == expected
    assert json.loads(as_json(value)) == expected


def test_a_message_tells_who_says_it_and_can_be_said_again() -> None:
    call = ToolCall(name="add", args={"a": 1}, id="7", type="tool_call")
    said = AIMessage(tool_calls=[call], id="1")
    assert plain(said) == {"type": "ai", "content": "", "id": "1", "tool_calls": [call]}
    for message in (said, HumanMessage("hi"), ToolMessage("3", tool_call_id="7", name="add")):
        assert coerce_message(plain(message)) == message


def test_json_is_one_line_that_any_terminal_can_take() -> None:
    assert as_json({"a": "ü\n\ud800"}) == '{"a": "\\u00fc\\n\\ud800"}'


def test_long_values_are_shortened_and_say_so() -> None:
    long = {"text": "x" * 1234, "list": list(range(1000)), "short": [1, 2]}
    short = shortened(long)
    assert short["text"] == "x" * 200 + "… (1,234 characters)"
    assert short["list"] == [*range(10), "… 990 more"]
    assert short["short"] == [1, 2]


def test_wide_and_deep_values_are_shortened_and_say_so() -> None:
    many = {str(number): number for number in range(100)}
    wide = shortened({**many, "0": many})
    assert (len(wide), wide["…"]) == (31, "70 more keys")
    assert (len(wide["0"]), wide["0"]["…"]) == (11, "90 more keys")
    assert shortened({"a": {"b": {"c": {"d": 1}}}}) == {"a": {"b": {"c": "{… 1 key}"}}}
    assert shortened([[[[1, 2], []]]]) == [[["[… 2 items]", []]]]


def test_what_fits_on_a_line_is_on_one() -> None:
    assert laid_out({"a": [1, {"ü": None}], "b": {}}) == '{"a": [1, {"ü": None}], "b": {}}'.replace(
        "None", "null"
    )
    wide = {"numbers": [1, 2, 3], "texts": ["x" * 60, "y" * 30]}
    assert laid_out(wide) == (
        '{\n  "numbers": [1, 2, 3],\n  "texts": [\n    "' + "x" * 60 + '",\n    "' + "y" * 30 + '"\n  ]\n}'
    )
    assert json.loads(laid_out(wide)) == wide


@pytest.mark.parametrize("terminal", [False, True])
def test_values_are_printed_as_they_are(terminal: bool) -> None:
    output = StringIO()
    console = Console(file=output, width=40, force_terminal=terminal, no_color=True, color_system=None)
    print_values(console, {"[red]": "x" * 100, "lone": "\ud800"})
    assert json.loads(output.getvalue()) == {"[red]": "x" * 100, "lone": "\ud800"}
    assert output.getvalue().isascii()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (-5, "0 s"), (59, "59 s"), (60, "1 min"), (7200, "2 h"), (86_400 * 3, "3 d")],
)
def test_age(seconds: int, text: str) -> None:
    assert age((datetime.now(UTC) - timedelta(seconds=seconds + 0.2)).isoformat()) == text


def test_nodes_are_counted() -> None:
    assert nodes_of(["b", "a", "b"]) == "b x2, a"


def printed(error: BaseException, *, full: bool = False) -> str:
    output = StringIO()
    print_error(Console(file=output, width=40), error, full=full)
    return output.getvalue()


def test_an_error_is_one_line_and_its_notes() -> None:
    error = ValueError("a [bold] message that is longer than the terminal is wide")
    error.add_note("in node 'a', step 1, task 2")
    assert printed(error).splitlines() == [
        "error: ValueError: a [bold] message that is longer than the terminal is wide",
        "  in node 'a', step 1, task 2",
    ]


def test_a_refusal_needs_no_name() -> None:
    assert printed(Refusal("no such thing")) == "error: no such thing\n"


def test_an_error_without_a_message_is_its_name() -> None:
    assert printed(KeyboardInterrupt()) == "error: KeyboardInterrupt\n"


def test_a_traceback_on_request() -> None:
    try:
        raise ValueError("no")
    except ValueError as error:
        text = printed(error, full=True)
    assert text.startswith("Traceback (most recent call last):")
    assert text.endswith("ValueError: no\n")
