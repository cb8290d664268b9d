"""Savers that fail, and savers that are slow: errors reach the caller, nothing is lost, order is kept.

Every call that a run makes to its saver fails once, in every durability, with errors of several kinds;
the last kind is the most treacherous: the call did what it should, and only the answer was lost.
"""

import asyncio
import errno
import itertools
import sqlite3
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import BaseCheckpointSaver, Commit
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.constants import ERROR
from aiograph.errors import CheckpointStorageError
from aiograph.graph import END, START, StateGraph
from aiograph.testing.clock import run_virtual
from aiograph.testing.faults import FaultySaver, Mishap, SaverCall, delay, delay_turns, fail_at
from aiograph.types import Durability, RunnableConfig
from tests.faults.backends import line_of
from tests.faults.rig import (
    CONFIG,
    INPUT,
    BeginningSaver,
    Diary,
    Graph,
    State,
    final_state,
    go_on,
    outer_graph,
    turns,
)

DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")
ROUNDS = 3


class Kind(NamedTuple):
    """A way to fail."""

    error: Callable[[], Exception]
    reply_lost: bool = False
    """Whether the call takes effect all the same."""

    def at(self, number: int) -> dict[str, list[Mishap]]:
        """The mishaps of a saver whose call with this number fails so."""
        fail = fail_at(number, self.error)
        pause = delay_turns(1)
        return {"before": [pause, *([] if self.reply_lost else [fail])], "after": [fail]}


class Broken(Exception):
    """What a home-made saver might raise."""


KINDS = {
    "storage error": Kind(lambda: CheckpointStorageError("the disk is on fire")),
    "connection reset": Kind(ConnectionResetError),
    "timeout": Kind(TimeoutError),
    "disk full": Kind(lambda: OSError(errno.ENOSPC, "no space left")),
    "driver error": Kind(lambda: sqlite3.OperationalError("database is locked")),
    "home-made error": Kind(Broken),
    "reply lost": Kind(lambda: ConnectionResetError("connection lost while waiting for the reply"), True),
}


async def durable_tasks(saver: BaseCheckpointSaver) -> set[str]:
    """Ids of the tasks whose end is on record."""
    stored = [saved.pending_writes or () async for saved in saver.alist(None)]
    return {task_id for writes in stored for task_id, channel, _ in writes if channel != ERROR}


async def fail_once(
    inner: BaseCheckpointSaver, kind: Kind, number: int, durability: Durability, *, begins: bool = True
) -> bool:
    """Has one call of a run fail, and resumes the run; says whether there was such a call."""
    diary = Diary()
    saver = FaultySaver(inner, **kind.at(number), begins=begins)
    graph = outer_graph(diary, saver, rounds=ROUNDS)
    at = f"call {number}"
    try:
        await graph.ainvoke(INPUT, CONFIG, durability=durability)
    except type(kind.error()):
        assert len(saver.calls) >= number, at
    else:
        if len(saver.calls) < number:
            return False
        await check_nothing_was_missed(saver, kind, number)
    assert saver.in_flight == [], at
    durable = await durable_tasks(inner)
    ended = set(diary.ended)
    assert await go_on(graph, durability=durability) == final_state(ROUNDS), at
    rerun = {task_id for task_id in ended & durable if diary.ended.count(task_id) > 1}
    assert not rerun, f"{at}: {[diary.names[task_id] for task_id in rerun]} ran again"
    return True


async def check_nothing_was_missed(saver: FaultySaver, kind: Kind, number: int) -> None:
    """A run may succeed over a lost reply if what was begun behind that has told that it is stored."""
    failed, *behind = saver.calls[number - 1 :]
    assert kind.reply_lost, f"{failed}: nobody was told of the error"
    assert failed.is_begun, f"{failed}: nobody was told of the error"
    assert any(call.is_begun for call in behind), f"{failed}: nobody was told of the error"
    saver.before.clear()
    saver.after.clear()
    await line_of(saver, "t")


def cases(in_ci: Callable[[str, Durability], bool]) -> list[Any]:
    """Every kind in every durability; what continuous integration leaves out is in the long form."""
    return [
        pytest.param(kind, durability, marks=[] if in_ci(kind, durability) else pytest.mark.long)
        for durability in DURABILITIES
        for kind in KINDS
    ]


TREACHEROUS = ("connection reset", "reply lost")


begun_or_awaited = pytest.mark.parametrize("begins", [True, False], ids=["begun", "awaited"])


@begun_or_awaited
@pytest.mark.parametrize(
    ("kind", "durability"),
    cases(lambda kind, durability: durability == "sync" or kind in TREACHEROUS),
)
async def test_every_call_fails_once_in_memory(kind: str, durability: Durability, begins: bool) -> None:
    number = 1
    while await fail_once(BeginningSaver(), KINDS[kind], number, durability, begins=begins):
        number += 1
    assert number > (5 if durability == "exit" else 35)


