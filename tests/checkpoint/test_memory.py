"""The in-memory saver passes the contract, and never waits."""

import operator
import os
import signal
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from enum import Enum
from typing import Annotated, Any, TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph._ids import digest_id
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    Checkpoint,
    Retention,
    Superstep,
    TaskWrites,
    config_for,
    empty_checkpoint,
)
from aiograph.checkpoint.memory import InMemorySaver, MemorySaver
from aiograph.checkpoint.memory._kept import Row, is_fixed
from aiograph.checkpoint.serde._cells import Cell
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.graph import StateGraph
from aiograph.testing.savers import SaverContract, make_checkpoint


class TestInMemorySaver(SaverContract):
    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        yield InMemorySaver()


def run_through(operation: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that never waits."""
    try:
        operation.send(None)
    except StopIteration as end:
        return end.value
    pytest.fail("it waited")


def test_no_verb_ever_waits() -> None:
    saver = InMemorySaver()
    assert saver.never_suspends
    config = run_through(saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1}))
    run_through(saver.aput_writes(config, [("a", 1)], "task"))
    assert run_through(saver.aget_tuple(config)).pending_writes == [("task", "a", 1)]
    run_through(saver.awithdraw_writes(config, ["task"]))
    assert run_through(saver.aget_tuple(config)).pending_writes == []
    run_through(saver.adelete_thread("t"))
    assert run_through(saver.aget_tuple(config)) is None


def test_an_unchanged_value_is_kept_once() -> None:
    saver, config = InMemorySaver(), config_for("t", "")
    for step in range(10):
        versions: Any = {"large": 1, "n": step + 1}
        checkpoint = make_checkpoint({"large": "x" * 1000, "n": step}, versions=versions)
        changed = {"n": step + 1} if step else versions
        config = run_through(saver.aput(config, checkpoint, {}, changed))
    assert sum(len(cell.data) for cell in saver._threads["t"].cells.values()) < 1100


def test_the_id_of_a_task_is_made_when_its_writes_are_read() -> None:
    saver, place = InMemorySaver(), ("checkpoint", "", "1", "node", "pull", "x")
    config = run_through(saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1}))
    run_through(saver.arecord(config, [saver.encode_writes(TaskWrites(place, "", [("a", 1)]))]))
    assert run_through(saver.aget_tuple(config)).pending_writes == [(digest_id(place), "a", 1)]
    run_through(saver.awithdraw_writes(config, [digest_id(place)]))
    assert run_through(saver.aget_tuple(config)).pending_writes == []


# -- values that cannot change are kept as they are --------------------------------------------------


class Text(str):
    """Has attributes, and is not what it looks like."""


@pytest.mark.parametrize("value", [None, True, 0, -(2**63), 2**63 - 1, 1.5, "", "ü" * 60, "\ud800", b"\xff"])
def test_a_small_value_that_cannot_change_is_kept_as_it_is(value: Any) -> None:
    assert is_fixed(value)


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, "x" * 61, b"x" * 61, (), [], {}, Text("x"), Enum])
def test_every_other_value_is_encoded(value: Any) -> None:
    assert not is_fixed(value)


plain = st.none() | st.booleans() | st.integers() | st.floats() | st.binary(max_size=70)
texts = st.text(st.characters(), max_size=70)


@given(plain | texts)
def test_what_is_kept_comes_back_as_what_the_serializer_makes_of_it(value: Any) -> None:
    saver, serde = InMemorySaver(), JsonPlusSerializer()
    config = run_through(saver.aput(config_for("t", ""), make_checkpoint({"a": value}), {}, {"a": 1}))
    run_through(saver.aput_writes(config, [("a", value)], "task"))
    found = run_through(saver.aget_tuple(config))
    expected = serde.loads_typed(serde.dumps_typed(value))
    for read in (found.checkpoint["channel_values"]["a"], found.pending_writes[0][2]):
        assert type(read) is type(expected)
        assert repr(read) == repr(expected)


class Shouting(JsonPlusSerializer):
    """A serializer of somebody else's, which sees to texts."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return super().dumps_typed(obj.upper() if type(obj) is str else obj)


def test_another_serializer_gets_to_see_every_value() -> None:
    saver = InMemorySaver(serde=Shouting())
    config = run_through(saver.aput(config_for("t", ""), make_checkpoint({"a": "b"}), {}, {"a": 1}))
    run_through(saver.aput_writes(config, [("a", "c")], "task"))
    assert all(type(kept) is Cell for kept in saver._threads["t"].lines[""].kept())
    found = run_through(saver.aget_tuple(config))
    assert (found.checkpoint["channel_values"], found.pending_writes) == ({"a": "B"}, [("task", "a", "C")])


# -- a checkpoint is kept as what sets it apart from its parent --------------------------------------


class State(TypedDict, total=False):
    count: int
    log: Annotated[list[int], operator.add]


STEPS = 100


class Witness(InMemorySaver):
    """Knows what the engine has handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.given: dict[str, Checkpoint] = {}

    def encode_commit(self, superstep: Superstep, writes: Any, hold: Hold | None = None) -> Any:
        self.given[superstep.checkpoint_id] = deepcopy(superstep.checkpoint())
        return super().encode_commit(superstep, writes, hold)

    def rows(self) -> Mapping[str, Row]:
        return self._threads["t"].lines[""].rows

    async def read(self) -> dict[str, Checkpoint]:
        return {each.checkpoint["id"]: each.checkpoint async for each in self.alist(config_for("t", ""))}


def chain(saver: InMemorySaver) -> Any:
    """A graph of many nodes, one after the other."""

    async def step(state: State) -> State:
        count = state.get("count", 0)
        return {"count": count + 1, "log": [count]}

    builder = StateGraph(State).add_sequence([(f"node {number}", step) for number in range(STEPS)])
    return builder.set_entry_point("node 0").compile(checkpointer=saver)


async def after_a_run(**options: Any) -> Witness:
    saver = Witness()
    config = {"configurable": {"thread_id": "t"}, "recursion_limit": 2 * STEPS}
    await chain(saver).ainvoke({"count": 0}, config, **options)
    return saver


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_every_checkpoint_comes_back_as_it_was_handed_over(durability: str) -> None:
    saver = await after_a_run(durability=durability)
    assert await saver.read() == saver.given


async def test_a_superstep_leaves_no_more_behind_than_what_it_has_changed() -> None:
    rows = (await after_a_run()).rows().values()
    assert len(rows) > STEPS
    assert sum(len(row.versions) + len(row.seen) + len(row.values) for row in rows) < 20 * STEPS


async def test_no_row_is_far_from_a_whole_one() -> None:
    saver = await after_a_run()
    rows = saver.rows()
    distance = dict[str | None, int]()
    for checkpoint_id in sorted(rows):
        row = rows[checkpoint_id]
        distance[checkpoint_id] = 0 if row.is_whole else distance[row.parent_id] + 1
    assert 10 < max(distance.values()) < STEPS


@pytest.mark.parametrize("keep_last", [1, 7, STEPS])
async def test_what_is_left_after_a_clean_up_is_whole(keep_last: int) -> None:
    saver = await after_a_run()
    await saver.asweep(Retention(keep_last=keep_last), ["t"])
    kept = sorted(saver.given)[-keep_last:]
    assert await saver.read() == {each: saver.given[each] for each in kept}
    assert sorted(saver.rows()) == kept
    assert saver.rows()[kept[0]].is_whole


async def test_a_run_goes_on_from_any_checkpoint() -> None:
    saver = await after_a_run()
    graph, middle = chain(saver), config_for("t", "", sorted(saver.given)[STEPS // 2])
    done = (await graph.aget_state(middle)).values["count"]
    await graph.aupdate_state(middle, {"log": [-1]})
    output = await graph.ainvoke(None, {"configurable": {"thread_id": "t"}, "recursion_limit": 2 * STEPS})
    assert (output["count"], output["log"][done]) == (STEPS, -1)
    assert await saver.read() == saver.given


# -- and besides -------------------------------------------------------------------------------------


async def test_it_can_be_entered_like_other_savers() -> None:
    with MemorySaver() as saver:
        await saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1})
    async with saver:
        assert await saver.aget(config_for("t", "")) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_other_threads_use_the_saver_can_use_it() -> None:
    saver, stop = InMemorySaver(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            run_through(saver.aput(config_for("busy", ""), empty_checkpoint(), {"step": 0}, {}))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert [_ends_well(saver) for _ in range(10)] == [True] * 10
    finally:
        stop.set()
        writer.join()


def _ends_well(saver: InMemorySaver) -> bool:
    """Whether a forked child can ask the saver something within some seconds."""
    if (child := os.fork()) == 0:
        signal.alarm(20)
        run_through(saver.aget_tuple(config_for("quiet", "")))
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
