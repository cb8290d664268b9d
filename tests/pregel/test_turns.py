"""Turns: who has one, who is next, and what becomes of those who cannot wait any more."""

import asyncio
import gc
import os
from collections.abc import Iterator
from contextlib import suppress

import pytest

from aiograph.errors import ConcurrentUpdateError
from aiograph.pregel._turns import Turns
from tests.bridge.kit import Background, live_loop, script, there


async def rest(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


class Diary:
    """Runs that have turns, and the order in which they had them."""

    def __init__(self) -> None:
        self.turns = Turns()
        self.lines: list[str] = []

    async def run(self, name: str, key: str = "k", until: asyncio.Event | None = None) -> None:
        async with self.turns.turn(key):
            self.lines.append(f"{name} begins")
            if until is not None:
                await until.wait()
            await asyncio.sleep(0)
            self.lines.append(f"{name} ends")

    @property
    def order(self) -> list[str]:
        """Those who had a turn, in order; fails where one began before another one had ended."""
        assert self.lines == [f"{name} {verb}" for name in self._names() for verb in ("begins", "ends")]
        return list(self._names())

    def _names(self) -> Iterator[str]:
        return (line.removesuffix(" ends") for line in self.lines if line.endswith("ends"))


# -- order -----------------------------------------------------------------------------------------


async def test_turns_are_had_one_after_the_other_in_the_order_of_arrival() -> None:
    diary = Diary()
    names = [str(number) for number in range(20)]
    await asyncio.gather(*(diary.run(name) for name in names))
    assert diary.order == names


async def test_other_queues_are_not_waited_for() -> None:
    diary, end = Diary(), asyncio.Event()
    first = asyncio.create_task(diary.run("first", until=end))
    await rest()
    await asyncio.wait_for(diary.run("another", "another key"), 1)
    assert diary.lines == ["first begins", "another begins", "another ends"]
    end.set()
    await first


def test_loops_and_threads_share_a_queue() -> None:
    diary = Diary()

    async def several(name: str) -> None:
        for number in range(50):
            await diary.run(f"{name}{number}")

    with live_loop() as loop:
        own = [Background(lambda name=name: asyncio.run(several(name))) for name in "ab"]  # type: ignore[misc]
        there(loop, several("c"))
        for each in own:
            each.result()
    assert len(diary.order) == 150


def test_those_on_other_loops_wait_in_the_order_of_arrival() -> None:
    diary = Diary()
    with live_loop() as one, live_loop() as two:
        end = asyncio.Event()
        runs = [asyncio.run_coroutine_threadsafe(diary.run("0", until=end), one)]
        for number in range(1, 10):
            there(one, rest())
            there(two, rest())
            loop = (one, two)[number % 2]
            runs.append(asyncio.run_coroutine_threadsafe(diary.run(str(number)), loop))
        there(two, rest())
        one.call_soon_threadsafe(end.set)
        for run in runs:
            run.result(10)
    assert diary.order == [str(number) for number in range(10)]


async def test_an_empty_queue_is_forgotten() -> None:
    diary = Diary()
    await asyncio.gather(diary.run("a"), diary.run("b"))
    assert diary.turns._queues == {}


# -- those who leave -------------------------------------------------------------------------------


async def test_one_who_is_cancelled_while_waiting_leaves_the_queue() -> None:
    diary, end = Diary(), asyncio.Event()
    tasks = [asyncio.create_task(diary.run(name, until=end)) for name in "abc"]
    await rest()
    tasks[1].cancel()
    await rest()
    end.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert diary.order == ["a", "c"]
    assert tasks[1].cancelled()


async def test_one_who_is_cancelled_just_as_it_is_called_hands_the_turn_on() -> None:
    """Whichever of the two comes first, nobody waits for ever."""
    for moment in range(6):
        diary, end = Diary(), asyncio.Event()
        tasks = [asyncio.create_task(diary.run(name, until=end)) for name in "abc"]
        await rest()
        end.set()
        await rest(moment)
        tasks[1].cancel()
        await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 1)
        assert "c ends" in diary.lines
        assert diary.turns._queues == {}


async def test_one_who_is_cancelled_in_its_turn_hands_it_on() -> None:
    diary = Diary()
    first = asyncio.create_task(diary.run("first", until=asyncio.Event()))
    second = asyncio.create_task(diary.run("second"))
    await rest()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert first.cancelled()


async def test_an_error_in_a_turn_hands_it_on() -> None:
    turns = Turns()
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            async with turns.turn("k"):
                raise ZeroDivisionError


# -- loops that are closed -------------------------------------------------------------------------


