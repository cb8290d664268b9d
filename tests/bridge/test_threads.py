"""Threads for synchronous code: made on demand, counted, used again, and waited for through cancellations."""

import asyncio
import threading
from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from typing import Any

import anyio
import pytest

from aiograph import _threads
from aiograph._threads import GiveUp, Job, in_thread, thread_statistics
from tests.bridge.kit import settled, until


class Stuck:
    """Synchronous code that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()
        self.ended = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.release.wait(60)
        self.ended.set()
        return "ended"

    async def has_begun(self) -> None:
        await asyncio.to_thread(self.begun.wait)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.release.set()
    settled()


async def test_code_runs_on_another_thread_with_a_copy_of_the_variables() -> None:
    colour: ContextVar[str] = ContextVar("colour", default="none")
    colour.set("green")

    def look_and_paint() -> tuple[str, int]:
        seen = colour.get()
        colour.set("red")
        return seen, threading.get_ident()

    seen, thread = await in_thread(look_and_paint)
    assert seen == "green"
    assert colour.get() == "green"
    assert thread != threading.get_ident()


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt, asyncio.CancelledError])
async def test_whatever_the_code_raises_is_raised(error: type[BaseException]) -> None:
    def fail() -> None:
        raise error("from the thread")

    with pytest.raises(error, match="from the thread"):
        await in_thread(fail)


async def test_there_is_no_upper_limit() -> None:
    together = threading.Barrier(200)
    await asyncio.gather(*(in_thread(lambda: together.wait(60)) for _ in range(200)))


async def test_threads_are_used_again() -> None:
    await in_thread(threading.get_ident)
    before = settled().alive
    for _ in range(100):
        await in_thread(threading.get_ident)
    assert settled().alive == before


async def test_a_thread_without_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_threads, "_pool", _threads._Pool())
    monkeypatch.setattr(_threads, "IDLE_SECONDS", 0.01)
    together = threading.Barrier(5)
    await asyncio.gather(*(in_thread(lambda: together.wait(60)) for _ in range(5)))
    until(lambda: thread_statistics().alive == 0)


async def test_a_thread_that_is_about_to_end_still_takes_the_job_it_was_chosen_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_threads, "_pool", _threads._Pool())
    monkeypatch.setattr(_threads, "IDLE_SECONDS", 0.0005)
    for number in range(300):
        assert await in_thread(lambda number=number: number) == number  # type: ignore[misc]  # binds it
        if number % 3:
            await asyncio.sleep(0.0005)  # as long as a thread waits for work: the race is the point
    until(lambda: thread_statistics().alive == 0)


async def test_the_statistics_count_what_is_under_way(stuck: Stuck) -> None:
    before = settled()
    task = asyncio.create_task(in_thread(stuck))
    await stuck.has_begun()
    now = thread_statistics()
    assert (now.busy, now.abandoned) == (before.busy + 1, 0)
    assert now.alive >= 1
    stuck.release.set()
    assert await task == "ended"
    assert settled() == (now.alive, 0, 0)


async def test_a_system_without_threads_to_give_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_threads, "_pool", _threads._Pool())
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="can't start new thread; there are 0: lower max_concurrency"):
        await in_thread(int)
    assert thread_statistics() == (0, 0, 0)


# -- cancellation ----------------------------------------------------------------------------------


async def test_a_cancellation_is_held_back_until_the_code_has_ended(stuck: Stuck) -> None:
    task = asyncio.create_task(in_thread(stuck))
    await stuck.has_begun()
    for _ in range(20):
        task.cancel()
        await asyncio.sleep(0)
    assert not task.done()
    stuck.release.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert stuck.ended.is_set()


async def test_the_cancellation_of_a_scope_is_held_back_as_well(stuck: Stuck) -> None:
    with anyio.CancelScope() as scope:
        async with anyio.create_task_group() as group:
            group.start_soon(in_thread, stuck)
            await stuck.has_begun()
            scope.cancel()
            asyncio.get_running_loop().call_later(0.01, stuck.release.set)
    assert scope.cancelled_caught
    assert stuck.ended.is_set()


async def test_a_timeout_round_it_expires_when_the_code_has_ended(stuck: Stuck) -> None:
    asyncio.get_running_loop().call_later(0.4, stuck.release.set)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await in_thread(stuck)
    assert stuck.ended.is_set()
    assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]  # this is a task


async def test_code_that_has_not_begun_is_withdrawn_by_a_cancellation() -> None:
    ran: list[int] = []
    job = Job(lambda: ran.append(1), copy_context(), asyncio.get_running_loop())
    task = asyncio.create_task(job.outcome())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    job.run()
    job.deliver()
    assert ran == []
    assert settled().busy == 0


async def test_giving_up_ends_the_wait_and_counts_the_code_until_it_ends(stuck: Stuck) -> None:
    give_up = GiveUp()
    task = asyncio.create_task(in_thread(stuck, give_up=give_up))
    await stuck.has_begun()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    give_up.trigger()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert thread_statistics().abandoned == 1
    stuck.release.set()
    assert settled().abandoned == 0


async def test_having_given_up_before_does_not_cut_short_what_nobody_cancels(stuck: Stuck) -> None:
    give_up = GiveUp()
    give_up.trigger()
    task = asyncio.create_task(in_thread(stuck, give_up=give_up))
    await stuck.has_begun()
    assert not task.done()
    stuck.release.set()
    assert await task == "ended"
    assert thread_statistics().abandoned == 0


async def test_code_that_was_given_up_on_before_it_is_cancelled_has_no_result(stuck: Stuck) -> None:
    task = asyncio.create_task(in_thread(stuck))
    await stuck.has_begun()
    _threads.give_up_on(asyncio.get_running_loop())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("which", [0, 1])
async def test_each_of_several_give_ups_will_do(stuck: Stuck, which: int) -> None:
    give_ups = (GiveUp(), GiveUp())
    job = Job(stuck, copy_context(), asyncio.get_running_loop())
    _threads.submit(job)
    task = asyncio.create_task(job.outcome(give_ups))
    await stuck.has_begun()
    task.cancel()
    await asyncio.sleep(0)
    give_ups[which].trigger()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [give_up._watchers for give_up in give_ups] == [set(), set()]


async def test_giving_up_on_a_loop_concerns_its_own_jobs_only(stuck: Stuck) -> None:
    task = asyncio.create_task(in_thread(stuck))
    await stuck.has_begun()
    other = asyncio.new_event_loop()
    _threads.give_up_on(other)
    other.close()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    _threads.give_up_on(asyncio.get_running_loop())
    with pytest.raises(asyncio.CancelledError):
        await task


class Recorder:
    """Nested work: notes what is asked of it."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def request_cancel(self) -> None:
        self.asked.append("cancel")

    def request_give_up(self) -> None:
        self.asked.append("give up")


