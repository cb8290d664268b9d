"""Virtual time: jumps where nothing else can happen, stands still for threads, raises where it would hang."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import anyio
import anyio.to_thread
import pytest

from aiograph import _ids
from aiograph._threads import in_thread
from aiograph.testing.clock import (
    StuckLoopError,
    VirtualClockLoop,
    run_virtual,
    virtual_backend,
    virtual_wall,
)


def now() -> float:
    return asyncio.get_running_loop().time()


async def for_ever() -> None:
    await asyncio.Event().wait()


# -- jumping ---------------------------------------------------------------------------------------


async def sleeping(order: list[tuple[str, float]], name: str, *pauses: float) -> None:
    for pause in pauses:
        await asyncio.sleep(pause)
        order.append((name, now()))


async def several_sleepers() -> list[tuple[str, float]]:
    order: list[tuple[str, float]] = []
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeping(order, "slow", 3600, 3600))
        tasks.create_task(sleeping(order, "quick", 1, 2, 4000))
        tasks.create_task(sleeping(order, "tied", 1))
    return order


def test_time_starts_at_zero_and_jumps_from_timer_to_timer() -> None:
    order = run_virtual(several_sleepers())
    assert order == [
        ("quick", 1.0),
        ("tied", 1.0),
        ("quick", 3.0),
        ("slow", 3600.0),
        ("quick", 4003.0),
        ("slow", 7200.0),
    ]


def test_every_run_is_the_same() -> None:
    assert run_virtual(several_sleepers()) == run_virtual(several_sleepers())


def test_what_is_ready_comes_before_any_timer() -> None:
    async def main() -> float:
        for _ in range(100):
            await asyncio.sleep(0)
        return now()

    assert run_virtual(main()) == 0.0


def test_a_timer_that_was_cancelled_is_not_jumped_to() -> None:
    async def main() -> float:
        asyncio.get_running_loop().call_later(5, print, "never").cancel()
        await asyncio.sleep(10)
        return now()

    assert run_virtual(main()) == 10.0


def test_a_timeout_is_over_at_its_time() -> None:
    async def main() -> list[float]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(30):
                await for_ever()
        first = now()
        with pytest.raises(TimeoutError), anyio.fail_after(12):
            await for_ever()
        return [first, now()]

    assert run_virtual(main()) == [30.0, 42.0]


def test_years_pass_in_no_time_and_short_sleeps_still_end_after_them() -> None:
    async def main() -> float:
        await asyncio.sleep(300_000_000)
        await asyncio.sleep(0.001)
        await asyncio.sleep(1e-9)
        return now()

    assert run_virtual(main()) == pytest.approx(300_000_000.001, abs=1e-6)


def test_results_and_exceptions_come_out() -> None:
    async def failing() -> None:
        await asyncio.sleep(1)
        raise LookupError("lost")

    with pytest.raises(LookupError, match="lost"):
        run_virtual(failing())


# -- threads ---------------------------------------------------------------------------------------


def a_while() -> str:
    """Keeps a thread at work for longer than a jump takes."""
    sum(range(300_000))
    return "done"


@pytest.mark.parametrize("off_loop", [asyncio.to_thread, in_thread])
def test_the_clock_stands_still_while_a_thread_is_at_work(off_loop: Callable[..., Any]) -> None:
    async def main() -> tuple[str, float]:
        timer = asyncio.create_task(asyncio.sleep(1))
        result = await off_loop(a_while)
        when = now()
        await timer
        return result, when

    assert run_virtual(main()) == ("done", 0.0)


def test_time_goes_on_when_the_threads_are_done() -> None:
    async def main() -> float:
        for _ in range(3):
            await asyncio.to_thread(a_while)
            await asyncio.sleep(1)
        return now()

    assert run_virtual(main()) == 3.0


def test_a_thread_that_failed_or_was_abandoned_counts_no_more() -> None:
    async def main() -> float:
        release = threading.Event()
        with pytest.raises(ZeroDivisionError):
            await asyncio.to_thread(lambda: 1 / 0)
        abandoned = asyncio.create_task(asyncio.to_thread(release.wait))
        await asyncio.sleep(0)
        abandoned.cancel()
        await asyncio.sleep(1)
        release.set()
        return now()

    assert run_virtual(main()) == 1.0


def test_a_hook_counts_what_the_loop_cannot_see() -> None:
    async def main(limiter: anyio.CapacityLimiter) -> float:
        timer = asyncio.create_task(asyncio.sleep(1))
        await anyio.to_thread.run_sync(a_while, limiter=limiter)
        when = now()
        await timer
        return when

    limiters: list[anyio.CapacityLimiter] = []

    async def limited() -> float:
        limiters.append(anyio.CapacityLimiter(1))
        return await main(limiters[0])

    assert run_virtual(limited(), busy=lambda: sum(limiter.borrowed_tokens for limiter in limiters)) == 0.0


def test_the_hook_is_asked_again_until_it_says_none() -> None:
    answers = [1, 2, 1, 0]

    def busy() -> int:
        return answers.pop(0)

    run_virtual(asyncio.sleep(1), busy=busy)
    assert answers == []


# -- nothing can happen ----------------------------------------------------------------------------


async def waiting_for_nothing() -> None:
    await for_ever()


def test_waiting_for_what_can_never_happen_raises_and_says_who_waits_where() -> None:
    async def main() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(waiting_for_nothing(), name="lonely")

    with pytest.raises(StuckLoopError, match="nothing can ever happen") as caught:
        run_virtual(main())
    place = r"lonely: waiting_for_nothing \(test_clock.py:\d+\) > for_ever \(test_clock.py:\d+\) > Event.wait"
    assert caught.match(place)
    assert caught.match(r"Task-\d+: \S*main \(test_clock.py:\d+\)")


def test_a_stuck_run_still_cleans_up() -> None:
    cleaned = []

    async def main() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(1)
            cleaned.append(now())

    with pytest.raises(StuckLoopError):
        run_virtual(main())
    assert cleaned == [1.0]


def test_a_stuck_loop_can_be_run_again() -> None:
    loop = VirtualClockLoop()
    try:
        task = loop.create_task(for_ever())
        with pytest.raises(StuckLoopError):
            loop.run_until_complete(task)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.run_until_complete(asyncio.sleep(5))
        assert loop.time() == 5.0
    finally:
        loop.close()


def test_threads_that_give_no_sign_are_an_error_in_the_end() -> None:
    with pytest.raises(StuckLoopError, match=r"threads have been at work for 0.01 s .* wait:\n.*for_ever"):
        run_virtual(for_ever(), busy=lambda: 1, patience=0.01)


def test_a_loop_without_tasks_is_stuck_too() -> None:
    loop = VirtualClockLoop()
    try:
        with pytest.raises(StuckLoopError, match="these tasks wait: none"):
            loop.run_forever()
    finally:
        loop.close()


# -- the wall clock --------------------------------------------------------------------------------


def test_timestamps_follow_virtual_time() -> None:
    async def main() -> list[str]:
        first = _ids.now_iso()
        await asyncio.sleep(3600)
        return [first, _ids.now_iso()]

    assert run_virtual(main()) == ["2000-01-01T00:00:00+00:00", "2000-01-01T01:00:00+00:00"]
    assert _ids.now_iso() > "2020"


def test_wall_time_may_start_anywhere() -> None:
    loop = VirtualClockLoop()
    try:
        with virtual_wall(loop, start=1.5):
            assert _ids.wall_ns() == 1_500_000_000
    finally:
        loop.close()


# -- anyio's plugin --------------------------------------------------------------------------------


class TestUnderThePlugin:
    @pytest.fixture
    def anyio_backend(self) -> tuple[str, dict[str, Any]]:
        return virtual_backend()

    @pytest.fixture
    async def hour(self) -> float:
        await asyncio.sleep(3600)
        return now()

    @pytest.mark.parametrize("attempt", [1, 2])
    async def test_each_test_starts_at_zero_with_its_fixtures(self, hour: float, attempt: int) -> None:
        assert hour == 3600.0
        await anyio.sleep(10)
        assert now() == 3610.0
