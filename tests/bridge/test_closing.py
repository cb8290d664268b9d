"""Loops that are closed, stopped or shut down while somebody waits for them: an error, and never a hang."""

import asyncio
import gc
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph import bridge
from aiograph.bridge import _errand as errand_module
from aiograph.bridge import blocking, blocking_cm, blocking_iter, bridge_loop
from aiograph.errors import BridgeClosedError
from tests.bridge.kit import Background, Graph, chain, live_loop, promptly, settled, there, until


@pytest.fixture(autouse=True)
def _look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests wait for is found out by looking now and then; no test need wait a second for it."""
    monkeypatch.setattr("aiograph.bridge._call.LIVENESS_SECONDS", 0.02)
    monkeypatch.setattr("aiograph.bridge._home.LIVENESS_SECONDS", 0.02)


class Slow:
    """Work that does not end by itself; its clean-up is on record."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.log: list[str] = []

    async def aforever(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            self.log.append("cleaned up")

    async def ashielded(self) -> None:
        """Does not mind being cancelled."""
        self.begun.set()
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.log.append("cancelled")

    async def aitems(self) -> AsyncIterator[int]:
        yield 1
        await self.aforever()

    async def aquick(self) -> str:
        return "quick"

    forever = blocking(aforever)
    items = blocking_iter(aitems)
    quick = blocking(aquick)


async def say_quick(state: Any) -> dict[str, str]:
    await asyncio.sleep(0.001)  # so that there is always somebody whom a shutdown hits
    return {"value": "quick"}


quick: Graph = chain(say_quick)


def node_that_calls(slow: Slow, graph: Graph) -> Callable[[Any], Any]:
    """A synchronous node that says when it begins and then calls a graph."""

    def node(state: Any) -> Any:
        slow.begun.set()
        return graph.invoke({"value": 0})

    return node


# -- the bridge's own loop -------------------------------------------------------------------------


def test_shutting_the_bridge_down_ends_the_calls_that_wait_and_their_clean_up() -> None:
    slow = Slow()
    waiting = Background(slow.forever)
    slow.begun.wait()
    bridge.shutdown()
    with pytest.raises(BridgeClosedError, match="aforever: cancelled, as the event loop is being shut down"):
        waiting.result()
    assert slow.log == ["cleaned up"]


def test_shutting_the_bridge_down_ends_an_iteration() -> None:
    slow = Slow()
    items = slow.items()
    assert next(items) == 1
    waiting = Background(lambda: next(items))
    slow.begun.wait()
    bridge.shutdown()
    with pytest.raises(BridgeClosedError):
        waiting.result()
    assert slow.log == ["cleaned up"]
    items.close()
    assert list(items) == []


def test_shutting_the_bridge_down_leaves_contexts_that_are_open() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def aopened() -> AsyncIterator[None]:
        try:
            yield
        finally:
            await asyncio.sleep(0)
            log.append("left")

    opened = blocking_cm(aopened)()
    opened.__enter__()
    bridge.shutdown()
    assert log == ["left"]
    with pytest.raises(BridgeClosedError):
        opened.__exit__(None, None, None)


def test_after_a_shutdown_the_next_call_finds_a_new_loop() -> None:
    old = bridge_loop()
    bridge.shutdown()
    assert old.is_closed()
    assert Slow().quick() == "quick"
    assert bridge_loop() is not old


def test_shutting_down_twice_or_without_a_loop_does_nothing() -> None:
    bridge.shutdown()
    bridge.shutdown()


def test_shutting_down_does_not_wait_for_synchronous_node_code() -> None:
    begun, release = threading.Event(), threading.Event()

    def node(state: Any) -> dict[str, Any]:
        begun.set()
        release.wait(30)
        return {"value": "too late"}

    waiting = Background(lambda: chain(node).invoke({"value": 0}, timeout=60))
    begun.wait()
    promptly(bridge.shutdown, 4)  # its patience is longer
    with pytest.raises(BridgeClosedError):
        waiting.result()
    release.set()
    settled()


def test_shutting_down_waits_no_longer_than_it_is_told_for_what_does_not_end() -> None:
    slow = Slow()
    waiting = Background(blocking(Slow.ashielded).__get__(slow))
    slow.begun.wait()
    old = bridge_loop()
    promptly(lambda: bridge.shutdown(patience=0.05), 4)
    with pytest.raises(BridgeClosedError):
        waiting.result()
    assert old.is_closed()
    assert slow.log[0] == "cancelled"


def test_shutting_down_on_the_loop_itself_does_not_hang() -> None:
    class Inside:
        async def aleave(self) -> None:
            bridge.shutdown()
            await asyncio.Event().wait()

        leave = blocking(aleave)

    with pytest.raises(BridgeClosedError):
        promptly(Inside().leave)
    assert Slow().quick() == "quick"


def test_calls_that_arrive_while_the_bridge_shuts_down_get_an_answer_or_an_error() -> None:
    over = threading.Event()
    answers: list[str] = []

    def call_again_and_again() -> None:
        while not over.is_set():
            try:
                answers.append(quick.invoke({"value": 0})["value"])
            except BridgeClosedError:
                answers.append("closed")

    callers = [Background(call_again_and_again) for _ in range(8)]
    for number in range(30):
        until(lambda number=number: len(answers) > number * 5)  # type: ignore[misc]  # binds the number
        bridge.shutdown()
    over.set()
    for caller in callers:
        caller.result()
    assert set(answers) == {"quick", "closed"}


def test_a_loop_that_user_code_has_stopped_is_replaced() -> None:
    slow = Slow()
    waiting = Background(slow.forever)
    slow.begun.wait()
    old = bridge_loop()
    old.call_soon_threadsafe(old.stop)
    with pytest.raises(BridgeClosedError):
        waiting.result()
    until(old.is_closed)
    assert promptly(Slow().quick) == "quick"


def test_a_call_that_is_accepted_by_a_loop_which_never_runs_it_is_not_lost() -> None:
    """The last moment of a loop: it takes the call in, and is closed before it comes to it."""
    loop = asyncio.new_event_loop()
    call = Background(lambda: bridge_call_to(loop))
    call.thread.join(0.1)  # a loop that does not run answers neither yes nor no
    loop.close()
    with pytest.raises(BridgeClosedError, match=r"was closed|has stopped"):
        call.result()


def bridge_call_to(loop: asyncio.AbstractEventLoop) -> object:
    """A call whose work goes to a loop that does not run."""
    from aiograph.bridge import _admit
    from aiograph.bridge._call import Call

    async def work(call: Call[None]) -> None: ...

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_admit, "_target_loop", lambda: loop)
        call: Call[None] = Call(_admit.Verb("awork"), work, patient=True)
    call.finish()
    return call.outcome()


