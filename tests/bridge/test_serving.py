"""The thread that waits in a synchronous call serves the first synchronous task of each superstep."""

import asyncio
import operator
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from contextvars import Context
from typing import Annotated, Any, TypedDict, cast

import pytest

from aiograph import _threads
from aiograph.bridge import _seat as seat_module
from aiograph.bridge import off_loop
from aiograph.bridge._twins import blocking, blocking_iter
from aiograph.types import TimeoutPolicy
from tests.bridge.kit import Background, Graph, chain, fan, promptly, settled, until


class Threads(TypedDict):
    threads: Annotated[list[int], operator.add]


def note(state: Any) -> dict[str, Any]:
    """A synchronous node that says which thread it runs on."""
    return {"threads": [threading.get_ident()]}


async def anote(state: Any) -> dict[str, Any]:
    return {"threads": [threading.get_ident()]}


def threads_of(graph: Graph, **options: Any) -> list[int]:
    return graph.invoke({"threads": []}, **options)["threads"]  # type: ignore[no-any-return]  # state


def test_a_lone_synchronous_task_runs_on_the_thread_of_the_caller_in_each_superstep() -> None:
    me = threading.get_ident()
    assert threads_of(chain(note, note, note, schema=Threads)) == [me, me, me]


def test_it_is_the_thread_that_calls_whichever_that_is() -> None:
    graph = chain(note, note, schema=Threads)
    background = Background(lambda: threads_of(graph))
    assert background.result() == [background.thread.ident] * 2


def test_asynchronous_tasks_in_between_change_nothing() -> None:
    me = threading.get_ident()
    found = threads_of(chain(note, anote, note, schema=Threads))
    assert [thread == me for thread in found] == [True, False, True]


def test_of_several_siblings_the_first_runs_on_the_thread_of_the_caller_and_the_others_elsewhere() -> None:
    together = threading.Barrier(3)

    def meet(state: Any) -> dict[str, Any]:
        together.wait(30)  # so no two of them share a thread
        return note(state)

    found = promptly(lambda: (threading.get_ident(), threads_of(fan(meet, meet, meet, schema=Threads))))
    caller, threads = found
    assert threads[0] == caller
    assert len(set(threads)) == 3


def test_the_first_synchronous_task_is_meant_even_if_asynchronous_ones_come_before() -> None:
    found = threads_of(fan(anote, note, note, schema=Threads))
    assert found[1] == threading.get_ident()
    assert threading.get_ident() not in (found[0], found[2])


def test_siblings_that_wait_for_each_other_never_deadlock() -> None:
    ping, pong = threading.Event(), threading.Event()

    def first(state: Any) -> dict[str, Any]:
        ping.set()
        assert pong.wait(30)
        return note(state)

    def second(state: Any) -> dict[str, Any]:
        assert ping.wait(30)
        pong.set()
        return note(state)

    for pair in ((first, second), (second, first)):
        ping.clear()
        pong.clear()
        assert len(promptly(lambda pair=pair: threads_of(fan(*pair, schema=Threads)))) == 2  # type: ignore[misc]


def test_a_connection_that_is_bound_to_its_thread_works_in_every_superstep_and_in_a_stream() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:

        def node(state: Any) -> dict[str, Any]:
            return {"value": connection.execute("SELECT ? + 1", (state["value"],)).fetchone()[0]}

        graph = chain(*[node] * 10)
        assert graph.invoke({"value": 0}) == {"value": 10}
        seen = []
        for update in graph.stream({"value": 0}):
            settled_by_others()  # the run has time to come to its next superstep, and waits there for us
            seen.append(update)
        assert seen[-1] == {"node_9": {"value": 10}}


def settled_by_others() -> None:
    """Lets the loop, and any thread that it might ask for, run ahead as far as they can."""
    threading.Event().wait(0.002)  # nothing tells that something does not happen


def test_thread_locals_are_those_of_the_caller() -> None:
    local = threading.local()
    local.name = "the caller's"
    graph = chain(lambda state: {"value": local.name})
    assert graph.invoke({"value": ""}) == {"value": "the caller's"}


# -- never under a timeout -------------------------------------------------------------------------