@begun_or_awaited
@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("kind", TREACHEROUS)
async def test_the_saver_breaks_down_and_is_repaired(kind: str, durability: Durability, begins: bool) -> None:
    """From some call on, every one fails; a run ends all the same, and goes on after the repair."""
    error = KINDS[kind].error
    for number in range(1, 100):
        diary = Diary()
        saver = FaultySaver(BeginningSaver(), before=delay_turns(1), begins=begins)
        (saver.after if KINDS[kind].reply_lost else saver.before).append(breakdown(number, error))
        graph = outer_graph(diary, saver, rounds=ROUNDS)
        try:
            await graph.ainvoke(INPUT, CONFIG, durability=durability)
        except ConnectionResetError:
            saver.before.clear()
            saver.after.clear()
        else:
            assert number > (5 if durability == "exit" else 35)
            return
        assert await go_on(graph) == final_state(ROUNDS), f"call {number}"
    raise AssertionError("the run never succeeded")


def breakdown(number: int, error: Callable[[], Exception]) -> Mishap:
    async def fail(call: SaverCall) -> None:
        if call.number >= number:
            raise error()

    return fail


@begun_or_awaited
@pytest.mark.parametrize(
    ("kind", "durability"), cases(lambda kind, durability: durability != "exit" and kind in TREACHEROUS)
)
async def test_every_call_fails_once_on_sqlite(
    kind: str, durability: Durability, begins: bool, tmp_path: Path
) -> None:
    async def is_swept(number: int) -> bool:
        async with AsyncSqliteSaver(tmp_path / f"{number}.db") as inner:
            return not await fail_once(inner, KINDS[kind], number, durability, begins=begins)

    number = 1
    while not await is_swept(number):
        number += 1
    assert number > (5 if durability == "exit" else 25)


@begun_or_awaited
@pytest.mark.parametrize(
    ("kind", "durability"), cases(lambda kind, durability: durability != "exit" and kind in TREACHEROUS)
)
async def test_every_call_fails_once_on_postgres(
    kind: str, durability: Durability, begins: bool, postgres_database: str
) -> None:
    async with AsyncPostgresSaver(postgres_database) as inner:
        await inner.asetup()
        number = 1
        while await fail_once(inner, KINDS[kind], number, durability, begins=begins):
            await inner.adelete_thread("t")
            number += 1
    assert number > (5 if durability == "exit" else 25)


@pytest.mark.parametrize(
    ("verb", "durability"),
    [
        ("acommit", "sync"),
        ("acommit", "async"),
        ("acommit", "exit"),
        ("arecord", "sync"),
        ("arecord", "async"),
    ],
)
@begun_or_awaited
async def test_a_saver_that_breaks_off_is_not_taken_for_a_cancelled_run(
    verb: str, durability: Durability, begins: bool
) -> None:
    """Some drivers raise CancelledError when it is their connection that was given up."""

    async def node(state: State) -> dict[str, Any]:
        await turns(state["count"] % 4)
        return {"count": 1}

    async def again(call: SaverCall) -> None:
        if call.verb == verb and not call.is_begun:
            raise asyncio.CancelledError

    once = fail_at(1, asyncio.CancelledError, verb=verb)
    saver = FaultySaver(BeginningSaver(), before=once, begins=begins)
    graph = wide_loop(3, node).compile(checkpointer=saver)
    assert (await graph.ainvoke({"count": 0}, CONFIG, durability=durability))["count"] == 9
    saver = FaultySaver(BeginningSaver(), before=[once, again], begins=begins)
    graph = wide_loop(3, node).compile(checkpointer=saver)
    with pytest.raises(CheckpointStorageError, match="broke off"):
        await graph.ainvoke({"count": 0}, CONFIG, durability=durability)


@begun_or_awaited
@pytest.mark.parametrize("durability", DURABILITIES)
def test_a_saver_that_exits_ends_its_own_run_alone(durability: Durability, begins: bool) -> None:
    async def main() -> list[Any]:
        mishap = fail_at(1, SystemExit, verb="acommit")
        saver = FaultySaver(BeginningSaver(), before=mishap, begins=begins)
        broken = outer_graph(Diary(), saver).ainvoke(INPUT, CONFIG, durability=durability)
        sound = asyncio.create_task(outer_graph(Diary(), InMemorySaver()).ainvoke(INPUT, CONFIG))
        with pytest.raises(SystemExit):
            await broken
        return [await sound]

    assert asyncio.run(main()) == [final_state(2)]


# -- what a stream's consumer learns ---------------------------------------------------------------


