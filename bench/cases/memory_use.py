"""Bytes that Python objects take: of a thread that is at rest, of one that is paused, of a run that waits."""

import asyncio
import gc
import tracemalloc
from typing import Any, TypedDict

from bench._case import Case, Goal, Setup, Work
from bench._packages import END, START, Package
from bench._savers import memory, new_thread
from bench.cases.small import graph_of

TOPIC = "Building, importing, memory"


class State(TypedDict):
    answer: int


def trace(setup: Setup) -> None:
    """From here on bytes are counted; what is loaded and compiled lazily should have been by now."""
    tracemalloc.start()
    setup.resources.callback(tracemalloc.stop)
    setup.meters["heap"] = _held


def _held() -> float:
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


async def idle_threads(package: Package, setup: Setup) -> Work:
    graph = graph_of(package, nodes=3, saver=await memory(package, setup))
    await graph.ainvoke({"count": 0}, new_thread())
    trace(setup)

    async def work() -> int:
        for _ in range(setup.size):
            await graph.ainvoke({"count": 0}, new_thread())
        return setup.size

    return work


async def paused_threads(package: Package, setup: Setup) -> Work:
    interrupt = package.find("types", "interrupt")

    async def ask(state: State) -> dict[str, int]:
        return {"answer": interrupt("how many?")}

    builder = package.builder(State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    graph = builder.compile(checkpointer=await memory(package, setup))
    await graph.ainvoke({"answer": 0}, new_thread())
    trace(setup)

    async def work() -> int:
        for _ in range(setup.size):
            await graph.ainvoke({"answer": 0}, new_thread())
        return setup.size

    return work


# -- runs that wait --------------------------------------------------------------------------------


class Gate:
    """Where nodes wait until the measurement is over."""

    def __init__(self, setup: Setup) -> None:
        self._expected = 0
        self._all_wait = asyncio.Event()
        self._open = asyncio.Event()
        self._runs: list[asyncio.Task[Any]] = []
        setup.resources.push_async_callback(self._finish)

    async def wait(self, state: Any = None) -> dict[str, int]:
        self._expected -= 1
        if not self._expected:
            self._all_wait.set()
        await self._open.wait()
        return {"answer": 1}

    async def hold(self, size: int, run: Any) -> int:
        """Starts so many runs, and returns when all of them wait."""
        self._expected = size
        self._all_wait.clear()
        self._runs += [asyncio.create_task(run()) for _ in range(size)]
        await self._all_wait.wait()
        return size

    async def _finish(self) -> None:
        self._open.set()
        await asyncio.gather(*self._runs)


async def bare_live_runs(setup: Setup) -> Work:
    gate = Gate(setup)

    async def run() -> dict[str, Any]:
        return {"answer": 0, **await gate.wait()}

    await gate.hold(1, run)
    trace(setup)

    async def work() -> int:
        return await gate.hold(setup.size, run)

    return work


async def live_runs(package: Package, setup: Setup) -> Work:
    gate = Gate(setup)
    builder = package.builder(State).add_node("wait", gate.wait).add_edge(START, "wait").add_edge("wait", END)
    graph = builder.compile()

    async def run() -> Any:
        return await graph.ainvoke({"answer": 0})

    await gate.hold(1, run)
    trace(setup)

    async def work() -> int:
        return await gate.hold(setup.size, run)

    return work


CASES = [
    Case(
        name="memory_live_run",
        unit="run",
        size=200,
        floor=bare_live_runs,
        subject=live_runs,
        clock="heap",
        goals=(Goal(0.15),),
        note="one node that waits, no saver; the floor is a task that does",
    ),
    Case(
        name="memory_idle_thread",
        unit="thread",
        size=200,
        subject=idle_threads,
        clock="heap",
        note="in-memory saver, after three supersteps",
    ),
    Case(
        name="memory_paused_thread",
        unit="thread",
        size=200,
        subject=paused_threads,
        clock="heap",
        note="in-memory saver, after an interrupt",
    ),
]
