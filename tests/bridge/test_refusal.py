"""Refused exactly where it would hang: a synchronous call. Elsewhere it works, and warns if it blocks."""

import asyncio
import contextvars
import gc
import threading
import warnings
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph import bridge
from aiograph.bridge import blocking, blocking_cm, blocking_iter, bridge_loop
from aiograph.errors import SyncCallError
from aiograph.warnings import BlockingCallWarning
from tests.bridge.kit import Background, Graph, chain, live_loop, promptly, there


class Toy:
    async def aecho(self, word: str) -> str:
        return word

    async def aitems(self) -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    echo = blocking(aecho)
    items = blocking_iter(aitems)


@asynccontextmanager
async def aopened() -> AsyncIterator[None]:
    yield


opened = blocking_cm(aopened)

inner: Graph = chain(lambda state: {"value": state["value"] + 1})


def enter() -> None:
    with opened():
        pass


VERBS: dict[str, Callable[[], object]] = {
    "ainvoke": lambda: inner.invoke({"value": 1}),
    "astream": lambda: next(inner.stream({"value": 1})),
    "aecho": lambda: Toy().echo("hello"),
    "aitems": lambda: next(Toy().items()),
    "aopened": enter,
}

ADVICE = {
    "ainvoke": "`await ainvoke(...)`",
    "astream": "`async for ... in astream(...)`",
    "aecho": "`await aecho(...)`",
    "aitems": "`async for ... in aitems(...)`",
    "aopened": "`async with aopened(...)`",
}

every_verb = pytest.mark.parametrize("verb", VERBS)


def assert_refused(verb: str) -> None:
    """The call raises at once, names the verb to use, and has created no coroutine."""
    with pytest.raises(SyncCallError) as caught:
        VERBS[verb]()
    assert ADVICE[verb] in str(caught.value)
    assert isinstance(caught.value, asyncio.InvalidStateError)
    gc.collect()  # a coroutine that was never awaited would warn here, and warnings are errors


# -- refused ---------------------------------------------------------------------------------------


@every_verb
def test_refused_in_an_inline_node(verb: str) -> None:
    def node(state: Any) -> dict[str, Any]:
        assert_refused(verb)
        return {"value": "refused"}

    graph = chain(node, inline=True)
    assert promptly(lambda: graph.invoke({"value": 0})) == {"value": "refused"}


@every_verb
def test_refused_in_an_async_node(verb: str) -> None:
    async def node(state: Any) -> dict[str, Any]:
        assert_refused(verb)
        return {"value": "refused"}

    assert promptly(lambda: chain(node).invoke({"value": 0})) == {"value": "refused"}


@every_verb
async def test_refused_in_an_async_node_of_an_asynchronous_run(verb: str) -> None:
    async def node(state: Any) -> dict[str, Any]:
        assert_refused(verb)
        return {"value": "refused"}

    assert await chain(node).ainvoke({"value": 0}) == {"value": "refused"}


@every_verb
def test_refused_on_the_loop_of_the_bridge(verb: str) -> None:
    async def check() -> None:
        assert_refused(verb)

    there(bridge_loop(), check())


def test_refused_in_a_callback_of_the_loop_of_the_bridge() -> None:
    refused = threading.Event()

    def callback() -> None:
        assert_refused("ainvoke")
        refused.set()

    bridge_loop().call_soon_threadsafe(callback)
    assert refused.wait(30)


def test_a_refused_call_leaves_the_loop_to_others() -> None:
    async def node(state: Any) -> dict[str, Any]:
        assert_refused("ainvoke")
        return {"value": await inner.ainvoke(state)}

    assert promptly(lambda: chain(node).invoke({"value": 0})) == {"value": {"value": 1}}


def test_an_iterator_is_refused_on_the_loop_that_does_its_work_even_if_it_was_begun_elsewhere() -> None:
    items = Toy().items()
    next(items)
    for _ in range(15):
        next(items)  # what came along with the first is here already

    async def go_on() -> None:
        with pytest.raises(SyncCallError, match="async for"):
            for _ in items:
                pass

    async def end() -> None:
        with pytest.raises(SyncCallError, match="async for"):
            items.close()

    there(bridge_loop(), go_on())
    there(bridge_loop(), end())
    assert list(items) == []


