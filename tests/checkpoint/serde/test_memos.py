"""What is remembered of values is what was stored of them, nobody else has it, and it has its limits."""

import os
import signal
import threading
from typing import Any, TypedDict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import CellReader
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._memos import Memos
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.graph import START, StateGraph
from aiograph.messages import HumanMessage

LINE = ("t", "")
THREAD = config_for("t", "")


def messages(count: int, word: str = "word") -> list[Any]:
    return [{"id": number, "parts": [f"{word} " * 50], "score": 0.5, "name": None} for number in range(count)]


def root_of(value: Any, before: Root | None = None) -> Root:
    return CellWriter(JsonPlusSerializer(), PLAIN).root(value, before)


def remembered(memos: Memos, root: Root, line: tuple[str, str] = LINE) -> Any:
    found = memos.value(line, "1", "value", root.cell)
    return None if found is None else found[0]


KEYS = st.text() | st.integers(0, 9)
NUMBERS = st.booleans() | st.integers() | st.floats(allow_nan=False)
ATOMS = st.none() | NUMBERS | st.text() | st.binary(max_size=5)
PLAIN_VALUES = st.recursive(
    ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3)
)


@settings(max_examples=40)
@given(st.lists(st.lists(PLAIN_VALUES, min_size=1), min_size=1, max_size=4))
def test_a_list_is_remembered_as_it_would_be_read(parts: list[list[Any]]) -> None:
    value, root, writer = [*messages(70)], None, CellWriter(JsonPlusSerializer(), PLAIN)
    for more in parts:
        value = [*value, *more]
        root = writer.root(value, root)
        require_as_read(root, CellReader(JsonPlusSerializer(), writer.found).value(root.cell))


@settings(max_examples=40)
@given(st.dictionaries(KEYS, PLAIN_VALUES))
def test_so_is_a_dict(more: dict[Any, Any]) -> None:
    value = {**{f"key {number}": each for number, each in enumerate(messages(70))}, **more}
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    root = writer.root(value)
    require_as_read(root, CellReader(JsonPlusSerializer(), writer.found).value(root.cell))


def require_as_read(root: Root, read: Any) -> None:
    memos = Memos(10**6)
    memos.note(LINE, "1", {"value": root})
    value = remembered(memos, root)
    assert value is None or repr(value) == repr(read)
    assert value is not None or not root.tells_all


@pytest.mark.parametrize("value", [messages(100), dict(enumerate(messages(100)))])
def test_who_changes_what_was_remembered_changes_it_for_nobody_else(value: Any) -> None:
    memos, root = Memos(10**6), root_of(value)
    memos.note(LINE, "1", {"value": root})
    remembered(memos, root)[0]["parts"].append("more")
    assert remembered(memos, root) == value


def test_another_checkpoint_or_another_value_is_not_taken_for_it() -> None:
    memos, root = Memos(10**6), root_of(messages(100))
    memos.note(LINE, "1", {"value": root})
    assert memos.value(LINE, "2", "value", root.cell) is None
    assert memos.value(LINE, "1", "other", root.cell) is None
    assert memos.value(LINE, "1", "value", root_of(messages(101)).cell) is None
    assert memos.value(("other", ""), "1", "value", root.cell) is None


def test_what_is_in_messages_is_not_kept() -> None:
    memos = Memos(10**6)
    root = root_of([*messages(100), HumanMessage("hello")])
    memos.note(LINE, "1", {"value": root})
    assert remembered(memos, root) is None
    known = memos.root(LINE, "1", "value", root.cell)
    assert known is not None
    assert known.snapshots == {}


def test_threads_that_were_not_used_for_longest_are_forgotten_first() -> None:
    memos, root = Memos(50_000), root_of(messages(70))
    assert 15_000 < root.size < 25_000
    for name in "abca":
        memos.note((name, ""), "1", {"value": root})
    assert [name for name in "abc" if remembered(memos, root, (name, ""))] == ["a", "c"]
    memos.forget("a")
    assert [name for name in "abc" if remembered(memos, root, (name, ""))] == ["c"]
    memos.note(("b", ""), "1", {"value": root})
    assert [name for name in "abc" if remembered(memos, root, (name, ""))] == ["b", "c"]


def test_of_what_is_too_large_only_its_division_is_remembered() -> None:
    memos, small, large = Memos(30_000), root_of(messages(70)), root_of(messages(700))
    memos.note(LINE, "1", {"value": small})
    memos.note(("large", ""), "1", {"value": large})
    assert remembered(memos, large, ("large", "")) is None
    assert memos.root(("large", ""), "1", "value", large.cell) is not None
    assert remembered(memos, small) == messages(70)


# -- with a saver


class State(TypedDict):
    messages: list[Any]


class Shouting:
    """Reads something else than it was given."""

    def __init__(self) -> None:
        self._inner = JsonPlusSerializer()

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return self._inner.dumps_typed(obj)

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        value = self._inner.loads_typed(data)
        is_messages = isinstance(value, list) and isinstance(value[0], dict)
        return [{**each, "name": "LOUD"} for each in value] if is_messages else value


def conversation(saver: InMemorySaver) -> Any:
    builder = StateGraph(State)
    builder.add_node("node", lambda state: state)
    return builder.add_edge(START, "node").compile(checkpointer=saver)


def test_every_look_at_a_state_is_a_fresh_one() -> None:
    graph = conversation(InMemorySaver())
    graph.invoke({"messages": messages(100)}, THREAD)
    graph.get_state(THREAD).values["messages"][0]["parts"].clear()
    assert graph.get_state(THREAD).values["messages"] == messages(100)


def test_a_serializer_of_ones_own_reads_what_it_has_written() -> None:
    graph = conversation(InMemorySaver(serde=Shouting()))
    graph.invoke({"messages": messages(100)}, THREAD)
    assert {each["name"] for each in graph.get_state(THREAD).values["messages"]} == {"LOUD"}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_other_threads_remember_something_can_do_so_too() -> None:
    memos, root, stop = Memos(10**6), root_of(messages(70)), threading.Event()

    def note() -> None:
        while not stop.is_set():
            for name in "abcdefgh":
                memos.note((name, ""), "1", {"value": root})

    noting = threading.Thread(target=note)
    noting.start()
    try:
        assert [_ends_well(memos, root) for _ in range(20)] == [True] * 20
    finally:
        stop.set()
        noting.join()


def _ends_well(memos: Memos, root: Root) -> bool:
    """Whether a forked child can remember something within some seconds."""
    if (child := os.fork()) == 0:
        signal.alarm(5)
        memos.note(LINE, "1", {"value": root})
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