# -- the loop of an asynchronous run ---------------------------------------------------------------


def blocked_forever(slow: Slow) -> Graph:
    async def node(state: Any) -> None:
        slow.begun.set()
        await asyncio.Event().wait()

    return chain(node)


def abandoned_run(slow: Slow) -> asyncio.AbstractEventLoop:
    """A loop on this thread that has stopped while a synchronous node waits for a nested run on it."""
    loop = asyncio.new_event_loop()
    caught: list[BaseException] = []

    def node(state: Any) -> Any:
        try:
            return blocked_forever(slow).invoke(state)
        except BaseException as error:
            caught.append(error)
            raise

    async def begin() -> "asyncio.Task[Any]":
        task = loop.create_task(chain(node).ainvoke({"value": 0}))
        await asyncio.to_thread(slow.begun.wait)
        return task

    loop.caught = caught  # type: ignore[attr-defined]  # for the test to look at
    loop.task = loop.run_until_complete(begin())  # type: ignore[attr-defined]  # kept alive
    return loop


def test_a_node_that_waits_for_a_loop_that_has_stopped_gets_an_error() -> None:
    loop: Any = abandoned_run(Slow())
    until(lambda: loop.caught)
    assert isinstance(loop.caught[0], BridgeClosedError)
    assert "has stopped" in str(loop.caught[0])
    with pytest.raises(BridgeClosedError, match="has stopped"):  # should the loop run again, it is told
        loop.run_until_complete(loop.task)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_node_that_waits_for_a_loop_that_pauses_for_a_moment_does_not_mind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(errand_module, "PAUSES_ALLOWED", 10**9)
    slow = Slow()
    loop: Any = abandoned_run(slow)
    assert loop.caught == []
    loop.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        loop.run_until_complete(loop.task)
    assert [type(error) for error in loop.caught] == [asyncio.CancelledError]
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def test_a_node_that_waits_for_a_loop_that_is_closed_gets_an_error() -> None:
    loop: Any = abandoned_run(Slow())
    loop._default_executor.shutdown()
    loop.task._log_destroy_pending = False  # closing a loop over its tasks is the point here
    for task in asyncio.all_tasks(loop):
        task._log_destroy_pending = False  # type: ignore[attr-defined]
    loop.close()
    until(lambda: loop.caught)
    assert isinstance(loop.caught[0], BridgeClosedError)