def test_a_node_cannot_wait_for_the_stream_that_it_runs_in() -> None:
    streams: list[Any] = []

    def node(state: Any) -> dict[str, Any]:
        with pytest.raises(SyncCallError, match="waits for the very code"):
            next(streams[0])
        return {"value": "refused"}

    streams.append(chain(node).stream({"value": 0}))
    assert promptly(lambda: list(streams[0])) == [{"node_0": {"value": "refused"}}]


# -- not refused -----------------------------------------------------------------------------------


@pytest.fixture
def warned() -> Iterator[list[warnings.WarningMessage]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield caught


@every_verb
async def test_works_on_a_foreign_loop_as_that_of_a_notebook(
    verb: str, warned: list[warnings.WarningMessage]
) -> None:
    VERBS[verb]()


async def test_warns_once_for_each_loop_that_is_blocked(warned: list[warnings.WarningMessage]) -> None:
    for _ in range(3):
        assert inner.invoke({"value": 1}) == {"value": 2}
    assert [entry.category for entry in warned] == [BlockingCallWarning]
    assert "`await ainvoke(...)` does not" in str(warned[0].message)


@every_verb
async def test_the_warning_points_at_the_line_that_calls(
    verb: str, warned: list[warnings.WarningMessage]
) -> None:
    VERBS[verb]()
    assert [entry.filename for entry in warned] == [__file__]


async def test_a_warning_that_is_made_an_error_leaves_nothing_behind() -> None:
    with pytest.raises(BlockingCallWarning):
        inner.invoke({"value": 1})
    gc.collect()


def test_does_not_warn_where_no_loop_runs() -> None:
    for call in VERBS.values():
        call()


async def test_works_on_a_thread_beside_a_running_loop() -> None:
    for call in VERBS.values():
        await asyncio.to_thread(call)


def test_works_in_a_synchronous_node() -> None:
    def node(state: Any) -> dict[str, Any]:
        for call in VERBS.values():
            call()
        return inner.invoke(state)  # type: ignore[no-any-return]  # state is anything

    assert promptly(lambda: chain(node, node).invoke({"value": 0})) == {"value": 2}


async def test_works_in_a_synchronous_node_of_an_asynchronous_run_and_goes_back_to_its_loop() -> None:
    loops: list[Any] = []

    async def deep(state: Any) -> dict[str, Any]:
        loops.append(asyncio.get_running_loop())
        return {"value": state["value"] + 1}

    nested = chain(deep)
    graph = chain(lambda state: nested.invoke(state))
    assert await graph.ainvoke({"value": 0}) == {"value": 1}
    assert loops == [asyncio.get_running_loop()]


def test_works_in_a_loop_that_a_synchronous_node_runs_itself() -> None:
    def node(state: Any) -> dict[str, Any]:
        return asyncio.run(inner.ainvoke(state))

    assert promptly(lambda: chain(node).invoke({"value": 0})) == {"value": 1}


def test_works_with_the_context_of_a_run_whose_loop_is_gone() -> None:
    contexts: list[contextvars.Context] = []

    def node(state: Any) -> dict[str, Any]:
        contexts.append(contextvars.copy_context())
        return {"value": 0}

    asyncio.run(chain(node).ainvoke({"value": 0}))
    answer = promptly(lambda: contexts[0].run(inner.invoke, {"value": 1}))
    assert answer == {"value": 2}


def test_works_with_the_context_of_a_run_that_was_cancelled() -> None:
    """Variables that were copied out of a cancelled node do not cancel what is called with them later."""
    contexts: list[contextvars.Context] = []
    entered, release = threading.Event(), threading.Event()

    def node(state: Any) -> dict[str, Any]:
        contexts.append(contextvars.copy_context())
        entered.set()
        release.wait(30)
        return {"value": 0}

    async def cancelled() -> None:
        run = asyncio.create_task(chain(node).ainvoke({"value": 0}))
        await asyncio.to_thread(entered.wait)
        run.cancel()
        release.set()
        with pytest.raises(asyncio.CancelledError):
            await run

    with live_loop() as loop:
        there(loop, cancelled())
        assert promptly(lambda: contexts[0].run(inner.invoke, {"value": 1})) == {"value": 2}


# -- objects with a home ---------------------------------------------------------------------------


class Homely:
    """An object that is tied to the loop on which it was opened."""

    def __init__(self, home: asyncio.AbstractEventLoop) -> None:
        self.home = home

    async def awhere(self) -> Any:
        async def at_home() -> Any:
            return asyncio.get_running_loop()

        return await bridge.at_home(self, at_home, verb="awhere")

    where = blocking(awhere)


async def test_refused_for_an_object_whose_home_is_the_blocked_loop() -> None:
    homely = Homely(asyncio.get_running_loop())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlockingCallWarning)
        with pytest.raises(SyncCallError, match=r"awhere.*Homely was opened on.*`await awhere\(\.\.\.\)`"):
            homely.where()
    assert await homely.awhere() is asyncio.get_running_loop()


