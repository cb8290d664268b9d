"""Blocks of items that an earlier value had too are not divided again, and nothing else changes by that."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import CellReader
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer

SAMPLES = ["short", "x" * 300, "y" * 1000, ["z" * 5000] * 3]
CHOICES = st.lists(st.sampled_from(range(len(SAMPLES))), max_size=200)


class CountingSerializer(JsonPlusSerializer):
    dumps = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.dumps += 1
        return super().dumps_typed(obj)


def messages(count: int) -> list[Any]:
    return [{"role": "user", "content": f"{number:1000}"} for number in range(count)]


def test_appending_divides_the_last_block_only() -> None:
    serde = CountingSerializer()
    before = CellWriter(serde, PLAIN).root(messages(640))
    serde.dumps, writer = 0, CellWriter(serde, PLAIN)
    writer.root(messages(641), before)
    assert serde.dumps == 2  # its message: how large it is, and as a segment
    assert [cell.tag for cell in writer.found.values()].count("msgpack") == 1


def test_what_has_not_changed_of_a_dict_is_not_encoded_again() -> None:
    serde, entries = CountingSerializer(), dict(enumerate(messages(640)))
    before = CellWriter(serde, PLAIN).root(entries)
    serde.dumps = 0
    assert CellWriter(serde, PLAIN).root(entries, before) == before
    assert serde.dumps == 0
    entries[100]["content"] = "other"
    assert CellWriter(serde, PLAIN).root(entries, before)[:2] == fresh(entries)[:2] != before[:2]


def test_what_was_too_little_to_be_divided_is_not_taken_for_stored() -> None:
    items = ["small"] * 70
    early, late = (CellWriter(JsonPlusSerializer(), PLAIN) for _ in range(2))
    grown = [*items, *["x" * 300] * 70]
    root = late.root(grown, early.root(items))
    assert CellReader(JsonPlusSerializer(), early.found | late.found).value(root.cell) == grown


def test_blocks_that_are_all_the_same_are_stored_once() -> None:
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    writer.root([1] * 64 * 100)
    assert max(len(cell.data) for cell in writer.found.values()) < 100


def test_an_item_that_was_changed_in_place_is_seen() -> None:
    items = messages(640)
    before = CellWriter(JsonPlusSerializer(), PLAIN).root(items)
    items[100]["content"] = "other"
    assert CellWriter(JsonPlusSerializer(), PLAIN).root(items, before)[:2] == fresh(items)[:2]


@given(CHOICES, CHOICES, st.booleans())
def test_what_is_known_makes_no_difference_to_what_is_stored(
    first: list[int], second: list[int], as_dict: bool
) -> None:
    one, other = (value_of(choices, as_dict) for choices in (first, second))
    earlier, later = (CellWriter(JsonPlusSerializer(), PLAIN) for _ in range(2))
    after = later.root(other, earlier.root(one))
    assert after[:2] == fresh(other)[:2]
    assert CellReader(JsonPlusSerializer(), earlier.found | later.found).value(after.cell) == other


def value_of(choices: list[int], as_dict: bool) -> Any:
    items = [SAMPLES[choice] for choice in choices]
    return dict(enumerate(items)) if as_dict else items


def fresh(value: Any) -> Root:
    return CellWriter(JsonPlusSerializer(), PLAIN).root(value)