def test_the_end_of_a_loop_ends_the_nested_runs_that_its_nodes_wait_for() -> None:
    """What `asyncio.run` does at its end: every task is cancelled, the nested ones not last."""
    slow = Slow()
    graph = chain(node_that_calls(Slow(), blocked_forever(slow)))

    async def main() -> None:
        task = asyncio.create_task(graph.ainvoke({"value": 0}))
        await asyncio.to_thread(slow.begun.wait)
        task.add_done_callback(lambda _: None)

    promptly(lambda: asyncio.run(main()))
    settled()


# -- homes -----------------------------------------------------------------------------------------


class Homely:
    def __init__(self, home: asyncio.AbstractEventLoop) -> None:
        self.home = home

    async def ado(self, work: Callable[[], Any]) -> Any:
        return await bridge.at_home(self, work, verb="ado")

    do = blocking(ado)


async def nothing() -> None: ...


def test_an_object_whose_home_is_closed_says_so() -> None:
    with live_loop() as loop:
        homely = Homely(loop)
    with pytest.raises(BridgeClosedError, match="ado: the event loop that Homely was opened on is closed"):
        homely.do(nothing)
    gc.collect()


def test_an_object_whose_home_does_not_run_says_so() -> None:
    loop = asyncio.new_event_loop()
    with pytest.raises(BridgeClosedError, match="does not run"):
        Homely(loop).do(nothing)
    loop.close()


def test_work_at_a_home_that_stops_meanwhile_ends_with_an_error() -> None:
    slow = Slow()
    with live_loop() as loop:
        waiting = Background(lambda: Homely(loop).do(slow.aforever))
        slow.begun.wait()
        loop.call_soon_threadsafe(loop.stop)
        with pytest.raises(BridgeClosedError, match="has stopped"):
            waiting.result()
        loop.run_until_complete(asyncio.sleep(0.01))  # the work was cancelled, should the loop run again
        assert slow.log == ["cleaned up"]


def test_cancelling_reaches_the_work_at_home_and_waits_for_its_clean_up() -> None:
    slow = Slow()

    async def main() -> None:
        with live_loop() as loop:
            task = asyncio.create_task(Homely(loop).ado(slow.aforever))
            await asyncio.to_thread(slow.begun.wait)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert slow.log == ["cleaned up"]

    asyncio.run(main())


def test_cancelling_again_and_again_still_waits_for_the_clean_up_at_home() -> None:
    begun, release, log = threading.Event(), threading.Event(), []

    async def work() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.to_thread(release.wait)
            log.append("cleaned up")

    async def main() -> None:
        with live_loop() as loop:
            task = asyncio.create_task(Homely(loop).ado(work))
            await asyncio.to_thread(begun.wait)
            for turn in range(50):
                await asyncio.sleep(0)
                task.cancel()
                if turn == 40:
                    release.set()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert log == ["cleaned up"]

    asyncio.run(main())


def test_a_cancelled_scope_waits_for_the_clean_up_at_home() -> None:
    import anyio

    slow = Slow()

    async def main() -> None:
        with live_loop() as loop, anyio.CancelScope() as scope:
            there(loop, nothing())
            asyncio.get_running_loop().call_later(0.01, scope.cancel)
            await Homely(loop).ado(slow.aforever)
        assert scope.cancelled_caught
        assert slow.log == ["cleaned up"]

    asyncio.run(main())


def test_work_that_is_cancelled_before_its_home_has_come_to_it_never_begins() -> None:
    begun = []
    stand_still = threading.Event()

    async def work() -> None:
        begun.append(True)

    async def main() -> None:
        with live_loop() as loop:
            loop.call_soon_threadsafe(stand_still.wait)
            task = asyncio.create_task(Homely(loop).ado(work))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            stand_still.set()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert begun == []


def test_an_exit_at_home_reaches_the_caller_and_leaves_the_home_running() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    with live_loop() as loop:
        with pytest.raises(SystemExit):
            Homely(loop).do(leave)
        assert there(loop, asyncio.sleep(0, "alive")) == "alive"


def test_context_variables_reach_the_home() -> None:
    from contextvars import ContextVar

    colour: ContextVar[str] = ContextVar("colour", default="none")

    async def look() -> str:
        return colour.get()

    with live_loop() as loop:
        colour.set("green")
        assert Homely(loop).do(look) == "green"