@pytest.mark.parametrize("is_async", [True, False])
async def test_refused_for_an_object_whose_home_is_blocked_up_the_chain(is_async: bool) -> None:
    """This loop waits for the bridge's, where a node, on a thread of its own or not, asks for this loop."""
    homely = Homely(asyncio.get_running_loop())

    async def anode(state: Any) -> dict[str, Any]:
        return {"value": await homely.awhere()}

    def node(state: Any) -> dict[str, Any]:
        return {"value": homely.where()}

    graph = chain(lambda state: chain(anode if is_async else node).invoke(state))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BlockingCallWarning)
        # the call to be replaced is the one that blocks the loop
        with pytest.raises(SyncCallError, match=r"until invoke\(\).*`await ainvoke\(\.\.\.\)` there"):
            graph.invoke({"value": 0})


def test_refused_across_two_threads_and_two_loops() -> None:
    """Loop one waits, in a synchronous call, for a node that waits for loop two, which asks for loop one."""
    with live_loop() as one, live_loop() as two:
        homely, far = Homely(one), Homely(two)

        async def ask(state: Any) -> dict[str, Any]:
            async def on_two() -> Any:
                return await homely.awhere()

            return {"value": await bridge.at_home(far, on_two, verb="ask")}

        async def block_one() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", BlockingCallWarning)
                chain(ask).invoke({"value": 0})

        with pytest.raises(SyncCallError, match="Homely was opened on"):
            there(one, block_one())


def test_refused_where_two_blocked_loops_would_wait_for_each_other() -> None:
    """Each loop stands still in a call of its own, whose node asks for an object of the other loop."""
    with live_loop() as one, live_loop() as two:
        both = asyncio.Barrier(2)

        def call(homely: Homely) -> Any:
            async def node(state: Any) -> dict[str, Any]:
                await both.wait()
                return {"value": await homely.awhere()}

            async def blocked() -> Any:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", BlockingCallWarning)
                    try:
                        return chain(node).invoke({"value": 0})["value"]
                    except SyncCallError as error:
                        return str(error)

            return blocked()

        calls = [
            Background(lambda: there(one, call(Homely(two)))),
            Background(lambda: there(two, call(Homely(one)))),
        ]
        # one is refused, which sets its loop free, so that the other gets what it has asked for
        answers = [background.result() for background in calls]
        refusals = [answer for answer in answers if isinstance(answer, str)]
        assert len(refusals) == 1
        assert "`await ainvoke(...)`" in refusals[0]
        assert {one, two} & set(answers)


async def test_works_for_an_object_whose_home_runs_on_while_a_thread_waits() -> None:
    here = asyncio.get_running_loop()
    homely = Homely(here)
    assert await asyncio.to_thread(homely.where) is here
    graph = chain(lambda state: {"value": homely.where()})
    assert await asyncio.to_thread(graph.invoke, {"value": 0}) == {"value": here}
    assert await graph.ainvoke({"value": 0}) == {"value": here}


def test_no_wait_is_remembered_after_it_is_over() -> None:
    """A loop that was blocked, and is not any more, is a home as good as any."""
    with live_loop() as loop:
        homely = Homely(loop)

        async def block() -> None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", BlockingCallWarning)
                inner.invoke({"value": 0})

        there(loop, block())
        assert Background(homely.where).result() is loop


def test_work_that_outlives_the_call_which_blocked_a_loop_may_ask_for_that_loop() -> None:
    tasks: list[Any] = []
    release = asyncio.Event()

    class Starter:
        async def abegin(self, homely: Homely) -> Any:
            async def later() -> Any:
                await release.wait()
                return await homely.awhere()

            tasks.append(asyncio.ensure_future(later()))
            return asyncio.get_running_loop()

        begin = blocking(abegin)

    with live_loop() as loop:

        async def block() -> Any:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", BlockingCallWarning)
                return Starter().begin(Homely(loop))

        bridges = there(loop, block())
        bridges.call_soon_threadsafe(release.set)

        async def outcome() -> Any:
            return await tasks[0]

        assert there(bridges, outcome()) is loop
