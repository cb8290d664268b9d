"""The faulty saver itself: what goes wrong when it says so, and nothing else."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, Begun, Retention, config_for, empty_checkpoint
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import ConcurrentUpdateError
from aiograph.testing.clock import run_virtual
from aiograph.testing.faults import FaultySaver, Mishap, SaverCall, delay, delay_turns, fail_at
from aiograph.testing.savers import SaverContract
from aiograph.testing.savers._holds import Run
from tests.faults.rig import BeginningSaver

CONFIG = config_for("t", "")


async def store(saver: FaultySaver) -> None:
    await saver.aput(CONFIG, empty_checkpoint(), {"step": 1}, {})


async def test_without_mishaps_it_does_what_the_inner_saver_does() -> None:
    saver = FaultySaver(InMemorySaver())
    await store(saver)
    found = await saver.aget_tuple(CONFIG)
    assert found == await saver.inner.aget_tuple(CONFIG)
    assert [item async for item in saver.alist(CONFIG)] == [found]
    assert found is not None
    await saver.aput_writes(found.config, [("x", 1)], "task")
    await saver.awithdraw_writes(found.config, ["task"])
    await saver.acopy_thread("t", "copy")
    await saver.aprune(["copy"])
    await saver.asweep(Retention(keep_last=1))
    await saver.adelete_for_runs(["none"])
    assert [each.thread_id async for each in saver.alist_threads()] == ["t", "copy"]
    await saver.adelete_thread("t")
    assert await saver.aget(CONFIG) is None


async def test_calls_are_counted_in_all_and_by_verb() -> None:
    saver = FaultySaver(InMemorySaver())
    await saver.aget_tuple(CONFIG)
    await store(saver)
    await saver.aget_tuple(CONFIG)
    assert saver.calls == [
        SaverCall(1, "aget_tuple", 1, CONFIG),
        SaverCall(2, "aput", 1, CONFIG),
        SaverCall(3, "aget_tuple", 2, CONFIG),
    ]


async def test_a_call_that_fails_before_did_not_happen() -> None:
    saver = FaultySaver(InMemorySaver(), before=fail_at(1, ConnectionResetError))
    with pytest.raises(ConnectionResetError):
        await store(saver)
    assert await saver.aget(CONFIG) is None


async def test_a_call_that_fails_after_did_happen() -> None:
    saver = FaultySaver(InMemorySaver(), after=fail_at(1, ConnectionResetError))
    with pytest.raises(ConnectionResetError):
        await store(saver)
    assert await saver.aget(CONFIG) is not None


async def test_one_verb_can_be_counted_alone() -> None:
    saver = FaultySaver(InMemorySaver(), before=fail_at(2, BrokenPipeError, verb="aput"))
    await store(saver)
    await saver.aget_tuple(CONFIG)
    with pytest.raises(BrokenPipeError):
        await store(saver)


async def test_listing_can_fail_too() -> None:
    saver = FaultySaver(InMemorySaver(), before=fail_at(1, BrokenPipeError))
    with pytest.raises(BrokenPipeError):
        [item async for item in saver.alist(CONFIG)]


async def test_calls_under_way_are_known() -> None:
    saver = FaultySaver(InMemorySaver(), before=delay_turns(3))
    task = asyncio.create_task(store(saver))
    for _ in range(2):
        await asyncio.sleep(0)
    assert [call.verb for call in saver.in_flight] == ["aput"]
    await task
    assert saver.in_flight == []


async def test_mishaps_can_be_several_and_can_change() -> None:
    seen: list[SaverCall] = []

    async def see(call: SaverCall) -> None:
        seen.append(call)

    saver = FaultySaver(InMemorySaver(), before=[delay_turns(1), see])
    await store(saver)
    saver.before.clear()
    await store(saver)
    assert [call.number for call in seen] == [1]


def test_a_delay_costs_nothing_on_a_virtual_clock() -> None:
    async def main() -> float:
        await store(FaultySaver(InMemorySaver(), before=delay(3600)))
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600


def test_the_synchronous_verbs_meet_the_same_mishaps() -> None:
    saver = FaultySaver(InMemorySaver(), before=fail_at(2, ConnectionResetError))
    assert saver.get_tuple(CONFIG) is None
    with pytest.raises(ConnectionResetError):
        saver.get_tuple(CONFIG)


KILLED = """
import atexit
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.testing.faults import FaultySaver, kill_at
atexit.register(print, "at exit", flush=True)
saver = FaultySaver(InMemorySaver(), before=kill_at(2, verb="aget_tuple"))
for number in range(1, 4):
    print(number, flush=True)
    saver.get_tuple({"configurable": {"thread_id": "t"}})