@begun_or_awaited
@pytest.mark.parametrize("durability", DURABILITIES)
async def test_the_consumer_of_a_stream_gets_the_savers_error(durability: Durability, begins: bool) -> None:
    mishap = fail_at(3, ConnectionResetError, verb="acommit")
    saver = FaultySaver(BeginningSaver(), before=mishap, begins=begins)
    graph = outer_graph(Diary(), saver)
    with pytest.raises(ConnectionResetError):
        async for _ in graph.astream(INPUT, CONFIG, durability=durability):
            pass


async def test_under_sync_nothing_is_shown_that_was_not_stored() -> None:
    """Each number of calls that succeed, until the saver breaks down."""
    for number in range(2, 100):
        inner = InMemorySaver()
        saver = FaultySaver(inner, before=[delay_turns(1), breakdown(number, ConnectionResetError)])
        graph = outer_graph(Diary(), saver)
        shown: list[str] = []
        try:
            async for update in graph.astream(INPUT, CONFIG, stream_mode="updates", durability="sync"):
                shown += update
        except ConnectionResetError:
            assert sorted(shown) == await stored_names(graph, saver), f"call {number}"
        else:
            return
    raise AssertionError("the run never succeeded")


async def stored_names(graph: Graph, saver: FaultySaver) -> list[str]:
    """Names of the nodes whose end is on record."""
    saver.before.clear()
    trail = (await graph.aget_state(CONFIG)).values.get("trail", [])
    return sorted(name.partition("(")[0] for name in trail)


# -- order and pace --------------------------------------------------------------------------------


def wide_loop(steps: int, node: Callable[[State], Any]) -> StateGraph[Any, Any, Any, Any]:
    """`steps` supersteps of three nodes side by side."""

    def again(state: State) -> list[str] | str:
        return ["a", "b", "c"] if state["rounds"] < steps else END

    async def counting(state: State) -> Any:
        return {**await node(state), "rounds": 1}

    builder = StateGraph(State).add_node("a", counting).add_node("b", node).add_node("c", node)
    for name in ("a", "b", "c"):
        builder.add_edge(START, name)
    builder.add_conditional_edges("a", again, ["a", "b", "c", END])
    return builder


class Watching(InMemorySaver):
    """Takes its time, and notes for each checkpoint how many tasks' writes were there before it."""

    never_suspends = False

    def __init__(self) -> None:
        super().__init__()
        self.under_way = 0
        self.recorded: Counter[str] = Counter()
        self.seen: list[tuple[int, int]] = []
        """How many were stored before or come with the checkpoint, and how many were under way."""

    async def arecord(self, config: RunnableConfig, writes: Sequence[Any], hold: Hold | None = None) -> None:
        self.under_way += 1
        await turns(5)
        await super().arecord(config, writes, hold)
        self.recorded[config["configurable"]["checkpoint_id"]] += len(writes)
        self.under_way -= 1

    async def acommit(self, commit: Commit) -> None:
        parent = commit.config["configurable"].get("checkpoint_id", "")
        self.seen.append((self.recorded[parent] + len(commit.writes), self.under_way))
        await turns(5)
        await super().acommit(commit)


async def test_no_checkpoint_is_sent_before_the_writes_of_its_superstep_are_stored() -> None:
    lengths = itertools.cycle((0, 3, 1, 9, 2))

    async def node(state: State) -> dict[str, Any]:
        await turns(next(lengths))
        return {"count": 1}

    saver = Watching()
    graph = wide_loop(50, node).compile(checkpointer=saver)
    await graph.ainvoke({"count": 0}, CONFIG, durability="sync")
    # the input, the superstep that takes it in, and 50 of three tasks
    assert saver.seen == [(0, 0), (1, 0), *[(3, 0)] * 50]


@begun_or_awaited
@pytest.mark.parametrize("work", [0.001, 0.015, 0.05])
@pytest.mark.parametrize("latency", [0.0, 0.02])
def test_async_is_never_more_than_two_supersteps_behind(latency: float, work: float, begins: bool) -> None:
    behind = []
    stored = 0

    async def count(call: SaverCall) -> None:
        nonlocal stored
        stored += call.verb == "acommit"

    async def node(state: State) -> dict[str, Any]:
        await asyncio.sleep(work)
        done = state["rounds"] + 1
        behind.append(done - max(0, stored - 2))  # two come first: the input, and the superstep it starts
        return {"count": 1}

    async def main() -> Any:
        saver = FaultySaver(BeginningSaver(), before=delay(latency), after=count, begins=begins)
        graph = wide_loop(100, node).compile(checkpointer=saver)
        return await graph.ainvoke({"count": 0, "rounds": 0}, CONFIG, durability="async")

    assert run_virtual(main())["count"] == 300
    assert max(behind) <= 2
    assert max(behind) > 0 or work > latency
