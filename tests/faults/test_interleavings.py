"""All orders in which the calls of two runs on one thread can reach their saver.

Each call is held up until it is its turn, so every order happens exactly as written, on every machine.
"""

import asyncio
import operator
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from itertools import chain, combinations
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypedDict

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import ConcurrentUpdateError
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, SaverCall
from aiograph.types import Durability, RunnableConfig
from tests.faults import backends
from tests.faults.rig import BeginningSaver, turns

DURABILITIES: tuple[Durability, ...] = ("sync", "async")

CALLS = 6
"""What a run makes if nobody is in its way."""


def orders(first: int, second: int) -> list[str]:
    """All ways to mix so many calls of `x` with so many of `y`."""
    total = first + second
    return [
        "".join("x" if place in places else "y" for place in range(total))
        for places in combinations(range(total), first)
    ]


# -- what races ------------------------------------------------------------------------------------


class State(TypedDict, total=False):
    by: str
    log: Annotated[list[str], operator.add]


def all_of(name: str) -> list[str]:
    """What a run logs that comes to its end."""
    return [f"{name} {line}" for line in ("begins", "p", "q")]


def graph_on(saver: BaseCheckpointSaver) -> Any:
    """Two nodes side by side, of which one takes longer, so that the writes of both are kept apart."""

    def logs(name: str, length: int) -> Callable[[State], Awaitable[State]]:
        async def node(state: State) -> State:
            await turns(length)
            return {"log": [f"{state['by']} {name}"]}

        return node

    builder = StateGraph(State).add_node("p", logs("p", 0)).add_node("q", logs("q", 5))
    return builder.add_edge(START, "p").add_edge(START, "q").compile(saver)


Start: TypeAlias = Callable[[Any, RunnableConfig], Awaitable[Any]]
"""Does something to a thread, by a graph."""


def run(name: str, durability: Durability = "sync") -> Start:
    def start(graph: Any, thread: RunnableConfig) -> Any:
        return graph.ainvoke({"by": name, "log": [f"{name} begins"]}, thread, durability=durability)

    return start


def update(name: str) -> Start:
    """Leaves at once what a run leaves."""
    return lambda graph, thread: graph.aupdate_state(thread, {"log": all_of(name)}, "p")


def resume(graph: Any, thread: RunnableConfig) -> Any:
    return graph.ainvoke(None, thread, durability="sync")


# -- the race --------------------------------------------------------------------------------------


class Racer:
    """Somebody whose calls are let through one by one, in the order in which they were made."""

    def __init__(
        self, saver: BaseCheckpointSaver, start: Start, thread: RunnableConfig, *, begins: bool = True
    ) -> None:
        self.saver = FaultySaver(saver, before=self._hold_up, begins=begins)
        self._held: deque[tuple[SaverCall, asyncio.Event]] = deque()
        self._stands = asyncio.Event()
        """Whether a call is held up, or everything is over."""
        self.task = asyncio.ensure_future(start(graph_on(self.saver), thread))
        self.task.add_done_callback(lambda _: self._stands.set())

    async def _hold_up(self, call: SaverCall) -> None:
        assert self.saver.begins or len(self.saver.in_flight) == 1, "there is one call at a time"
        go_on = asyncio.Event()
        self._held.append((call, go_on))
        self._stands.set()
        await go_on.wait()

    async def take_a_step(self) -> None:
        """Lets a call through, and returns when it is over, and there is another one or it was the last."""
        await self._stands.wait()
        if self._held:
            call, go_on = self._held.popleft()
            go_on.set()
            while call in self.saver.in_flight:
                await turns(1)
            if not self._held and not self.task.done():
                self._stands.clear()
        await self._stands.wait()

    @property
    def was_refused(self) -> bool:
        error = self.task.exception() if self.task.done() else None
        if error is not None and not isinstance(error, ConcurrentUpdateError):
            raise error
        return error is not None


async def race(
    saver: BaseCheckpointSaver, order: str, kinds: Mapping[str, Start], *, begins: bool = True
) -> list[str]:
    """Has calls made in this order on a thread of that name; the names of those who succeeded.

    Fails if a call that is refused leaves something behind.
    """
    thread: RunnableConfig = {"configurable": {"thread_id": order}}
    racers = {name: Racer(saver, start, thread, begins=begins) for name, start in kinds.items()}
    left = chain(order, "x" * CALLS, "y" * CALLS)  # one who starts late may find more to do
    for racer in (racers[name] for name in left):
        if not racer.task.done():
            before = await stored(saver, thread)
            await racer.take_a_step()
            assert not racer.was_refused or await stored(saver, thread) == before, order
    assert all(racer.task.done() for racer in racers.values())
    return [name for name, racer in racers.items() if not racer.was_refused]


async def stored(saver: BaseCheckpointSaver, thread: RunnableConfig) -> list[Any]:
    return [each async for each in saver.alist(thread)]


