"""Values as cells: they come back whole, equal ones are equal cells, and a change costs what it changes."""

import random
import time
import tracemalloc
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import msgpack  # type: ignore[import-untyped]  # has no annotations
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.serde import _cells, _dividing
from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell, CellReader, reach
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._document import reading
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde._stored import Key
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError
from aiograph.messages import HumanMessage

SERDE = JsonPlusSerializer()


class Encoded(NamedTuple):
    """A value, and the cells it leads to."""

    root: Root
    found: Mapping[bytes, Cell]


def encode(value: Any, before: Root | None = None) -> Encoded:
    writer = CellWriter(SERDE, PLAIN)
    return Encoded(writer.root(value, before), writer.found)


def decode(cell: Cell, cells: Mapping[bytes, Cell]) -> Any:
    return CellReader(SERDE, cells).value(cell)


def decoding(cell: Cell, cells: Mapping[bytes, Cell]) -> Any:
    """As savers decode: whatever goes wrong becomes the one error that tells where."""
    return reading(Key("t", "", "id"), "channel 'a'", CellReader(SERDE, cells).value, cell)


def size(cells: Mapping[bytes, Cell]) -> int:
    """Bytes that are stored of them."""
    return sum(len(cell.data) + len(cell.refs) for cell in cells.values())


def cost(old: Any, new: Any) -> int:
    """Bytes that have to be stored for a value where another one is stored already."""
    before, after = encode(old), encode(new)
    added = {address: cell for address, cell in after.found.items() if address not in before.found}
    return size(added) + len(after.root.cell.data) + len(after.root.cell.refs)


def shape(value: Any) -> Any:
    """The value with its types, so that `1`, `1.0` and `True` differ, and so do a list and a tuple."""
    if isinstance(value, dict):
        return dict, [(shape(key), shape(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [shape(item) for item in value]
    return type(value), repr(value)


# -- whatever a value is ---------------------------------------------------------------------------

sizes = st.integers(0, 1500)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.builds(lambda letter, count: letter * count, st.sampled_from("aü✓"), sizes)
    | st.binary(max_size=300)
)
keys = st.text(max_size=4) | st.integers() | st.tuples(st.booleans(), st.binary(max_size=4)) | st.none()
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=8)
        | st.tuples(inner, inner)
        | st.dictionaries(keys, inner, max_size=8)
        # long ones, with items that repeat: they are divided
        | st.builds(lambda item, count: [item, count] * count, inner, st.integers(0, 80))
        | st.builds(lambda item, count: dict.fromkeys(range(count), item), inner, st.integers(0, 80))
    ),
    max_leaves=6,
)


@given(values)
def test_every_value_comes_back(value: Any) -> None:
    root, found = encode(value)
    assert shape(decode(root.cell, found)) == shape(value)


@given(values)
def test_a_root_knows_all_cells_that_it_leads_to(value: Any) -> None:
    root, found = encode(value)
    assert root.reach == reach([root.cell], found) == found.keys()


@given(values, values)
def test_equal_values_are_equal_cells_whatever_came_before(value: Any, other: Any) -> None:
    alone, earlier = encode(value), encode([other, value])
    writer = CellWriter(SERDE, PLAIN)
    writer.root(other)
    after_another = writer.root(value, earlier.root)
    assert (after_another.cell, after_another.reach) == (alone.root.cell, alone.root.reach)


@given(values, st.lists(values, max_size=3))
def test_a_value_can_grow_from_an_earlier_one(value: Any, more: list[Any]) -> None:
    old, stored = encode([value, *more])
    new = CellWriter(SERDE, PLAIN)
    root = new.root([value, *more, value], old)
    assert shape(decode(root.cell, {**stored, **new.found})) == shape([value, *more, value])


def test_equal_parts_come_back_as_different_objects() -> None:
    inner: list[Any] = [["q" * 300] * 3, {"k": "v" * 300}]
    root, found = encode([inner, inner] * 50)
    again = decode(root.cell, found)
    again[0][0].append("more")
    again[0][1]["k"] = "changed"
    assert again[1:] == [inner] * 99


def test_small_values_stand_where_they_are_needed() -> None:
    for value in (None, 1, "x" * 200, [1, 2, 3], {"a": "b"}, [], {}):
        root, found = encode(value)
        assert found == {}
        assert root.cell.refs == b""


@pytest.mark.parametrize("depth", [10, 50, 90])
def test_values_may_be_deep(depth: int) -> None:
    value: Any = "x" * 600
    for level in range(depth):
        value = [value, level] if level % 2 else {"inner": value, "level": level}
    root, found = encode(value)
    assert decode(root.cell, found) == value


def test_only_plain_lists_and_dicts_are_divided() -> None:
    for value in (tuple(range(5000)), set(range(5000)), "x" * 5000, b"x" * 5000):
        root, found = encode(value)
        assert [cell.tag for cell in found.values()] == [SERDE.dumps_typed(value)[0]]
        assert shape(decode(root.cell, found)) == shape(value)


