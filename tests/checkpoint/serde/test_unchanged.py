"""Blocks of a list that are proven unchanged are not encoded again, and no change is ever missed."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langchain_core import messages as langchain

from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import CellReader
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde._unchanged import snapshot
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.messages import AIMessage, HumanMessage, SystemMessage, ToolCall, ToolMessage


class Text(str):
    """Equal to the text that it is, and yet something else."""


class CountingSerializer(JsonPlusSerializer):
    dumps = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.dumps += 1
        return super().dumps_typed(obj)


def call(number: int) -> AIMessage:
    return AIMessage(
        "", id=f"a{number}", tool_calls=[ToolCall(name="f", args={"n": number}, id=f"c{number}")]
    )


def conversation(length: int) -> list[Any]:
    makers: list[Callable[[int], Any]] = [
        lambda number: HumanMessage(f"question {number}" + "x" * 100, id=f"h{number}"),
        call,
        lambda number: ToolMessage(f"{number}", tool_call_id=f"c{number}"),
        lambda number: {"role": "user", "content": [{"type": "text", "text": f"{number}"}]},
        lambda number: langchain.AIMessage(f"answer {number}", id=f"l{number}"),
    ]
    return [makers[number % 5](number) for number in range(length)]


@pytest.mark.parametrize("length", [10, 40, 641, 660])
def test_what_has_not_changed_is_not_encoded_again(length: int) -> None:
    serde, items = CountingSerializer(), conversation(length)
    before = CellWriter(serde, PLAIN).root(items)
    serde.dumps = 0
    after = CellWriter(serde, PLAIN).root([*items, call(length)], before)
    assert serde.dumps <= 2  # the last segment, with what was added
    assert after[:2] == fresh([*items, call(length)])[:2]


def long_dict() -> dict[str, Any]:
    return {f"key {number}": {"text": f"{number}" * 100} for number in range(100)}


@pytest.mark.parametrize("value", [conversation(300), long_dict()], ids=["list", "dict"])
def test_what_a_task_has_written_is_not_divided_again_as_the_value_of_the_channel(value: Any) -> None:
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    draft = writer.draft(value, None)
    assert writer.root(value, None, draft) is draft.root


def change_a_key(value: dict[str, Any]) -> None:
    value["key 50"]["text"] = "other"


def give_up_a_key(value: dict[str, Any]) -> None:
    del value["key 50"]


def add_a_key(value: dict[str, Any]) -> None:
    value["new"] = "text"


@pytest.mark.parametrize("change", [change_a_key, give_up_a_key, add_a_key])
def test_what_has_changed_since_it_was_written_is_divided_anew(change: Callable[[Any], None]) -> None:
    value, writer = long_dict(), CellWriter(JsonPlusSerializer(), PLAIN)
    draft = writer.draft(value, None)
    change(value)
    root = writer.root(value, None, draft)
    assert root[:2] == CellWriter(JsonPlusSerializer(), PLAIN).root(value)[:2] != draft.root[:2]


def test_what_has_not_changed_of_langchains_messages_is_not_encoded_again() -> None:
    serde = CountingSerializer()
    items: list[Any] = [langchain.HumanMessage(f"question {number}" + "x" * 100) for number in range(100)]
    before = CellWriter(serde, PLAIN).root(items)
    serde.dumps = 0
    assert CellWriter(serde, PLAIN).root(items, before)[:2] == before[:2]
    assert serde.dumps == 0


@settings(max_examples=40)
@given(st.lists(st.lists(st.sampled_from([1, 50, 200, 600, 5000]), min_size=1, max_size=30), max_size=8))
def test_lists_that_grow_are_stored_as_if_nothing_were_remembered(sizes: list[list[int]]) -> None:
    items: list[Any] = []
    root, writer = None, CellWriter(JsonPlusSerializer(), PLAIN)
    for more in sizes:
        items = [*items, *({"role": "user", "content": "x" * size} for size in more)]
        root = writer.root(items, root)
        assert root[:2] == fresh(items)[:2]
        assert CellReader(JsonPlusSerializer(), writer.found).value(root.cell) == items


def give_a_text(items: list[Any]) -> None:
    items[0].content = "other"


def add_to_the_extras(items: list[Any]) -> None:
    items[0].additional_kwargs["new"] = 1


def change_an_argument(items: list[Any]) -> None:
    items[1].tool_calls[0]["args"]["n"] = 1.0


def change_the_type_of_an_argument(items: list[Any]) -> None:
    items[1].tool_calls[0]["args"]["n"] = True


def change_a_part_of_the_content(items: list[Any]) -> None:
    items[3]["content"][0]["text"] = "other"


def change_the_class(items: list[Any]) -> None:
    items[0].__class__ = SystemMessage


def swap_two_keys(items: list[Any]) -> None:
    items[3]["role"] = items[3].pop("role")


def set_a_field_to_what_it_is(items: list[Any]) -> None:
    items[4].name = None  # which a model notes


def move_an_item(items: list[Any]) -> None:
    items.insert(0, items.pop(2))


CHANGES = [
    give_a_text,
    add_to_the_extras,
    change_an_argument,
    change_the_type_of_an_argument,
    change_a_part_of_the_content,
    change_the_class,
    swap_two_keys,
    set_a_field_to_what_it_is,
    move_an_item,
]


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_seen(change: Callable[[list[Any]], None]) -> None:
    items = conversation(300)
    shot = snapshot(items)
    assert shot is not None
    assert shot.holds(items)
    before = root_of(items)
    change(items)
    assert not shot.holds(items)
    assert root_of(items, before)[:2] == fresh(items)[:2] != before[:2]


def test_what_is_equal_and_of_another_type_is_a_change() -> None:
    items = [HumanMessage("same")]
    shot = snapshot(items)
    assert shot is not None
    items[0].content = Text("same")
    assert not shot.holds(items)


@pytest.mark.parametrize(
    "item",
    [
        HumanMessage(Text("text")),
        AIMessage("", additional_kwargs={"raw": bytearray(b"1")}),
        AIMessage("", additional_kwargs={"raw": b""}),
        AIMessage("", additional_kwargs={"pair": (1, 2)}),
        AIMessage("", additional_kwargs={"half": "\ud800"}),
        AIMessage("", additional_kwargs={"large": 2**70}),
        ToolMessage("", tool_call_id="1", artifact={1, 2}),
        AIMessage("", additional_kwargs={"tags": {1}}),
        langchain.AIMessage("", additional_kwargs={"tags": {1}}),
        (1, 2),
        object(),
    ],
)
def test_what_cannot_be_told_for_sure_has_no_snapshot(item: Any) -> None:
    assert snapshot([item]) is None


def test_letters_that_look_like_bytes_are_none() -> None:
    assert snapshot([{"content": "gdzie jest łódź?"}, HumanMessage([{"type": "text", "text": "ąę"}])])


def test_a_message_that_lacks_a_field_has_no_snapshot_and_is_like_no_other() -> None:
    items = [HumanMessage("text")]
    shot = snapshot(items)
    assert shot is not None
    del items[0].name
    assert snapshot(items) is None
    assert not shot.holds(items)


def test_a_value_that_comes_back_after_a_change_is_stored_as_it_is() -> None:
    items = conversation(300)
    before = root_of(items)
    items[0].content = "other"
    between = root_of(items, before)
    items[0].content = "question 0" + "x" * 100
    assert root_of(items, between)[:2] == before[:2]


EDITS = st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(1, 40)), min_size=1, max_size=4)


@settings(max_examples=40)
@given(st.integers(60, 140), EDITS)
def test_conversations_that_change_in_place_are_stored_as_if_nothing_were_remembered(
    length: int, edits: list[tuple[Callable[[list[Any]], None], int]]
) -> None:
    items = conversation(length)
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    root = writer.root(items)
    for change, more in edits:
        part = items[(place := len(items) // 10 * 5) : place + 5]
        if [type(item) for item in part] == [type(item) for item in conversation(5)]:
            change(part)
            items[place : place + 5] = part
        items = [*items, *conversation(more)]
        root = writer.root(items, root)
        assert root[:2] == fresh(items)[:2]
        assert CellReader(JsonPlusSerializer(), writer.found).value(root.cell) == items


def root_of(items: list[Any], before: Root | None = None) -> Root:
    return CellWriter(JsonPlusSerializer(), PLAIN).root(items, before)


def fresh(items: list[Any]) -> Root:
    return root_of(items)