async def log_of(saver: BaseCheckpointSaver, order: str) -> list[str]:
    """What is logged in the thread; fails if its history is not one line."""
    newest = (await backends.line_of(saver, order))[-1]
    return newest.checkpoint["channel_values"]["log"]  # type: ignore[no-any-return]  # the user's


async def check(
    saver: BaseCheckpointSaver, order: str, kinds: Mapping[str, Start], *, begins: bool = True
) -> None:
    """Whoever succeeded has left everything, in one piece; whoever was refused, the first lines at most."""
    won = await race(saver, order, kinds, begins=begins)
    log = await log_of(saver, order)
    names = list(dict.fromkeys(line[0] for line in log))
    pieces = {name: [line for line in log if line[0] == name] for name in names}
    assert list(chain.from_iterable(pieces.values())) == log, f"{order}: mixed up"
    assert won, f"{order}: nobody succeeded"
    assert {name for name in names if pieces[name] == all_of(name)} == set(won), f"{order}: lost, or torn"
    assert all(piece == all_of(name)[: len(piece)] for name, piece in pieces.items()), order


@pytest.fixture(params=backends.SHARED)
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    with backends.backend_of(request, tmp_path).saver() as opened:
        opened.get_tuple({"configurable": {"thread_id": "t"}})
        yield opened


# -- all of them -----------------------------------------------------------------------------------


def test_there_are_924_orders() -> None:
    assert len(set(orders(CALLS, CALLS))) == 924


@pytest.mark.parametrize("kind", [InMemorySaver, BeginningSaver])
@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_run_makes_as_many_calls_as_the_orders_suppose(
    durability: Durability, kind: type[InMemorySaver]
) -> None:
    racer = Racer(kind(), run("x", durability), {"configurable": {"thread_id": "t"}})
    while not racer.task.done():
        await racer.take_a_step()
    verbs = [call.verb for call in racer.saver.calls]
    assert verbs == ["ahold", "acommit", "acommit", "arecord", "arecord", "acommit"]
    assert len(verbs) == CALLS


async def test_runs_in_any_order_lose_nothing_and_mix_nothing_up() -> None:
    for order in orders(CALLS, CALLS):
        await check(InMemorySaver(), order, {name: run(name) for name in "xy"})


@pytest.mark.parametrize("kind", [InMemorySaver, BeginningSaver])
@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.long)])
async def test_runs_that_write_behind_in_any_order_lose_nothing_and_mix_nothing_up(
    step: int, kind: type[InMemorySaver]
) -> None:
    """Some of the orders, or all."""
    for order in orders(CALLS, CALLS)[::step]:
        await check(kind(), order, {name: run(name, "async") for name in "xy"})


async def test_an_update_in_any_order_with_a_run_is_made_as_a_whole_or_refused() -> None:
    for order in orders(CALLS, 2):
        await check_update(InMemorySaver(), order)


async def check_update(saver: BaseCheckpointSaver, order: str) -> None:
    """What the run's tasks have finished by then counts beside an update, even if the run is overtaken."""
    won = await race(saver, order, {"x": run("x"), "y": update("y")})
    log = await log_of(saver, order)
    at = log.index("y begins") if "y" in won else len(log)
    assert log[at : at + 3] == (all_of("y") if "y" in won else []), order
    rest = log[:at] + log[at + 3 :]
    assert won, f"{order}: nobody succeeded"
    assert rest == all_of("x") if "x" in won else set(rest) <= set(all_of("x")), order


async def test_two_who_resume_in_any_order_do_all_that_was_left_and_nothing_twice() -> None:
    for order in orders(5, 5):
        saver = InMemorySaver()
        await check_resumed(saver, order)


async def check_resumed(saver: BaseCheckpointSaver, order: str) -> None:
    thread: RunnableConfig = {"configurable": {"thread_id": order}}
    begun: State = {"by": "w", "log": ["w begins"]}
    await graph_on(saver).aupdate_state(thread, begun, START)
    assert await race(saver, order, {"x": resume, "y": resume})
    assert await log_of(saver, order) == all_of("w"), order


@pytest.mark.parametrize("step", [90, pytest.param(1, marks=pytest.mark.long)])
async def test_orders_on_a_database_end_as_in_memory(shared: BaseCheckpointSaver, step: int) -> None:
    """Some of them, or all."""
    await try_all(shared, step)


WAYS: Sequence[tuple[Durability, bool]] = [("sync", True), ("async", True), ("async", False)]
"""Durability, and whether supersteps may be begun."""


async def try_all(saver: BaseCheckpointSaver, step: int) -> None:
    for offset, (durability, begins) in enumerate(WAYS):
        kinds = {name: run(name, durability) for name in "xy"}
        for order in orders(CALLS, CALLS)[offset::step]:
            await check(saver, order, kinds, begins=begins)
            await saver.adelete_thread(order)
    for order in orders(5, 5)[::step]:
        await check_resumed(saver, order)