def closed_amid(diary: Diary, *names: str) -> list["asyncio.Task[None]"]:
    """Tasks of a loop that was stopped and closed while the first had the turn and the others waited."""
    loop = asyncio.new_event_loop()
    tasks = [loop.create_task(diary.run(name, until=asyncio.Event())) for name in names]
    loop.run_until_complete(rest())
    loop.close()
    for task in tasks:
        task._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio says so on stderr
    return tasks


def test_one_who_had_the_turn_on_a_closed_loop_is_in_nobodys_way() -> None:
    diary = Diary()
    tasks = closed_amid(diary, "lost", "lost too")
    asyncio.run(asyncio.wait_for(diary.run("next"), 1))
    assert diary.lines == ["lost begins", "next begins", "next ends"]
    del tasks
    gc.collect()  # the lost ones end here, and find that they have left
    asyncio.run(asyncio.wait_for(diary.run("last"), 1))


def test_those_who_waited_on_a_closed_loop_are_passed_over() -> None:
    diary = Diary()
    with live_loop() as loop:
        end = asyncio.Event()
        first = asyncio.run_coroutine_threadsafe(diary.run("first", until=end), loop)
        there(loop, rest())
        tasks = closed_amid(diary, "lost", "lost too")
        last = asyncio.run_coroutine_threadsafe(diary.run("last"), loop)
        there(loop, rest())
        loop.call_soon_threadsafe(end.set)
        first.result(10)
        last.result(10)
    assert diary.order == ["first", "last"]
    del tasks
    gc.collect()
    assert diary.turns._queues == {}


def test_one_whose_garbage_is_collected_hands_the_turn_on() -> None:
    diary = Diary()
    with live_loop() as loop:
        tasks = closed_amid(diary, "lost")
        waiting = asyncio.run_coroutine_threadsafe(diary.run("a"), loop)  # finds that the first is lost
        waiting.result(10)
        tasks.clear()
        gc.collect()
    assert diary.lines[-1] == "a ends"
    assert diary.turns._queues == {}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
def test_a_forked_child_waits_for_nobody_of_its_parent() -> None:
    done = script(
        """
        from aiograph.pregel._turns import TURNS
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)

        async def main():
            async with TURNS.turn("k"):
                child = os.fork()
                if child == 0:
                    asyncio.events._set_running_loop(None)
                    asyncio.run(asyncio.wait_for(again(), 5))
                    os._exit(0)
                say(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

        async def again():
            async with TURNS.turn("k"):
                say("had it")

        asyncio.run(main())
        """
    )
    assert done.said == ["had it", "0"], done.complaints


# -- waits that would never end --------------------------------------------------------------------


async def test_a_turn_within_itself_is_refused() -> None:
    turns = Turns()
    async with turns.turn("k"):
        with pytest.raises(ConcurrentUpdateError, match="for ever"):
            async with turns.turn("k"):
                raise AssertionError
    async with turns.turn("k"):
        pass


async def test_a_turn_within_another_one_is_had() -> None:
    turns = Turns()
    async with turns.turn("a"), turns.turn("b"), turns.turn("c"):
        pass
    assert turns._queues == {}


@pytest.mark.parametrize("size", [2, 3, 10])
async def test_of_turns_that_wait_for_each_other_in_a_circle_one_is_refused(size: int) -> None:
    turns, all_there = Turns(), asyncio.Barrier(size)

    async def run(number: int) -> str:
        async with turns.turn(number):
            await all_there.wait()
            async with turns.turn((number + 1) % size):
                return "had both"

    found = await asyncio.wait_for(asyncio.gather(*map(run, range(size)), return_exceptions=True), 5)
    assert [type(each).__name__ for each in found].count("ConcurrentUpdateError") == 1
    assert found.count("had both") == size - 1


async def test_a_task_that_outlived_its_run_may_have_the_turn_again() -> None:
    diary, end = Diary(), asyncio.Event()

    async def later() -> None:
        await end.wait()
        await diary.run("later")

    async with diary.turns.turn("k"):
        left_behind = asyncio.create_task(later())
        await rest()
    end.set()
    await asyncio.wait_for(left_behind, 1)
    assert diary.order == ["later"]


async def test_branches_within_a_turn_queue_for_another_one() -> None:
    diary = Diary()
    async with diary.turns.turn("outer"):
        await asyncio.wait_for(asyncio.gather(*(diary.run(name) for name in "abc")), 1)
    assert diary.order == ["a", "b", "c"]


async def test_one_who_gave_up_waiting_closes_no_circle() -> None:
    turns, begin, gave_up = Turns(), asyncio.Event(), asyncio.Event()

    async def impatient() -> None:
        await begin.wait()
        async with turns.turn("a"):
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01), turns.turn("b"):
                    raise AssertionError
            gave_up.set()
            await rest()

    other = asyncio.create_task(impatient())
    async with turns.turn("b"):
        begin.set()
        await gave_up.wait()
        async with asyncio.timeout(1), turns.turn("a"):
            pass
    await other
