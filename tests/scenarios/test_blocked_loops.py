"""Code that blocks the event loop is named, by graphs that are debugged. Driven by events, on real time."""

import asyncio
import operator
import threading
import time
import warnings
from collections.abc import Iterator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.graph import END, START, StateGraph
from aiograph.warnings import BlockedLoopWarning

PATIENCE = 0.01
TOLD = "node 'node' has kept the"


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Heard:
    """The warnings so far; code that blocks waits for its own, and so never longer than it must.

    On a busy machine there may be others, as there the loop is kept waiting by all and sundry.
    """

    def __init__(self) -> None:
        self._came = threading.Condition()
        self._warnings: list[tuple[str, Any, str, int]] = []

    def show(self, message: Any, category: Any, filename: str, lineno: int, *_: Any) -> None:
        with self._came:
            self._warnings.append((str(message), category, filename, lineno))
            self._came.notify_all()

    def block_until_told(self, text: str) -> None:
        with self._came:
            assert self._came.wait_for(lambda: self.of(text), 30)

    def of(self, text: str) -> list[tuple[str, Any, str, int]]:
        """The warnings with this text."""
        return [each for each in self._warnings if text in each[0]]


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Heard]:
    heard = Heard()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        monkeypatch.setattr(warnings, "showwarning", heard.show)
        yield heard


def graph_of(node: Any, name: str = "node", **options: Any) -> Any:
    builder: Any = StateGraph(State).add_node(name, node, inline=not asyncio.iscoroutinefunction(node))
    return builder.add_edge(START, name).compile(**{"debug": PATIENCE, **options})


async def test_a_node_that_blocks_the_loop_is_named_with_its_line(heard: Heard) -> None:
    async def node(state: State) -> State:
        heard.block_until_told(TOLD)
        return {"log": ["done"]}

    assert await graph_of(node).ainvoke({}) == {"log": ["done"]}
    ((text, category, file, line),) = heard.of(TOLD)
    assert category is BlockedLoopWarning
    assert "event loop from turning for over 0.01 s" in text
    assert "in Heard.block_until_told (which is at " in text  # and within it, the standard library
    assert (file, line) == (__file__, Heard.block_until_told.__code__.co_firstlineno + 2)


async def test_a_synchronous_node_on_the_loop_is_named(heard: Heard) -> None:
    def node(state: State) -> State:
        heard.block_until_told("node 'quick, they said' has kept")
        return {}

    assert await graph_of(node, "quick, they said").ainvoke({}) == {"log": []}


async def test_a_conditional_edge_is_told_by_the_node_that_it_leaves(heard: Heard) -> None:
    def route(state: State) -> str:
        heard.block_until_told(TOLD)
        return END

    async def node(state: State) -> State:
        return {}

    builder: Any = StateGraph(State).add_node("node", node).add_edge(START, "node")
    await builder.add_conditional_edges("node", route, [END]).compile(debug=PATIENCE).ainvoke({})
    assert len(heard.of(TOLD)) == 1


async def test_a_reducer_is_told_by_its_line(heard: Heard) -> None:
    def add(left: list[str], right: list[str]) -> list[str]:
        if right:
            heard.block_until_told("block_until_told")
        return left + right

    class Slow(TypedDict, total=False):
        log: Annotated[list[str], add]

    builder: Any = StateGraph(Slow).add_node("node", lambda state: {"log": ["x"]}).add_edge(START, "node")
    await builder.compile(debug=PATIENCE).ainvoke({})
    assert heard.of("block_until_told")[0][0].startswith("something has kept the event loop")


async def test_of_nested_graphs_the_innermost_node_is_named(heard: Heard) -> None:
    async def leaf(state: State) -> State:
        heard.block_until_told("node 'leaf' has kept")
        return {}

    inner = graph_of(leaf, "leaf", debug=None)

    async def node(state: State) -> State:
        await inner.ainvoke({})
        return {}

    await graph_of(node).ainvoke({})
    assert heard.of(TOLD) == []


async def test_each_place_is_told_once(heard: Heard) -> None:
    places: list[Any] = []

    async def node(state: State) -> State:
        places[0]()
        return {}

    def here() -> None:
        time.sleep(10 * PATIENCE)  # real: what is tested is that nothing happens meanwhile

    def there() -> None:
        heard.block_until_told("in Heard.block_until_told")

    graph = graph_of(node)
    for place in (here, here, there):
        places[:] = [place]
        await graph.ainvoke({})
    assert len(heard.of("<locals>.here")) == 1


async def test_nothing_is_told_of_a_loop_that_turns(heard: Heard) -> None:
    async def node(state: State) -> State:
        for _ in range(20):
            await asyncio.sleep(0.001)
        return {}

    await graph_of(node, debug=5).ainvoke({})
    assert heard.of("") == []


async def test_a_node_on_a_thread_blocks_nobody(heard: Heard) -> None:
    def node(state: State) -> State:
        time.sleep(5 * PATIENCE)  # real: the loop has to be seen to turn meanwhile
        return {}

    builder: Any = StateGraph(State).add_node("node", node).add_edge(START, "node")
    await builder.compile(debug=PATIENCE).ainvoke({})
    assert heard.of(TOLD) == []


async def test_runs_at_once_share_a_thread_which_ends_with_the_last(heard: Heard) -> None:
    counts: list[int] = []

    async def node(state: State) -> State:
        await asyncio.sleep(0)
        counts.append(sum(thread.name == "aiograph-watch" for thread in threading.enumerate()))
        return {}

    graph = graph_of(node, debug=5)
    await asyncio.gather(*[graph.ainvoke({}) for _ in range(10)])
    assert counts == [1] * 10


def test_the_loop_of_synchronous_callers_is_watched(heard: Heard) -> None:
    async def node(state: State) -> State:
        heard.block_until_told(TOLD)
        return {}

    graph_of(node).invoke({})
    assert len(heard.of(TOLD)) == 1


async def test_the_environment_can_ask_for_it(heard: Heard, monkeypatch: pytest.MonkeyPatch) -> None:
    async def node(state: State) -> State:
        heard.block_until_told(TOLD)
        return {}

    monkeypatch.setenv("AIOGRAPH_DEBUG", str(PATIENCE))
    await graph_of(node, debug=None).ainvoke({})
    assert len(heard.of(TOLD)) == 1


@pytest.mark.parametrize(("text", "seconds"), [("1", 0.2), ("yes", 0.2), ("0.5", 0.5), ("2", 2.0)])
def test_what_the_environment_may_say(text: str, seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGRAPH_DEBUG", text)
    watch = graph_of(print, debug=None)._options.watch
    assert watch.seconds == seconds


@pytest.mark.parametrize("text", ["", "0"])
def test_what_the_environment_may_say_against_it(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGRAPH_DEBUG", text)
    assert graph_of(print, debug=None)._options.watch is None


def test_less_than_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="debug must be above 0 seconds"):
        graph_of(print, debug=-1)
