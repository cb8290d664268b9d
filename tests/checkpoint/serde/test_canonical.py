"""Bytes that do not depend on the order of dicts and sets, and on nothing else that is not the value."""

import subprocess
import sys
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.serde._canonical import canonical
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer


@dataclass
class Point:
    x: Any = 0
    tags: dict[str, Any] = field(default_factory=dict)


@dataclass
class Other:
    x: Any = 0


SERIALIZER = JsonPlusSerializer(allow=[Point, Other])


def told(value: Any) -> bytes:
    return canonical(*SERIALIZER.dumps_typed(value))


SCALARS = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text() | st.binary() | st.dates()
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(0, 5), inner, max_size=4)
        | st.builds(Point, inner, st.dictionaries(st.text(max_size=2), inner, max_size=3))
        | st.builds(Other, inner)
    ),
    max_leaves=12,
)


def turned(value: Any) -> Any:
    """An equal value whose dicts are in the opposite order."""
    match value:
        case dict():
            return {key: turned(item) for key, item in reversed(value.items())}
        case list() | tuple():
            return type(value)(map(turned, value))
        case Point():
            return Point(turned(value.x), turned(value.tags))
        case Other():
            return Other(turned(value.x))
    return value


@given(VALUES)
def test_the_order_of_dicts_does_not_matter(value: Any) -> None:
    assert told(turned(value)) == told(value)


@given(VALUES, VALUES)
def test_values_that_differ_are_told_apart(one: Any, other: Any) -> None:
    if SERIALIZER.dumps_typed(one) != SERIALIZER.dumps_typed(turned(other)):
        assert told(one) != told(other) or one == other


@pytest.mark.parametrize(
    ("one", "other"),
    [([1, 2], [2, 1]), ([1], (1,)), ({}, []), ({"a": 1}, [["a", 1]]), ({1}, frozenset({1})), (1, "1")],
)
def test_what_is_not_the_same_is_told_apart(one: Any, other: Any) -> None:
    assert told(one) != told(other)


def test_sets_are_told_alike_in_every_process() -> None:
    script = (
        "from aiograph.checkpoint.serde._canonical import canonical as c\n"
        "from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer as J\n"
        "print(c(*J().dumps_typed({'k': {str(n) for n in range(50)}})).hex())"
    )
    words = [sys.executable, "-c", script]
    seen = {
        subprocess.run(
            words,
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(seen) == 1


def test_a_class_is_told_alike_wherever_it_comes_first() -> None:
    one = {"a": Point(1), "b": Other(2), "c": Point(date(2026, 1, 1))}
    assert told(one) == told({key: one[key] for key in "cba"})


def test_a_blob_of_another_kind_is_told_as_it_is() -> None:
    assert canonical("own", b"x") != canonical("own", b"y")
    assert canonical("bytes", b"x") != canonical("null", b"x")