def test_nothing_is_served_in_a_call_with_a_timeout() -> None:
    assert threading.get_ident() not in threads_of(chain(note, note, schema=Threads), timeout=60)
    updates = chain(note, schema=Threads).stream({"threads": []}, timeout=60)
    assert [update["node_0"]["threads"] for update in updates] != [[threading.get_ident()]]


def test_nothing_is_served_under_a_step_timeout() -> None:
    graph = chain(note, note, schema=Threads)
    graph._options = graph._options.__class__(step_timeout=60)
    assert threading.get_ident() not in threads_of(graph)


def test_a_node_with_a_timeout_of_its_own_is_not_served() -> None:
    from dataclasses import replace

    graph = chain(note, note, schema=Threads)
    nodes = dict(graph._plan.nodes)
    nodes["node_1"] = replace(nodes["node_1"], timeout=TimeoutPolicy(run_timeout=60))
    limited = graph.of(replace(graph._plan, nodes=nodes), graph._options)
    assert [thread == threading.get_ident() for thread in threads_of(limited)] == [True, False]


async def test_nothing_is_served_in_an_asynchronous_run() -> None:
    found = await chain(note, note, schema=Threads).ainvoke({"threads": []})
    assert threading.get_ident() not in found["threads"]


# -- a thread serves only the call that it waits for -----------------------------------------------


class Toy:
    """Work that runs code off the loop when it is told to."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work

    async def ado(self) -> Any:
        return await self._work()

    async def aitems(self) -> AsyncIterator[Any]:
        while True:
            yield await self._work()

    do = blocking(ado)
    items = blocking_iter(aitems)


def test_a_thread_in_a_nested_call_serves_that_call_and_not_the_outer_one() -> None:
    """The outer call wants code run while its thread waits in a nested one: it goes to another thread."""
    gate = asyncio.Event()
    served: dict[str, int] = {}

    async def nested() -> None:
        await gate.wait()
        served["nested"] = await off_loop(threading.get_ident, on_caller=True)

    async def outer() -> None:
        waiting = asyncio.ensure_future(off_loop(Toy(nested).do, on_caller=True))
        while not waiting.done() and not gate.is_set():
            await asyncio.sleep(0)
            if _threads.thread_statistics().busy:
                served["outer"] = await off_loop(threading.get_ident, on_caller=True)
                gate.set()
        await waiting

    caller = promptly(lambda: (Toy(outer).do(), threading.get_ident())[1])
    assert served["nested"] == caller
    assert served["outer"] != caller


def test_two_calls_on_two_threads_serve_their_own() -> None:
    graph = chain(*[note] * 20, schema=Threads)
    calls = [Background(lambda: (threading.get_ident(), threads_of(graph))) for _ in range(8)]
    for call in calls:
        caller, found = call.result()
        assert found == [caller] * 20


def test_code_that_nobody_waits_for_any_more_is_served_elsewhere() -> None:
    """A task that outlives the call it came from: the caller is gone, its code runs all the same."""
    release = asyncio.Event()
    found: list[int] = []

    async def linger() -> None:
        await release.wait()
        found.append(await off_loop(threading.get_ident, on_caller=True))

    tasks: list[Any] = []

    async def work() -> Any:
        tasks.append(asyncio.ensure_future(linger()))
        return asyncio.get_running_loop()

    loop = Toy(work).do()
    loop.call_soon_threadsafe(release.set)
    until(lambda: found)
    assert found != [threading.get_ident()]
    settled()


def test_code_that_waits_for_the_caller_of_a_stream_goes_elsewhere_if_the_stream_ends_without_it() -> None:
    """The consumer does not come back; the code is no longer part of the work, but somebody wants it."""
    found: list[int] = []
    tasks: list[Any] = []

    async def linger() -> None:
        found.append(await off_loop(threading.get_ident, on_caller=True))

    async def work() -> str:
        tasks.append(asyncio.ensure_future(linger()))
        await asyncio.sleep(0)
        return "item"

    items = Toy(work).items()
    next(items)
    items.close()
    until(lambda: found)
    settled()


def test_an_item_reaches_the_consumer_before_the_node_that_follows_it_runs() -> None:
    begun: list[int] = []

    def node(state: Any) -> dict[str, Any]:
        begun.append(len(begun))
        return {"value": len(begun)}

    seen = []
    for update in chain(*[node] * 5).stream({"value": 0}):
        settled_by_others()
        seen.append((next(iter(update.values()))["value"], len(begun)))
    assert seen == [(1, 1), (2, 2), (3, 3), (4, 4), (5, 5)]


@pytest.mark.parametrize("beside", [0, 2], ids=["alone", "beside others"])
@pytest.mark.parametrize("mode", ["custom", ["updates", "custom"]], ids=["custom", "both"])
def test_what_a_node_writes_reaches_the_consumer_while_the_node_runs(mode: Any, beside: int) -> None:
    """A node may wait for an answer to what it has shown, so the consumer's thread has to be free."""
    answered = threading.Event()

    def ask(state: Any, writer: Callable[[Any], None]) -> dict[str, Any]:
        writer("question")
        assert answered.wait(20), "the consumer was not told"
        return note(state)

    def consume() -> list[Any]:
        seen = []
        for chunk in fan(ask, *[note] * beside, schema=Threads).stream({"threads": []}, stream_mode=mode):
            seen.append(chunk)
            if "question" in chunk:
                answered.set()
        return seen

    assert promptly(consume)


