"""The faulty saver itself: what goes wrong when it says so, and nothing else."""

import asyncio
import signal
import subprocess
import sys
from typing import Any

import pytest

from aiograph.checkpoint.base import Retention, config_for, empty_checkpoint
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.testing.clock import run_virtual
from aiograph.testing.faults import FaultySaver, SaverCall, delay, delay_turns, fail_at

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
