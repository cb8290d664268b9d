"""How a value was divided can be told from its tree, and then it is not divided again."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._retracing import retraced
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.messages import AIMessage, HumanMessage
from tests.checkpoint.test_cached_values import messages_of, talk


class CountingSerializer(JsonPlusSerializer):
    dumps = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        self.dumps += 1
        return super().dumps_typed(obj)


def item(size: int) -> Any:
    """Some are as large as to be divided in turn."""
    return {"role": "user", "content": ["x" * 60] * (size // 60), "size": size}


def stored(value: Any) -> tuple[Root, dict[bytes, Cell]]:
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    return writer.root(value), writer.found


def read_back(root: Root, value: Any, cells: dict[bytes, Cell]) -> Root:
    """What is known of a value that somebody else has stored."""
    return retraced(Root(root.cell, root.reach), value, cells).seen(value)


SIZES = st.lists(st.sampled_from([0, 60, 240, 600, 6000]), min_size=1, max_size=40)


@settings(max_examples=40)
@given(st.lists(SIZES, max_size=10), st.booleans())
def test_it_is_as_it_was(sizes: list[list[int]], is_dict: bool) -> None:
    items = [item(size) for some in sizes for size in some]
    value: Any = {f"key {number}": each for number, each in enumerate(items)} if is_dict else items
    root, cells = stored(value)
    found = read_back(root, value, cells)
    if found.blocks:
        assert [each.division for each in found.blocks.values()] == [
            each.division for each in root.blocks.values()
        ]
        assert found.snapshots == root.snapshots
        assert found.kind is root.kind
    assert found.blocks or len(root.blocks) < 2


@settings(max_examples=40)
@given(st.lists(SIZES, max_size=10), SIZES)
def test_what_follows_is_stored_as_if_it_had_never_been_read(
    before: list[list[int]], more: list[int]
) -> None:
    value = [item(size) for some in before for size in some]
    root, cells = stored(value)
    grown = [*value, *map(item, more)]
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    after, after_all = writer.root(grown, read_back(root, value, cells)), stored(grown)[0]
    assert after.reach <= cells.keys() | writer.found.keys()
    if len(value) > 64:
        assert after[:2] == after_all[:2]


MESSAGES: list[Any] = [
    (HumanMessage, AIMessage)[number % 2](f"message {number} " * 50, id=f"{number}") for number in range(300)
]


@pytest.mark.parametrize("value", [MESSAGES, [item(600)] * 300], ids=["messages", "the same again and again"])
def test_nothing_of_it_is_encoded_again(value: list[Any]) -> None:
    root, cells = stored(value)
    serde = CountingSerializer()
    writer = CellWriter(serde, PLAIN)
    assert writer.root(value, read_back(root, value, cells))[:2] == root[:2]
    assert serde.dumps == 0


def test_what_somebody_else_has_divided_in_another_way_is_left_alone() -> None:
    value = [item(600) for _ in range(100)]
    halves = [JsonPlusSerializer().dumps_typed(value[start : start + 50]) for start in (0, 50)]
    writer = CellWriter(JsonPlusSerializer(), PLAIN)
    names = [bytes([number]) * 16 for number in range(2)]
    cells = {name: Cell(*half) for name, half in zip(names, halves, strict=True)}
    root = Root(Cell("l+", b"", b"".join(names)), frozenset(names))
    assert retraced(root, value, cells) is root
    assert writer.root(value, read_back(root, value, cells))[:2] == stored(value)[0][:2]


async def test_the_next_process_encodes_what_is_new_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, dumps = tmp_path / "checkpoints.db", list[Any]()
    async with AsyncSqliteSaver(path) as saver:
        await talk(saver, *map(str, range(100)))
    async with AsyncSqliteSaver(path) as saver:
        dump = saver._content.dumps_typed

        def noted(value: Any) -> tuple[str, bytes]:
            dumps.append(value)
            return dump(value)

        monkeypatch.setattr(saver._content, "dumps_typed", noted)
        await talk(saver, "one more")
        assert len(dumps) < 100
        assert len(await messages_of(saver)) == 202
