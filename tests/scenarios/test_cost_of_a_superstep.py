"""What a superstep writes of a large state of which little changes, and what it encodes again: little too."""

from pathlib import Path
from random import Random
from typing import Any, TypedDict
from uuid import UUID

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres.aio import AsyncPostgresSaver
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.graph import END, START, MessagesState, StateGraph
from aiograph.messages import AIMessage, HumanMessage

pytestmark = pytest.mark.anyio

ITEMS = 1024
SUPERSTEPS = 50
BYTES = 2000
"""What a superstep may write, of which the item that changes takes 1,000."""

Item = dict[str, str]


class ListState(TypedDict):
    items: list[Item]
    done: int


class DictState(TypedDict):
    items: dict[str, Item]
    done: int


def item(number: int) -> Item:
    """1 kB of random text."""
    return {"role": "user", "id": f"{number:08}", "text": Random(number).randbytes(480).hex()}


def items(schema: type) -> Any:
    numbered = [item(number) for number in range(ITEMS)]
    return numbered if schema is ListState else {each["id"]: each for each in numbered}


async def change(state: Any) -> dict[str, Any]:
    """Replaces an item here and an item there."""
    place, changed = state["done"] * 37 % ITEMS, state["items"].copy()
    changed[place if isinstance(changed, list) else f"{place:08}"] = item(ITEMS + state["done"])
    return {"items": changed, "done": state["done"] + 1}


async def written(saver: Any) -> int:
    """Bytes so far: what was bound or, in memory, what is kept."""
    if isinstance(saver, InMemorySaver):
        return sum([thread.size async for thread in saver.alist_threads()])
    return int(saver.statistics.bytes_written)


async def bytes_per_superstep(schema: type, saver: BaseCheckpointSaver) -> float:
    """What supersteps write that each change one item, on average."""
    builder: StateGraph[Any] = StateGraph(schema).add_node("change", change).add_edge(START, "change")
    builder.add_conditional_edges(
        "change", lambda state: END if state["done"] % SUPERSTEPS == 0 else "change", ["change", END]
    )
    graph = builder.compile(checkpointer=saver)
    thread = str(UUID(int=Random(0).getrandbits(128), version=4))
    config: Any = {"configurable": {"thread_id": thread}, "recursion_limit": SUPERSTEPS + 10}
    await graph.ainvoke({"items": items(schema), "done": SUPERSTEPS - 1}, config, durability="sync")
    before = await written(saver)
    state = await graph.ainvoke({"done": SUPERSTEPS}, config, durability="sync")
    assert state["done"] == 2 * SUPERSTEPS
    return (await written(saver) - before) / SUPERSTEPS


@pytest.mark.parametrize("schema", [ListState, DictState])
class TestASuperstepWritesWhatHasChanged:
    async def test_in_memory(self, schema: type) -> None:
        assert await bytes_per_superstep(schema, InMemorySaver()) <= BYTES

    async def test_in_sqlite(self, schema: type, tmp_path: Path) -> None:
        async with AsyncSqliteSaver.from_conn_string(str(tmp_path / "saved.db")) as saver:
            assert await bytes_per_superstep(schema, saver) <= BYTES

    async def test_in_postgres(self, schema: type, postgres_database: str) -> None:
        async with AsyncPostgresSaver.from_conn_string(postgres_database) as saver:
            await saver.asetup()
            assert await bytes_per_superstep(schema, saver) <= BYTES


class CountingSerializer(JsonPlusSerializer):
    """Counts the bytes that it makes."""

    encoded = 0

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        tag, data = super().dumps_typed(obj)
        self.encoded += len(data)
        return tag, data


async def reply(state: MessagesState) -> Any:
    return {"messages": [AIMessage("answer " * 100)]}


async def test_a_turn_of_a_long_conversation_encodes_what_it_adds() -> None:
    serde = CountingSerializer()
    builder: StateGraph[Any] = StateGraph(MessagesState).add_node("reply", reply).add_edge(START, "reply")
    graph = builder.compile(checkpointer=InMemorySaver(serde=serde))
    thread: Any = {"configurable": {"thread_id": "1"}}
    await graph.ainvoke({"messages": [HumanMessage("question " * 100) for _ in range(300)]}, thread)
    for _ in range(3):
        serde.encoded = 0
        await graph.ainvoke({"messages": [HumanMessage("question " * 100)]}, thread)
        assert serde.encoded < 15_000