# -- what a change costs ---------------------------------------------------------------------------


@pytest.fixture
def items(request: pytest.FixtureRequest) -> list[Any]:
    """1,025 items of the asked size in bytes, more or less."""
    noise = random.Random(request.param)
    return [{"role": "user", "content": noise.randbytes(request.param // 2).hex()} for _ in range(1025)]


CHANGES: dict[str, Callable[[list[Any], Any, int], list[Any]]] = {
    "changed": lambda items, new, at: [*items[:at], new, *items[at + 1 :]],
    "inserted": lambda items, new, at: [*items[:at], new, *items[at:]],
    "removed": lambda items, new, at: [*items[:at], *items[at + 1 :]],
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("items", [1000], indirect=True)
def test_one_item_of_a_mebibyte_costs_little(items: list[Any], change: str) -> None:
    *stored, new = items
    places = [0, 1, *range(60, 1000, 60), 1022, 1023]
    assert max(cost(stored, CHANGES[change](stored, new, at)) for at in places) < 2048


@pytest.mark.parametrize("items", [300, 1000], indirect=True)
def test_items_that_are_appended_cost_little_more_than_themselves(items: list[Any]) -> None:
    stored: set[bytes] = set()
    written = 0
    for length in range(1, 501):
        root, found = encode(items[:length])
        written += len(root.cell.data) + len(root.cell.refs)
        written += size({address: cell for address, cell in found.items() if address not in stored})
        stored.update(found)
    assert written < 1.6 * size(found)


@pytest.mark.parametrize("items", [300], indirect=True)
def test_a_window_that_moves_over_messages_costs_little(items: list[Any]) -> None:
    for start in range(0, 900, 90):
        assert cost(items[start : start + 100], items[start + 1 : start + 101]) < 2048


def test_one_number_of_ten_thousand_costs_little() -> None:
    numbers = list(range(10_000))
    assert size(encode(numbers).found) < 40_000
    for at in (0, 5000, 9999):
        assert cost(numbers, [*numbers[:at], -1, *numbers[at + 1 :]]) < 2048
    assert cost(numbers, [*numbers, 10_000]) < 1024


@pytest.mark.parametrize("length", [30, 300, 3000])
def test_one_entry_of_a_large_dict_costs_little(length: int) -> None:
    entries = {f"key {number}": f"{number}" + "x" * length for number in range(1000)}
    for number in (0, 500, 999):
        changed = {**entries, f"key {number}": "y" * length}
        assert cost(entries, changed) < length + 2500
    assert cost(entries, {**entries, "new": "y" * length}) < length + 2500


def test_one_message_in_a_nested_state_costs_little() -> None:
    def state(last: str) -> Any:
        history = [{"role": "user", "content": f"{number}" * 300} for number in range(300)]
        return {"user": {"name": "ann", "threads": {"first": {"history": [*history, last]}}}}

    assert cost(state("a"), state("b")) < 3000


# -- budgets ---------------------------------------------------------------------------------------


def test_a_message_that_is_written_by_itself_costs_nothing_more_in_a_list() -> None:
    messages = [HumanMessage("x" * 1000, id=str(number)) for number in range(9)]
    writer = CellWriter(SERDE, PLAIN)
    whole = writer.whole(messages[-1])
    write = writer.draft(messages[-1], whole)
    assert decode(write.root.cell, writer.found) == messages[-1]
    assert decode(writer.root(messages[-1], draft=write).cell, writer.found) == messages[-1]
    assert writer.found.keys() <= encode(messages).found.keys()


def test_what_repeats_itself_too_often_is_stored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    value = ["x" * 100_000] * 100
    divided = encode(value)
    assert size(divided.found) < 110_000
    for module in (_cells, _dividing):
        monkeypatch.setattr(module, "MAX_REPEATED", 1_000_000)
    root, found = encode(value)
    assert len(found) == 1
    assert decode(root.cell, found) == value
    with pytest.raises(CheckpointDeserializationError, match="larger than anything"):
        decode(divided.root.cell, divided.found)


def test_what_has_too_many_parts_is_stored_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    value = [[f"{number}" * 100, number] for number in range(1000)]
    assert len(encode(value).found) > 1000
    for module in (_cells, _dividing):
        monkeypatch.setattr(module, "MAX_VISITS", 1000)
    root, found = encode(value)
    assert len(found) == 1
    assert decode(root.cell, found) == value


@pytest.mark.parametrize("small", [None, 1, "a", ["a", "b"]])
def test_small_items_between_large_ones_have_these_encoded_a_few_times_only(
    small: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded = 0

    def counted(self: JsonPlusSerializer, value: Any) -> tuple[str, bytes]:
        nonlocal encoded
        tag, data = dumps_typed(self, value)
        encoded += len(data)
        return tag, data

    dumps_typed = JsonPlusSerializer.dumps_typed
    value = [f"{number:05}" * 1000 if number % 2 else small for number in range(640)]
    size = len(SERDE.dumps_typed(value)[1])
    monkeypatch.setattr(JsonPlusSerializer, "dumps_typed", counted)
    encode(value)
    assert encoded < 8 * size


def test_a_large_item_may_occur_often() -> None:
    value = ["x" * 500_000] * 100
    assert len(value) * len(value[0]) > _cells.MAX_REPEATED
    root, found = encode(value)
    assert decode(root.cell, found) == value


def _nested_twice(leaf: Cell, join: Callable[[bytes], Cell]) -> tuple[Cell, dict[bytes, Cell]]:
    """A bomb: forty cells, each of which refers twice to the one below."""
    cells, cell = {}, leaf
    for _ in range(40):
        address = PLAIN.address(*cell)
        cells[address] = cell
        cell = join(address * 2)
    return cell, cells


PAIR = msgpack.packb([("@", b"", 1)] * 2)

BOMBS: dict[str, tuple[Any, Callable[[bytes], Cell]]] = {
    "a small list": ([None], lambda refs: Cell("l+", b"", refs)),
    "a large list": ([None] * 60_000, lambda refs: Cell("l+", b"", refs)),
    "a small text": (["x" * 300], lambda refs: Cell("l", PAIR, refs)),
    "a large text": (["x" * 100_000], lambda refs: Cell("l+", b"", refs)),
    "a dict": ({"a": "x" * 300}, lambda refs: Cell("d+", b"", refs)),
}


@pytest.mark.parametrize(("leaf", "join"), BOMBS.values(), ids=BOMBS)
def test_a_bomb_is_refused_before_it_goes_off(leaf: Any, join: Callable[[bytes], Cell]) -> None:
    cell, cells = _nested_twice(Cell(*SERDE.dumps_typed(leaf)), join)
    with pytest.raises(CheckpointDeserializationError, match="larger than anything"):
        decode(cell, cells)


def test_a_bomb_takes_little_memory() -> None:
    leaf = Cell(*SERDE.dumps_typed([None] * 60_000))
    cell, cells = _nested_twice(leaf, lambda refs: Cell("l+", b"", refs))
    tracemalloc.start()
    try:
        with pytest.raises(CheckpointDeserializationError):
            decode(cell, cells)
        assert tracemalloc.get_traced_memory()[1] < 400_000_000
    finally:
        tracemalloc.stop()


# -- damage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("items", [300], indirect=True)
def test_each_missing_cell_is_an_error(items: list[Any]) -> None:
    root, found = encode({"a": items[:100], "b": {"c": items[100:200]}})
    for address in found:
        rest = {each: cell for each, cell in found.items() if each != address}
        with pytest.raises(CheckpointDeserializationError, match=f"{address.hex()}, is not in the storage"):
            decoding(root.cell, rest)


def test_a_long_chain_is_an_error() -> None:
    cells, cell = {}, Cell(*SERDE.dumps_typed("x"))
    for _ in range(5000):
        address = PLAIN.address(*cell)
        cells[address] = cell
        cell = Cell("@", b"", address)
    with pytest.raises(CheckpointDeserializationError):
        decoding(cell, cells)


TEXT = Cell(*SERDE.dumps_typed("x" * 300))
AT = PLAIN.address(*TEXT)


@pytest.mark.parametrize(
    "forged",
    [
        Cell("l+", b"", AT),
        Cell("d+", b"", AT),
        Cell("l", b"\xc1"),
        Cell("l", msgpack.packb([("@", b"", 1)])),
        Cell("l", msgpack.packb([("@", b"", -1)]), AT),
        Cell("l", msgpack.packb(7)),
        Cell("m", msgpack.packb([]), AT),
        Cell("m", msgpack.packb([("@", b"", 1), ("@", b"", 1)]), AT * 2),
        Cell("@", b"", AT[:5]),
        Cell("1", b"", AT),
        Cell("1", b"", b""),
        Cell("@", b"", b""),
        Cell("unknown", b"x"),
        Cell("", b""),
    ],
    ids=str,
)
def test_a_forged_cell_is_an_error(forged: Cell) -> None:
    with pytest.raises(CheckpointDeserializationError, match=r"^thread 't', checkpoint 'id', channel 'a': "):
        decoding(forged, {AT: TEXT})


@given(st.binary(max_size=60), st.sampled_from(["@", "1", "l", "m", "n", "l+", "d+"]), st.binary(max_size=48))
def test_whatever_stands_in_a_cell_the_error_is_ours(data: bytes, tag: str, refs: bytes) -> None:
    started = time.perf_counter()
    with suppress(CheckpointDeserializationError):
        decoding(Cell(tag, data, refs), {AT: TEXT})
    assert time.perf_counter() - started < 1