"""


def test_a_killed_process_does_nothing_any_more() -> None:
    ended: Any = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True, check=False)
    assert ended.stdout.split() == ["1", "2"]
    assert sys.platform == "win32" or ended.returncode == -signal.SIGKILL


# -- what is begun


class TestSlowSaver(SaverContract):
    """Whatever holds its calls up, a saver does what it should."""

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        async with AsyncSqliteSaver(":memory:") as inner:
            yield FaultySaver(inner, before=delay_turns(2), during=delay_turns(1), after=delay_turns(1))


async def begin_two(saver: FaultySaver) -> list[Begun]:
    """Two supersteps, one behind the other."""
    run = await Run.start(saver)
    first = saver.begin_commit(run.encode(n=1))
    assert first is not None
    second = saver.begin_commit(run.encode(n=2), first)
    assert second is not None
    return [first, second]


async def outcomes(begun: list[Begun]) -> list[type[BaseException] | None]:
    """What each has raised, if it has."""
    found = await asyncio.gather(*(each.certain_outcome() for each in begun), return_exceptions=True)
    return [type(each) if isinstance(each, BaseException) else None for each in found]


async def stored(saver: FaultySaver) -> list[int]:
    found = saver.inner.alist(CONFIG)
    return [each.checkpoint["channel_values"]["n"] async for each in found]


def lag(number: int) -> Mishap:
    """Holds one call up, and no other."""

    async def wait(call: SaverCall) -> None:
        if call.number == number:
            await delay_turns(9)(call)

    return wait


async def test_what_was_begun_is_a_call_until_it_is_over() -> None:
    saver = FaultySaver(BeginningSaver(), before=delay_turns(3))
    begun = await begin_two(saver)
    assert [call[:3] for call in saver.in_flight] == [(2, "acommit", 1), (3, "acommit", 2)]
    assert [call.is_begun for call in saver.calls] == [False, True, True]
    assert await outcomes(begun) == [None, None]
    assert saver.in_flight == []
    assert await stored(saver) == [2, 1]


async def test_what_was_begun_first_arrives_first() -> None:
    saver = FaultySaver(BeginningSaver(), before=lag(2))
    assert await outcomes(await begin_two(saver)) == [None, None]
    assert await stored(saver) == [2, 1]


ERROR = ConnectionResetError


@pytest.mark.parametrize(
    ("side", "number", "told", "kept"),
    [
        ("before", 2, [ERROR, ConcurrentUpdateError], []),
        ("before", 3, [None, ERROR], [1]),
        ("during", 2, [ERROR, None], [2, 1]),
        ("during", 3, [None, ERROR], [2, 1]),
        ("after", 2, [ERROR, None], [2, 1]),
        ("after", 3, [None, ERROR], [2, 1]),
    ],
)
async def test_what_is_begun_meets_mishaps(side: str, number: int, told: list[Any], kept: list[int]) -> None:
    mishaps: Any = {side: fail_at(number, ERROR)}
    saver = FaultySaver(BeginningSaver(), **mishaps)
    begun = await begin_two(saver)
    assert await outcomes(begun) == told
    assert await outcomes(begun) == told  # however often somebody asks
    assert await stored(saver) == kept
    assert saver.in_flight == []


async def test_an_answer_that_is_lost_is_lost_even_if_it_is_no() -> None:
    saver = FaultySaver(BeginningSaver())
    overtaken = await Run.start(saver)
    await begin_two(saver)
    saver.during = [fail_at(3, ERROR, verb="acommit")]
    begun = saver.begin_commit(overtaken.encode(n=3))
    assert begun is not None
    assert await outcomes([begun]) == [ERROR]


@pytest.mark.parametrize("error", [SystemExit, asyncio.CancelledError])
async def test_an_exit_meets_those_who_wait(error: Any) -> None:
    saver = FaultySaver(BeginningSaver(), after=fail_at(2, error))
    first, second = await begin_two(saver)
    with pytest.raises(error):
        await first.certain_outcome()
    await second.certain_outcome()


@pytest.mark.parametrize("turns", [0, 1])
def test_what_is_begun_on_a_loop_that_ends_is_over(turns: int) -> None:
    saver = FaultySaver(BeginningSaver())

    async def main() -> list[Begun]:
        begun = await begin_two(saver)
        saver.before = [delay(3600)]
        await delay_turns(turns)(saver.calls[0])
        return begun

    begun = asyncio.run(main())
    assert saver.in_flight == []
    for each in begun:
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(each.certain_outcome())


async def test_what_the_inner_saver_cannot_begin_is_stored_in_its_turn() -> None:
    class Hesitant(BeginningSaver):
        def begin_commit(self, *details: Any) -> Any:
            return None

    saver = FaultySaver(Hesitant(), before=lag(2))
    assert await outcomes(await begin_two(saver)) == [None, None]
    assert await stored(saver) == [2, 1]
    saver.after = [fail_at(5, ERROR)]
    run = await Run.start(saver)
    begun = saver.begin_commit(run.encode(n=3))
    assert begun is not None
    following = saver.begin_commit(run.encode(n=4), begun)
    assert following is not None
    assert await outcomes([begun, following]) == [ERROR, ERROR]
    assert await stored(saver) == [3, 2, 1]


@pytest.mark.parametrize(
    "saver",
    [FaultySaver(InMemorySaver()), FaultySaver(FaultySaver(BeginningSaver(), begins=False))],
    ids=["memory", "told not to"],
)
async def test_what_the_inner_saver_never_begins_is_awaited(saver: FaultySaver) -> None:
    run = await Run.start(saver)
    assert saver.begin_commit(run.encode(n=1)) is None