async def test_nested_work_is_cancelled_at_once_and_given_up_on_together_with_the_code(stuck: Stuck) -> None:
    give_up, nested = GiveUp(), Recorder()
    job = Job(stuck, copy_context(), asyncio.get_running_loop())
    job.nested.add(nested)
    _threads.submit(job)
    task = asyncio.create_task(job.outcome([give_up]))
    await stuck.has_begun()
    task.cancel()
    await asyncio.sleep(0)
    assert nested.asked == ["cancel"]
    task.cancel()
    await asyncio.sleep(0)
    assert nested.asked == ["cancel"]
    give_up.trigger()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert nested.asked == ["cancel", "give up"]


def test_code_whose_loop_is_closed_ends_without_a_word(stuck: Stuck) -> None:
    give_up = GiveUp()

    async def leave_it() -> None:
        task = asyncio.create_task(in_thread(stuck, give_up=give_up))
        await stuck.has_begun()
        task.cancel()
        give_up.trigger()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave_it())
    assert thread_statistics().abandoned == 1
    stuck.release.set()
    assert settled() == (thread_statistics().alive, 0, 0)


async def test_the_outcome_keeps_neither_the_code_nor_its_variables_alive() -> None:
    import gc
    import weakref

    class Big: ...

    big = Big()
    reference = weakref.ref(big)
    job: Job[Any] = Job(lambda big=big: None, copy_context(), asyncio.get_running_loop())  # type: ignore[misc]
    del big
    _threads.submit(job)
    await job.outcome()
    settled()
    gc.collect()
    assert reference() is None