def test_code_that_is_cancelled_before_the_consumer_is_back_never_begins() -> None:
    begun: list[str] = []

    def first(state: Any) -> dict[str, Any]:
        return {"value": 1}

    def second(state: Any) -> dict[str, Any]:
        begun.append("second")
        return {"value": 2}

    stream = chain(first, second).stream({"value": 0})
    assert next(stream) == {"node_0": {"value": 1}}
    until(lambda: _threads.thread_statistics().busy)  # the second waits for its thread
    stream.close()
    assert begun == []
    assert settled().busy == 0


def test_deep_nesting_moves_on_to_a_thread_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seat_module, "MAX_LEVEL", 2)
    inmost = chain(note, schema=Threads)

    def around(graph: Graph) -> Graph:
        return chain(lambda state: {"threads": [threading.get_ident(), *threads_of(graph)]}, schema=Threads)

    first, second, third, fourth = promptly(lambda: threads_of(around(around(around(inmost)))))
    assert first == second == third != fourth  # the outermost run needs no loop, so it is not served


# -- Ctrl-C between any two lines ------------------------------------------------------------------


def test_a_job_that_ctrl_c_struck_before_it_began_goes_to_another_thread_in_the_end() -> None:
    job = job_of(threading.get_ident)
    seat = seat_module.Seat(0, is_open=True)
    assert seat.take(job)
    # here the thread was about to serve, and was thrown out
    seat.close()
    seat.complete()
    assert not job.has_begun
    seat.hand_over()
    until(lambda: job.ran)
    assert job.result != threading.get_ident()


def test_a_job_that_ctrl_c_struck_before_it_was_delivered_is_not_run_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ran: list[int] = []
    job = job_of(lambda: ran.append(1))
    seat = seat_module.Seat(0, is_open=True)
    assert seat.take(job)

    def interrupted() -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(_threads.Job, "deliver", lambda self: interrupted())
        with pytest.raises(KeyboardInterrupt):
            seat.serve()
    assert not job.ran
    seat.close()
    seat.complete()
    assert job.ran
    assert ran == [1]


def test_a_second_thread_does_not_deliver_what_the_first_one_still_runs() -> None:
    begun, release = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        release.wait(30)

    job = job_of(wait)
    seat = seat_module.Seat(0, is_open=True)
    assert seat.take(job)
    serving = Background(seat.serve)
    begun.wait()
    seat.complete()
    assert not job.ran
    release.set()
    serving.result()
    assert job.ran


def test_a_seat_holds_one_job_until_the_loop_knows_its_outcome() -> None:
    first, second = job_of(int), job_of(int)
    seat = seat_module.Seat(0, is_open=True)
    assert seat.take(first)
    assert not seat.take(second)
    seat.serve()
    assert seat.take(second)
    seat.close()
    seat.serve()
    assert not second.has_begun
    seat.hand_over()
    until(lambda: second.ran)


class _Loop:
    """Runs callbacks from other threads at once, and does nothing else."""

    def call_soon_threadsafe(self, callback: Any, *args: Any) -> None:
        callback(*args)


def job_of(fn: Callable[[], Any]) -> Any:
    return _threads.Job(fn, Context(), cast(Any, _Loop()))
