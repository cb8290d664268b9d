"""After a fork: the child has a bridge of its own, the parent's goes on, and nobody waits in vain."""

import asyncio
import os
import signal
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph import _threads
from aiograph.bridge import blocking, blocking_cm, blocking_iter, bridge_loop
from aiograph.errors import BridgeClosedError
from tests.bridge.kit import PATIENCE, Background, Box, Graph, chain, fan, script, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

graph: Graph = chain(lambda state: {"value": state["value"] + 1})


async def anode(state: Any) -> dict[str, Any]:
    return {"value": state["value"] + 1}


def in_child(fn: Callable[[], object]) -> None:
    """Runs `fn` in a forked child, which must come to its end; fails with what it raised there."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # of threads that a child does not have: just that is under test
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        told = b"ok"
        try:
            signal.alarm(int(PATIENCE))  # the child's own end, should it hang
            fn()
        except BaseException as error:
            told = repr(error).encode()
        finally:
            os.write(writing, told)
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(pid, 0)
    assert told == b"ok", told.decode() or "the child hangs"


@pytest.fixture(autouse=True)
def _the_parent_works_before_and_after() -> Iterator[None]:
    assert graph.invoke({"value": 1}) == {"value": 2}
    before = bridge_loop()
    yield
    assert graph.invoke({"value": 1}) == {"value": 2}
    assert bridge_loop() is before


def test_a_child_invokes_on_a_loop_of_its_own() -> None:
    parents = bridge_loop()

    def child() -> None:
        assert graph.invoke({"value": 1}) == {"value": 2}
        assert chain(anode).invoke({"value": 1}) == {"value": 2}
        assert list(graph.stream({"value": 1})) == [{"node_0": {"value": 2}}]
        assert bridge_loop() is not parents

    in_child(child)


def test_a_child_has_no_threads_of_its_parent_to_wait_for() -> None:
    begun, release = threading.Barrier(4), threading.Event()

    def node(state: Any) -> Any:
        begun.wait(30)
        release.wait(30)

    wide = fan(node, node, node, schema=Box)
    running = Background(lambda: wide.invoke({"value": 0}, timeout=60))
    begun.wait(30)

    def child() -> None:
        assert _threads.thread_statistics() == (0, 0, 0)
        assert graph.invoke({"value": 1}, timeout=30) == {"value": 2}

    in_child(child)
    release.set()
    running.result()


def test_a_child_that_is_forked_while_runs_are_under_way_leaves_them_alone() -> None:
    class Slow:
        async def acount(self) -> str:
            for _ in range(200):
                await asyncio.sleep(0.0005)
            return "whole"

        count = blocking(acount)

    running = [Background(Slow().count) for _ in range(8)]
    in_child(lambda: graph.invoke({"value": 1}))
    assert [call.result() for call in running] == ["whole"] * 8


def test_a_child_that_is_forked_in_a_node_can_invoke() -> None:
    def node(state: Any) -> Any:
        in_child(lambda: graph.invoke({"value": 1}))
        return graph.invoke(state)

    assert chain(node).invoke({"value": 1}) == {"value": 2}
    assert chain(node).invoke({"value": 1}, timeout=60) == {"value": 2}


def test_a_child_that_is_forked_in_an_async_node_can_invoke() -> None:
    async def node(state: Any) -> Any:
        in_child(lambda: graph.invoke({"value": 1}))
        return await graph.ainvoke(state)

    assert chain(node).invoke({"value": 1}) == {"value": 2}


def test_a_child_of_a_child_can_invoke() -> None:
    def child() -> None:
        assert graph.invoke({"value": 1}) == {"value": 2}
        in_child(lambda: graph.invoke({"value": 1}))
        assert graph.invoke({"value": 1}) == {"value": 2}

    in_child(child)


class Toy:
    async def aitems(self) -> AsyncIterator[int]:
        for number in range(10**9):
            yield number

    items = blocking_iter(aitems)


def test_a_child_cannot_go_on_with_an_iterator_of_its_parents_and_need_not_close_it() -> None:
    items = Toy().items()
    next(items)

    def child() -> None:
        with pytest.raises(BridgeClosedError, match="forked"):
            for _ in items:
                pass
        items.close()

    in_child(child)

    def careless_child() -> None:
        nonlocal items
        del items

    in_child(careless_child)
    assert next(items) >= 1  # the parent's goes on
    items.close()


def test_a_child_leaves_the_block_of_its_parent_without_a_word() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def aopened() -> AsyncIterator[None]:
        yield
        log.append("left")

    manager = blocking_cm(aopened)()
    manager.__enter__()
    in_child(lambda: manager.__exit__(None, None, None))
    assert log == []
    manager.__exit__(None, None, None)
    assert log == ["left"]


def test_a_child_that_comes_out_of_its_parents_call_is_told() -> None:
    """The main thread forks in node code that it serves; the child returns into its parent's call."""
    done = script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        from aiograph.errors import BridgeClosedError
        pids = []

        def node(state):
            pids.append(os.fork())
            return {"value": "parent's"}

        try:
            answer = chain(node).invoke({"value": 0})
        except BridgeClosedError as error:
            say("child:", "forked" in str(error))
            os._exit(0)
        os.waitpid(pids[0], 0)
        say("parent:", answer)
        """
    )
    assert done.said == ["child: True", "parent: {'value': \"parent's\"}"], done.complaints


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_child_ends_as_quietly_as_its_parent(loop: str) -> None:
    pytest.importorskip("uvloop")
    done = script(
        """
        import warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        graph = chain(lambda state: {"value": state["value"] + 1})
        graph.invoke({"value": 1})
        begun, over = threading.Event(), threading.Event()

        async def forever(state):
            begun.set()
            await asyncio.Event().wait()

        def under_way():
            try:
                chain(forever).invoke({"value": 0})
            except BaseException:
                pass
            over.set()

        threading.Thread(target=under_way, daemon=True).start()
        begun.wait()
        pid = os.fork()
        say("child" if pid == 0 else "parent", graph.invoke({"value": 1}))
        if pid == 0:
            sys.exit(7)  # the long way out, with all that an interpreter does at its end
        say(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        """,
        AIOGRAPH_LOOP=loop,
    )
    assert sorted(done.said) == ["7", "child {'value': 2}", "parent {'value': 2}"], done.complaints
    assert (done.code, done.complaints) == (0, "")
    assert done.seconds < 20


def test_processes_that_are_forked_by_multiprocessing_can_invoke() -> None:
    done = script(
        """
        import multiprocessing, warnings
        warnings.simplefilter("ignore", DeprecationWarning)
        graph = chain(lambda state: {"value": state["value"] + 1})

        def work(number):
            return graph.invoke({"value": number})["value"]

        work(0)
        with multiprocessing.get_context("fork").Pool(3) as pool:
            say(pool.map(work, range(20)) == list(range(1, 21)))
        """
    )
    assert done.said == ["True"], done.complaints


def test_many_forks_while_many_runs_are_under_way() -> None:
    over = threading.Event()
    answers: list[Any] = []

    def work() -> None:
        while not over.is_set():
            answers.append(graph.invoke({"value": 1})["value"])

    workers = [Background(work) for _ in range(4)]
    for number in range(10):
        until(lambda number=number: len(answers) > number * 10)  # type: ignore[misc]  # binds the number
        in_child(lambda: graph.invoke({"value": 1}))
    over.set()
    for worker in workers:
        worker.result()
    assert set(answers) == {2}
