"""What a thread stores comes back as what it was; what cannot be stored is refused when it is written."""

import operator
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, TypedDict
from uuid import UUID

import pytest
from pydantic import BaseModel

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import (
    CheckpointError,
    CheckpointSerializationError,
    CheckpointStorageError,
    EmptyInputError,
)
from aiograph.graph import START, StateGraph
from aiograph.types import Overwrite, RunnableConfig, Send

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class Colour(Enum):
    RED = 1


@dataclass
class Point:
    x: int
    y: int


class Order(BaseModel):
    item: str
    placed: datetime | None = None


class Unknown:
    pass


class State(TypedDict, total=False):
    value: Any
    points: list[Point | Order | Colour]
    log: Annotated[list[str], operator.add]


def keeping(value: Any, saver: Any) -> Any:
    """A graph that writes a value, breaks off, and looks at the value when it is resumed."""
    broken = [OSError("broken")]

    async def write(state: State) -> dict[str, Any]:
        return {"value": value}

    async def look(state: State) -> dict[str, Any]:
        if broken:
            raise broken.pop()
        assert type(state["value"]) is type(value)
        return {"log": ["seen"]}

    return StateGraph(State).add_sequence([write, look]).add_edge(START, "write").compile(saver)


VALUES = [
    None,
    [(1, "a"), {"deep": (None, True)}],
    {1, 2},
    frozenset("ab"),
    b"\x00\xff",
    2**100,
    float("inf"),
    "surrogate-free \U0001f600",
    datetime(2024, 2, 29, 12, tzinfo=UTC),
    Decimal("1.10"),
    UUID(int=7),
    Colour.RED,
    Point(1, 2),
    Order(item="tea", placed=datetime(2024, 1, 1, tzinfo=UTC)),
    {"lc": 2, "type": "constructor", "id": ["os", "system"]},
]


@pytest.mark.parametrize("value", VALUES, ids=[type(value).__name__ for value in VALUES])
async def test_values_come_back_as_what_they_were(value: Any, tmp_path: Path) -> None:
    async with AsyncSqliteSaver(str(tmp_path / "threads.db")) as saver:
        graph = keeping(value, saver)
        with pytest.raises(OSError, match="broken"):
            await graph.ainvoke({}, THREAD)
        assert await graph.ainvoke(None, THREAD) == {"value": value, "log": ["seen"]}


async def test_arguments_of_sends_come_back_as_what_they_were() -> None:
    seen: list[Any] = []

    async def work(argument: Any) -> None:
        seen.append(argument)
        if len(seen) == 1:
            raise OSError("broken")

    builder = StateGraph(State).add_node("work", work)
    builder.add_conditional_edges(START, lambda state: [Send("work", (Point(1, 2), {3}))], ["work"])
    graph = builder.compile(InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    await graph.ainvoke(None, THREAD)
    assert seen == [(Point(1, 2), {3})] * 2


async def test_an_overwrite_that_waits_to_be_applied_is_still_one_after_a_break() -> None:
    broken = [OSError("broken")]

    async def fragile(state: State) -> None:
        if broken:
            raise broken.pop()

    async def reset(state: State) -> dict[str, Any]:
        return {"log": Overwrite(["fresh"])}

    builder = (
        StateGraph(State)
        .add_node(reset)
        .add_node(fragile)
        .add_edge(START, "reset")
        .add_edge(START, "fragile")
    )
    graph = builder.compile(InMemorySaver(), on_error="finish")
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({"log": ["old"]}, THREAD)
    assert (await graph.ainvoke(None, THREAD))["log"] == ["fresh"]


async def test_changing_a_value_after_it_was_returned_changes_nothing_that_is_stored() -> None:
    shared: list[int] = [1]

    async def write(state: State) -> dict[str, Any]:
        return {"value": shared}

    async def spoil(state: State) -> None:
        shared.append(2)
        raise OSError("broken")

    graph = StateGraph(State).add_sequence([write, spoil]).add_edge(START, "write").compile(InMemorySaver())
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD)
    assert (await graph.aget_state(THREAD)).values["value"] == [1]


# -- what cannot be stored -----------------------------------------------------------------------------


def writing(value: Any) -> Any:
    async def first(state: State) -> dict[str, Any]:
        return {"log": ["first"]}

    async def write(state: State) -> dict[str, Any]:
        return {"value": value, "log": ["write"]}

    return StateGraph(State).add_sequence([first, write]).add_edge(START, "first").compile(InMemorySaver())


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (Unknown(), r"value"),
        ({"a": [1, Unknown()]}, r"value\.a\[1\]"),
        ({"f": print}, r"value\.f"),
        (Point(1, Unknown()), r"value\.y"),  # type: ignore[arg-type]
    ],
)
async def test_a_value_that_cannot_be_stored_is_refused_with_the_path_to_it(value: Any, path: str) -> None:
    graph = writing(value)
    with pytest.raises(CheckpointSerializationError, match=rf"thread '1', step 2: node 'write'.*{path}"):
        await graph.ainvoke({}, THREAD)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"log": ["first"]}, ("write",))
    await graph.aupdate_state(THREAD, {"value": "fine", "log": ["mended"]}, as_node="write")
    assert await graph.ainvoke(None, THREAD) == {"value": "fine", "log": ["first", "mended"]}


async def test_without_a_saver_any_value_will_do() -> None:
    value = Unknown()
    assert (await writing(value).with_checkpointer(None).ainvoke({}))["value"] is value


async def test_an_input_that_cannot_be_stored_is_refused_before_anything_runs() -> None:
    graph = writing("fine")
    with pytest.raises(CheckpointSerializationError, match=r"__start__.*Unknown"):
        await graph.ainvoke({"value": Unknown()}, THREAD)
    assert (await graph.aget_state(THREAD)).created_at is None


# -- files ---------------------------------------------------------------------------------------------


async def test_a_file_keeps_threads_from_one_process_to_the_next(tmp_path: Path) -> None:
    path = str(tmp_path / "threads.db")
    async with AsyncSqliteSaver(path) as saver:
        with pytest.raises(OSError, match="broken"):
            await keeping(1, saver).ainvoke({}, THREAD)
    async with AsyncSqliteSaver(path) as saver:
        later = keeping(1, saver)
        assert (await later.aget_state(THREAD)).next == ("look",)


def test_a_file_serves_synchronous_callers(tmp_path: Path) -> None:
    with SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as saver:
        graph = keeping(Point(1, 2), saver)
        with pytest.raises(OSError, match="broken"):
            graph.invoke({}, THREAD)
        assert graph.invoke(None, THREAD)["value"] == Point(1, 2)


async def test_a_file_that_is_no_database_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "threads.db"
    path.write_bytes(b"not a database" * 1000)
    with pytest.raises(CheckpointStorageError, match=r"threads\.db"):
        async with AsyncSqliteSaver(str(path)) as saver:
            await keeping(1, saver).ainvoke({}, THREAD)
    assert issubclass(CheckpointStorageError, CheckpointError)


async def test_a_thread_that_does_not_exist_cannot_be_resumed() -> None:
    with pytest.raises(EmptyInputError, match="no checkpoint to resume from: pass an input"):
        await keeping(1, InMemorySaver()).ainvoke(None, THREAD)
