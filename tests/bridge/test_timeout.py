"""`timeout=` on synchronous verbs: asynchronous work is cleaned up, synchronous node code is given up on."""

import asyncio
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from aiograph._threads import thread_statistics
from aiograph.bridge import blocking
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeTimeoutError
from aiograph.types import RunnableConfig, TimeoutPolicy
from tests.bridge.kit import Background, Graph, chain, promptly, settled

SHORT = 0.2
"""Seconds; long enough for a thread to start on a busy machine."""
CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}


class Stuck:
    """A synchronous node that ends when it is told to."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.release = threading.Event()

    def __call__(self, state: Any) -> dict[str, Any]:
        self.begun.set()
        assert self.release.wait(60)
        return {"value": "too late"}


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    stuck = Stuck()
    yield stuck
    stuck.release.set()
    assert settled().abandoned == 0


def with_node_timeout(graph: Graph, seconds: float) -> Graph:
    nodes = {
        name: replace(node, timeout=TimeoutPolicy(run_timeout=seconds))
        for name, node in graph._plan.nodes.items()
    }
    return graph.of(replace(graph._plan, nodes=nodes), graph._options)


def with_step_timeout(graph: Graph, seconds: float) -> Graph:
    return graph.of(graph._plan, replace(graph._options, step_timeout=seconds))


def test_the_clean_up_of_an_async_node_has_run_when_the_error_arrives() -> None:
    log: list[str] = []

    async def node(state: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(10):
                await asyncio.sleep(0)
            log.append("cleaned up")

    with pytest.raises(TimeoutError, match=r"invoke\(\) did not finish in time"):
        chain(node).invoke({"value": 0}, timeout=SHORT)
    assert log == ["cleaned up"]


def test_a_sync_node_is_abandoned_and_counted_and_the_loop_stays_usable(stuck: Stuck) -> None:
    with pytest.raises(TimeoutError):
        promptly(lambda: chain(stuck).invoke({"value": 0}, timeout=SHORT))
    assert thread_statistics().abandoned == 1
    assert chain(lambda state: {"value": "usable"}).invoke({"value": 0}) == {"value": "usable"}
    stuck.release.set()
    assert settled().abandoned == 0


def test_the_writes_of_an_abandoned_node_are_discarded(stuck: Stuck) -> None:
    graph = chain(lambda state: {"value": "kept"}, stuck, checkpointer=InMemorySaver())
    with pytest.raises(TimeoutError):
        promptly(lambda: graph.invoke({"value": 0}, CONFIG, timeout=SHORT))
    stuck.release.set()
    settled()
    state = graph.get_state(CONFIG)
    assert (state.values, state.next) == ({"value": "kept"}, ("node_1",))


def test_work_that_is_through_in_time_returns_its_result() -> None:
    assert chain(lambda state: {"value": 1}).invoke({"value": 0}, timeout=60) == {"value": 1}


def test_work_that_ends_well_although_it_was_too_late_returns_its_result() -> None:
    """What has happened cannot be called off: saying that it failed would have it done again."""

    class Stubborn:
        async def adone(self) -> str:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                return "done all the same"
            return "never"

        done = blocking(adone)

    assert Stubborn().done(timeout=SHORT) == "done all the same"


def test_an_error_in_the_clean_up_is_the_cause() -> None:
    class Broken:
        async def ado(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                raise ValueError("while cleaning up")

        do = blocking(ado)

    with pytest.raises(TimeoutError) as caught:
        Broken().do(timeout=SHORT)
    assert repr(caught.value.__cause__) == "ValueError('while cleaning up')"


def test_the_works_own_timeout_is_not_taken_for_ours() -> None:
    async def node(state: Any) -> None:
        raise TimeoutError("the node's own")

    with pytest.raises(TimeoutError, match="the node's own"):
        chain(node).invoke({"value": 0}, timeout=60)


def test_no_time_at_all_is_a_timeout() -> None:
    async def node(state: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        chain(node).invoke({"value": 0}, timeout=0)


def test_the_time_of_an_iterator_is_that_of_the_whole_iteration(stuck: Stuck) -> None:
    stream = chain(lambda state: {"value": 1}, stuck).stream({"value": 0}, timeout=SHORT)
    with pytest.raises(TimeoutError, match=r"stream\(\) did not finish in time"):
        promptly(lambda: list(stream))
    assert list(stream) == []
    assert thread_statistics().abandoned == 1


def test_a_node_timeout_gives_up_on_its_own_node(stuck: Stuck) -> None:
    with pytest.raises(NodeTimeoutError):
        promptly(lambda: with_node_timeout(chain(stuck), SHORT).invoke({"value": 0}))
    assert thread_statistics().abandoned == 1


def test_a_step_timeout_gives_up_on_its_nodes(stuck: Stuck) -> None:
    with pytest.raises(TimeoutError, match="step_timeout"):
        promptly(lambda: with_step_timeout(chain(stuck), SHORT).invoke({"value": 0}))
    assert thread_statistics().abandoned == 1


def test_a_step_timeout_is_not_held_up_by_a_longer_node_timeout(stuck: Stuck) -> None:
    graph = with_step_timeout(with_node_timeout(chain(stuck), 50), SHORT)
    with pytest.raises(TimeoutError, match="step_timeout"):
        promptly(lambda: graph.invoke({"value": 0}), 10)


@pytest.mark.parametrize("wrap", [with_node_timeout, with_step_timeout])
def test_the_timeout_of_a_call_is_not_held_up_by_a_longer_one_inside(stuck: Stuck, wrap: Any) -> None:
    with pytest.raises(TimeoutError, match=r"invoke\(\) did not finish"):
        promptly(lambda: wrap(chain(stuck), 50).invoke({"value": 0}, timeout=SHORT), 10)


def test_what_an_abandoned_node_waits_for_ends_as_well(stuck: Stuck) -> None:
    """A node that waits for a nested run: the run is cancelled, its node given up on, and the call told."""
    told: list[BaseException] = []
    inner = chain(stuck)

    def node(state: Any) -> Any:
        try:
            return inner.invoke(state)
        except BaseException as error:
            told.append(error)
            raise

    with pytest.raises(TimeoutError):
        promptly(lambda: chain(node).invoke({"value": 0}, timeout=SHORT))
    stuck.release.set()
    settled()
    assert [type(error) for error in told] == [asyncio.CancelledError]


def test_an_abandoned_node_cannot_begin_anything_more(stuck: Stuck) -> None:
    outcome: list[BaseException] = []
    inner = chain(lambda state: {"value": 1})

    def node(state: Any) -> Any:
        stuck(state)
        try:
            return inner.invoke(state)
        except BaseException as error:
            outcome.append(error)
            raise

    with pytest.raises(TimeoutError):
        promptly(lambda: chain(node).invoke({"value": 0}, timeout=SHORT))
    stuck.release.set()
    settled()
    assert [type(error) for error in outcome] == [asyncio.CancelledError]


async def test_a_run_that_is_cancelled_waits_for_its_synchronous_node(stuck: Stuck) -> None:
    run = asyncio.create_task(chain(stuck).ainvoke({"value": 0}))
    await asyncio.to_thread(stuck.begun.wait)
    run.cancel()
    for _ in range(10):
        await asyncio.sleep(0)
    assert not run.done()
    stuck.release.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert thread_statistics().abandoned == 0


async def test_a_context_manager_in_a_cancelled_node_is_left(stuck: Stuck) -> None:
    """The call that would leave it comes too late to be let through: it is left all the same."""
    from collections.abc import AsyncIterator
    from contextlib import asynccontextmanager

    from aiograph.bridge import blocking_cm

    log: list[str] = []

    @asynccontextmanager
    async def aopened() -> AsyncIterator[None]:
        log.append("entered")
        try:
            yield
        finally:
            await asyncio.sleep(0)
            log.append("left")

    def node(state: Any) -> Any:
        with blocking_cm(aopened)():
            return stuck(state)

    run = asyncio.create_task(chain(node).ainvoke({"value": 0}))
    await asyncio.to_thread(stuck.begun.wait)
    run.cancel()
    stuck.release.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert log == ["entered", "left"]


def test_a_timeout_inside_of_a_node_leaves_the_run_around_it_alone(stuck: Stuck) -> None:
    inner = chain(stuck)

    def node(state: Any) -> Any:
        with pytest.raises(TimeoutError):
            inner.invoke(state, timeout=SHORT)
        return {"value": "went on"}

    assert Background(lambda: chain(node).invoke({"value": 0})).result() == {"value": "went on"}
