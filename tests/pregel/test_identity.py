"""What tells code from other code: functions, methods, partials, objects and compiled graphs."""

import functools
import subprocess
import sys
from typing import Any, TypedDict

import pytest

from aiograph.graph import START, StateGraph
from aiograph.pregel._identity import digest_of, name_of


class State(TypedDict, total=False):
    n: int


def made(text: str) -> Any:
    names: dict[str, Any] = {"__name__": "edited"}
    exec(text, names)
    return names["f"]


def adds(number: Any) -> Any:
    return lambda state: state + number


class Adder:
    def __init__(self, number: int) -> None:
        self.number = number

    def __call__(self, state: int) -> int:
        return state + self.number

    def method(self, state: int) -> int:
        return state - self.number


def graph_of(node: Any) -> Any:
    return StateGraph(State).add_node("n", node).add_edge(START, "n").compile()


SAME = [
    (made("def f(s): return s + 1"), made("\n\ndef f(s):\n    # a comment\n    return s + 1")),
    (adds(1), adds(1)),
    (functools.partial(divmod, 1), functools.partial(divmod, 1)),
    (Adder(1), Adder(2)),
    (Adder(1).method, Adder(2).method),
    (graph_of(adds(1)), graph_of(adds(1))),
    (len, len),
]

OTHER = [
    (made("def f(s): return s + 1"), made("def f(s): return s + 2")),
    (made("def f(s): return s + 1"), made("def f(s): return s - 1")),
    (made("def f(s): return len(s)"), made("def f(s): return min(s)")),
    (made("def f(s, n=1): return n"), made("def f(s, n=2): return n")),
    (made("def f(s, *, n=1): return n"), made("def f(s, *, n=2): return n")),
    (made("def f(s): return [x + 1 for x in s]"), made("def f(s): return [x + 2 for x in s]")),
    (made("def f(s): return s in {1, 2}"), made("def f(s): return s in {1, 3}")),
    (adds(1), adds(2)),
    (adds({"a": [1]}), adds({"a": [2]})),
    (adds(adds(1)), adds(adds(2))),
    (functools.partial(adds, 1), functools.partial(adds, 2)),
    (Adder(1), Adder(1).method),
    (graph_of(adds(1)), graph_of(adds(2))),
    (len, min),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_what_does_the_same_is_the_same(one: Any, other: Any) -> None:
    assert digest_of(one) == digest_of(other)


@pytest.mark.parametrize(("one", "other"), OTHER)
def test_what_does_something_else_is_not_the_same(one: Any, other: Any) -> None:
    assert digest_of(one) != digest_of(other)


def test_a_function_that_refers_to_itself_has_an_identity() -> None:
    def make() -> Any:
        def again(state: int) -> int:
            return again(state - 1) if state else later(state)

        digest_of(again)  # `later` has no value yet

        def later(state: int) -> int:
            return state

        return again

    assert digest_of(make()) == digest_of(make())


def test_the_digest_is_the_same_in_every_process() -> None:
    script = (
        "from aiograph.pregel._identity import digest_of\n"
        "def f(s, k={'x', 'y', 'z'}): return s in {'a', 'b', 'c', 'd'} or (lambda: k)()\n"
        "print(digest_of(f))"
    )
    words = [sys.executable, "-c", script]
    assert len({subprocess.run(words, capture_output=True, check=True).stdout for _ in range(3)}) == 1


def test_names() -> None:
    assert name_of(functools.partial(functools.partial(adds, 1))) == f"{__name__}.adds"
    assert name_of(Adder(1)) == f"{__name__}.Adder"
    assert name_of(Adder(1).method) == f"{__name__}.Adder.method"
    assert name_of(len) == "builtins.len"
    assert name_of(None) == "builtins.NoneType"
