"""Several runs, updates and streams on one thread: one gets an error, or they queue; nothing is mixed up."""

import asyncio
import operator
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import ConcurrentUpdateError
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, Mishap, SaverCall
from aiograph.types import Durability, RetryPolicy, RunnableConfig
from tests.bridge.kit import Background, live_loop, there
from tests.faults import backends

DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    by: str
    """Who runs."""
    log: Annotated[list[str], operator.add]


class Gate:
    """Holds up the nodes `a` of runs by some name, and tells that they have come."""

    def __init__(self, *names: str) -> None:
        self.reached = asyncio.Event()
        self.open = asyncio.Event()
        self._names = names

    async def pass_through(self, name: str) -> None:
        if name in self._names:
            self.reached.set()
            await self.open.wait()


def graph_on(saver: Any, gate: Gate | None = None, **options: Any) -> Any:
    """Two nodes that log what they do, one after the other."""

    async def a(state: State) -> State:
        if gate is not None:
            await gate.pass_through(state["by"])
        return {"log": [f"{state['by']} a"]}

    def b(state: State) -> State:
        return {"log": [f"{state['by']} b"]}

    builder = StateGraph(State).add_sequence([("a", a), ("b", b)]).add_edge(START, "a")
    return builder.compile(saver, **options)


def begin(name: str) -> State:
    return {"by": name, "log": [f"{name} begins"]}


def all_of(*names: str) -> list[str]:
    """What is logged when runs go one after the other."""
    return [f"{name} {step}" for name in names for step in ("begins", "a", "b")]


async def logged(graph: Any) -> list[str]:
    values = (await graph.aget_state(THREAD)).values
    return values.get("log", [])  # type: ignore[no-any-return]  # values are the user's


def meeting(verb: str, size: int = 2) -> Mishap:
    """Lets the first calls of a verb go on only when all of them have come so far."""
    barrier = asyncio.Barrier(size)

    async def meet(call: SaverCall) -> None:
        if call.verb == verb and call.of_verb <= size:
            await barrier.wait()

    return meet


@pytest.fixture(params=backends.ALL)
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """Opened by a synchronous caller, so that a pool's own tasks are not those of the test."""
    with backends.backend_of(request, tmp_path).saver() as opened:
        opened.get_tuple(THREAD)
        yield opened


async def rest(times: int = 5) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


async def outcomes(*work: Awaitable[Any]) -> list[Any]:
    return await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), 30)


def winners(names: str, found: list[Any]) -> str:
    """Names of those that succeeded; the others have to have been told that they were overtaken."""
    losers = [each for each in found if isinstance(each, BaseException)]
    assert all(isinstance(each, ConcurrentUpdateError) for each in losers), losers
    return "".join(
        name for name, each in zip(names, found, strict=True) if not isinstance(each, BaseException)
    )


# -- "raise" ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["xy", "stuvwxyz"])
@pytest.mark.parametrize("durability", DURABILITIES)
async def test_of_runs_that_start_from_one_state_one_goes_on(
    saver: Any, durability: Durability, names: str
) -> None:
    graph = graph_on(FaultySaver(saver, after=meeting("ahold", len(names))))
    found = await outcomes(*(graph.ainvoke(begin(name), THREAD, durability=durability) for name in names))
    winner = winners(names, found)
    assert len(winner) == 1
    assert await logged(graph) == all_of(winner)


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_nothing_is_stored_of_a_run_that_lost(saver: Any, durability: Durability) -> None:
    graph = graph_on(FaultySaver(saver, after=meeting("ahold")))
    found = await outcomes(*(graph.ainvoke(begin(name), THREAD, durability=durability) for name in "xy"))
    (loser,) = set("xy") - set(winners("xy", found))
    for each in await backends.line_of(saver, "1"):
        assert f"'{loser}" not in repr(each)


@pytest.mark.parametrize("durability", ["sync", "exit"])
async def test_a_run_that_was_overtaken_stores_nothing_more(saver: Any, durability: Durability) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate)
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD, durability=durability))
    await gate.reached.wait()
    await graph.ainvoke(begin("y"), THREAD, durability=durability)
    gate.open.set()
    with pytest.raises(ConcurrentUpdateError, match="thread '1'"):
        await slow
    assert await logged(graph) == (["x begins"] if durability == "sync" else []) + all_of("y")
    await backends.line_of(saver, "1")


async def test_of_runs_that_overlap_with_their_writes_in_flight_one_goes_on(saver: Any) -> None:
    """Under "async" the first may work for a while before others can see that it has begun."""
    gate = Gate("x")
    graph = graph_on(saver, gate)
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD, durability="async"))
    await gate.reached.wait()
    found = await outcomes(graph.ainvoke(begin("y"), THREAD, durability="async"))
    gate.open.set()
    winner = winners("xy", await outcomes(slow) + found)
    assert len(winner) == 1
    assert_in_one_piece(await logged(graph), winner)


async def test_one_that_was_overtaken_can_be_started_again(saver: Any) -> None:
    graph = graph_on(FaultySaver(saver, after=meeting("ahold")))
    found = await outcomes(*(graph.ainvoke(begin(name), THREAD) for name in "xy"))
    winner = winners("xy", found)
    (loser,) = set("xy") - set(winner)
    output = await graph.ainvoke(begin(loser), THREAD)
    assert output["log"] == all_of(winner, loser)


async def test_what_others_write_between_two_runs_is_no_conflict(saver: Any) -> None:
    one, two = graph_on(saver), graph_on(saver)
    for name, graph in zip("wxyz", (one, two) * 2, strict=True):
        await graph.ainvoke(begin(name), THREAD)
    assert await logged(one) == all_of(*"wxyz")


async def test_runs_on_other_threads_are_no_conflict(saver: Any) -> None:
    graph = graph_on(FaultySaver(saver, after=meeting("ahold", 8)))
    threads: list[RunnableConfig] = [{"configurable": {"thread_id": name}} for name in "stuvwxyz"]
    found = await outcomes(*(graph.ainvoke(begin("x"), thread) for thread in threads))
    assert winners("stuvwxyz", found) == "stuvwxyz"


def test_threads_that_invoke_at_once_mix_nothing_up(saver: Any) -> None:
    graph = graph_on(saver)
    calls = [Background(partial(attempt, graph, name)) for name in "stuvwxyz"]
    won = "".join(name for name in (call.result() for call in calls) if name)
    assert_in_one_piece(graph.get_state(THREAD).values["log"], won)


def attempt(graph: Any, name: str) -> str | None:
    try:
        graph.invoke(begin(name), THREAD)
    except ConcurrentUpdateError:
        return None
    return name


def assert_in_one_piece(log: list[str], won: str) -> None:
    """Each run's lines stand together: all of them if it succeeded, some of the first if it was overtaken."""
    names = list(dict.fromkeys(line[0] for line in log))
    pieces = {name: [line for line in log if line[0] == name] for name in names}
    assert [line for name in names for line in pieces[name]] == log
    assert [name for name in names if pieces[name] == all_of(name)] == [name for name in names if name in won]
    assert all(pieces[name] == all_of(name)[: len(pieces[name])] for name in names)
    assert set(won) <= set(names)


# -- resuming --------------------------------------------------------------------------------------


class Flaky:
    """A graph whose last node fails the first time, and counts its runs."""

    def __init__(self, saver: Any, **options: Any) -> None:
        self.runs = 0
        builder = StateGraph(State).add_sequence([("a", self._a), ("b", self._b)]).add_edge(START, "a")
        self.graph: Any = builder.compile(saver, **options)

    async def _a(self, state: State) -> State:
        return {"log": ["a"]}

    async def _b(self, state: State) -> State:
        self.runs += 1
        if self.runs == 1:
            raise ValueError("the first time")
        await rest()
        return {"log": ["b"]}


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_failed_run_that_two_resume_at_once_goes_on_once(saver: Any, durability: Durability) -> None:
    with pytest.raises(ValueError, match="the first time"):
        await Flaky(saver).graph.ainvoke({}, THREAD, durability=durability)
    again = Flaky(FaultySaver(saver, after=meeting("ahold")))
    again.runs = 1
    found = await outcomes(*(again.graph.ainvoke(None, THREAD, durability=durability) for _ in "xy"))
    assert len(winners("xy", found)) == 1
    assert again.runs == 2
    assert await logged(again.graph) == ["a", "b"]


async def test_a_failed_run_that_two_resume_in_turn_goes_on_once(saver: Any) -> None:
    flaky = Flaky(saver, on_conflict="wait")
    with pytest.raises(ValueError, match="the first time"):
        await flaky.graph.ainvoke({}, THREAD)
    found = await outcomes(*(flaky.graph.ainvoke(None, THREAD) for _ in "xy"))
    assert winners("xy", found) == "xy"
    assert (flaky.runs, await logged(flaky.graph)) == (2, ["a", "b"])


async def test_a_fork_and_a_run_at_the_head_do_not_mix(saver: Any) -> None:
    graph = graph_on(saver)
    await graph.ainvoke(begin("w"), THREAD)
    past = [state.config async for state in graph.aget_state_history(THREAD) if state.next == ("a",)]
    racing = graph_on(FaultySaver(saver, after=meeting("ahold")))
    found = await outcomes(racing.ainvoke(None, past[0]), racing.ainvoke(begin("x"), THREAD))
    winner = winners("fx", found)
    assert await logged(graph) == {"f": all_of("w"), "x": all_of("w", "x")}[winner]


async def test_losing_is_not_tried_again_by_a_retry_policy(saver: Any) -> None:
    attempts: list[str] = []
    overtake: Callable[[], Awaitable[Any]]

    async def a(state: State) -> State:
        attempts.append("a")
        if len(attempts) == 1:
            raise ConnectionError
        await overtake()
        return {"log": ["a"]}

    policy = RetryPolicy(max_attempts=5, initial_interval=0.001)
    builder = StateGraph(State).add_node("a", a, retry_policy=policy).add_edge(START, "a")
    graph = builder.compile(saver)
    overtake = partial(graph_on(saver).aupdate_state, THREAD, {"log": ["update"]}, "b")
    with pytest.raises(ConcurrentUpdateError):
        await graph.ainvoke({}, THREAD, durability="sync")
    assert (attempts, await logged(graph)) == (["a", "a"], ["update"])


# -- updates and streams ---------------------------------------------------------------------------


def update(graph: Any, name: str) -> Awaitable[Any]:
    return graph.aupdate_state(THREAD, {"log": [name]}, "b")  # type: ignore[no-any-return]  # any graph


async def test_of_two_updates_of_one_state_one_is_refused(saver: Any) -> None:
    graph = graph_on(FaultySaver(saver, after=meeting("ahold")))
    won = winners("xy", await outcomes(update(graph, "x"), update(graph, "y")))
    assert await logged(graph) == [won]


async def test_updates_that_queue_are_all_made(saver: Any) -> None:
    graph = graph_on(saver, on_conflict="wait")
    await outcomes(*(update(graph, name) for name in "stuvwxyz"))
    assert await logged(graph) == [*"stuvwxyz"]


async def test_an_update_overtakes_a_run(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate)
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD, durability="sync"))
    await gate.reached.wait()
    await update(graph, "update")
    gate.open.set()
    with pytest.raises(ConcurrentUpdateError):
        await slow
    assert await logged(graph) == ["x begins", "update"]


async def test_an_update_that_queues_waits_for_a_run(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate, on_conflict="wait")
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD))
    await gate.reached.wait()
    updating = asyncio.ensure_future(update(graph, "update"))
    await rest()
    gate.open.set()
    assert winners("xu", await outcomes(slow, updating)) == "xu"
    assert await logged(graph) == [*all_of("x"), "update"]


async def test_clearing_a_thread_ends_the_run_on_it(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate)
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD, durability="sync"))
    await gate.reached.wait()
    await graph.aclear_state(THREAD)
    gate.open.set()
    with pytest.raises(ConcurrentUpdateError):
        await slow
    assert await logged(graph) == []


async def test_clearing_a_thread_can_wait_for_the_run_on_it(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate, on_conflict="wait")
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD))
    await gate.reached.wait()
    clearing = asyncio.create_task(graph.aclear_state(THREAD))
    await rest()
    gate.open.set()
    assert winners("xc", await outcomes(slow, clearing)) == "xc"
    assert (await logged(graph), slow.result()["log"]) == ([], all_of("x"))


async def chunks(graph: Any, name: str, **options: Any) -> list[Any]:
    stream = graph.astream(begin(name), THREAD, stream_mode="updates", **options)
    return [next(iter(chunk)) async for chunk in stream]


async def test_a_stream_that_was_overtaken_ends_in_an_error(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate)
    stream = graph.astream(begin("x"), THREAD, stream_mode="updates", durability="sync")
    first = asyncio.ensure_future(anext(stream))
    await gate.reached.wait()
    await graph.ainvoke(begin("y"), THREAD)
    gate.open.set()
    with pytest.raises(ConcurrentUpdateError):
        await first  # under "sync" nothing is shown that is not stored
    assert await logged(graph) == ["x begins", *all_of("y")]


async def test_streams_that_queue_come_one_after_the_other(saver: Any) -> None:
    graph = graph_on(saver)
    found = await outcomes(*(chunks(graph, name, on_conflict="wait") for name in "xyz"))
    assert found == [["a", "b"]] * 3
    assert await logged(graph) == all_of(*"xyz")


async def test_a_stream_that_is_left_early_lets_the_next_one_begin(saver: Any) -> None:
    graph = graph_on(saver, on_conflict="wait")
    stream = graph.astream(begin("x"), THREAD, stream_mode="updates")
    async for _ in stream:
        break
    await stream.aclose()
    assert await asyncio.wait_for(chunks(graph, "y"), 10) == ["a", "b"]


# -- "wait" ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_runs_that_queue_go_in_the_order_of_arrival(saver: Any, durability: Durability) -> None:
    graph = graph_on(saver, on_conflict="wait")
    names = "klmnopqrstuvwxyz"
    found = await outcomes(*(graph.ainvoke(begin(name), THREAD, durability=durability) for name in names))
    assert winners(names, found) == names
    assert found[-1]["log"] == all_of(*names)


def test_runs_on_loops_and_threads_queue_together(saver: Any) -> None:
    graph = graph_on(saver, on_conflict="wait")
    with live_loop() as one, live_loop() as two:
        calls = [
            Background(partial(there, loop, graph.ainvoke(begin(name), THREAD)))
            for loop, name in ((one, "x"), (two, "y"))
        ]
        calls += [Background(partial(graph.invoke, begin(name), THREAD)) for name in "uvw"]
        for call in calls:
            call.result()
    assert_in_one_piece(graph.get_state(THREAD).values["log"], "uvwxy")


async def test_the_choice_may_differ_from_call_to_call(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate)
    slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD, durability="sync", on_conflict="wait"))
    await gate.reached.wait()
    next_one = asyncio.create_task(graph.ainvoke(begin("y"), THREAD, on_conflict="wait"))
    await rest()
    await graph.ainvoke(begin("z"), THREAD)  # waits for nobody, and overtakes
    gate.open.set()
    assert winners("xy", await outcomes(slow, next_one)) == "y"
    assert (await logged(graph))[-6:] == all_of("z", "y")


async def test_a_run_that_is_cancelled_while_it_waits_leaves_the_queue(saver: Any) -> None:
    gate = Gate("x")
    graph = graph_on(saver, gate, on_conflict="wait")
    runs = [asyncio.create_task(graph.ainvoke(begin(name), THREAD)) for name in "xyz"]
    await gate.reached.wait()
    runs[1].cancel()
    await rest()
    gate.open.set()
    await outcomes(*runs)
    assert runs[1].cancelled()
    assert await logged(graph) == all_of("x", "z")


async def test_a_run_that_fails_lets_the_next_one_begin(saver: Any) -> None:
    flaky = Flaky(saver, on_conflict="wait")
    first, second = await outcomes(flaky.graph.ainvoke({}, THREAD), flaky.graph.ainvoke({}, THREAD))
    assert isinstance(first, ValueError)
    assert second["log"] == ["a", "a", "b"]


def test_a_loop_that_was_closed_amid_a_run_is_in_nobodys_way() -> None:
    graph = graph_on(InMemorySaver(), Gate("x"), on_conflict="wait")
    loop = asyncio.new_event_loop()
    lost = loop.create_task(graph.ainvoke(begin("x"), THREAD))
    loop.run_until_complete(rest())
    loop.close()
    output = asyncio.run(asyncio.wait_for(graph.ainvoke(begin("y"), THREAD), 10))
    assert output["log"][-3:] == all_of("y")
    lost._log_destroy_pending = False  # type: ignore[attr-defined]  # asyncio says so on stderr


async def test_a_run_within_a_run_on_its_thread_is_refused_where_it_would_wait_for_ever() -> None:
    saver = InMemorySaver()
    innermost = graph_on(saver, on_conflict="wait")

    def calling(graph: Any, thread_id: str) -> Any:
        async def a(state: State) -> None:
            await graph.ainvoke(begin("x"), {"configurable": {"thread_id": thread_id}})

        return StateGraph(State).add_node("a", a).add_edge(START, "a").compile(saver, on_conflict="wait")

    outermost = calling(calling(innermost, "1"), "2")
    with pytest.raises(ConcurrentUpdateError, match="for ever"):
        await asyncio.wait_for(outermost.ainvoke({}, THREAD), 10)


@pytest.mark.parametrize("verb", ["update_state", "clear_state"])
@pytest.mark.parametrize("is_sync", [True, False], ids=["sync", "async"])
async def test_a_node_cannot_wait_for_its_own_run(verb: str, is_sync: bool) -> None:
    graph: Any
    arguments = [THREAD] if verb == "clear_state" else [THREAD, {"log": ["update"]}, "a"]

    def a(state: State) -> None:
        getattr(graph, verb)(*arguments)

    async def asynchronous(state: State) -> None:
        await getattr(graph, f"a{verb}")(*arguments)

    builder = StateGraph(State).add_node("a", a if is_sync else asynchronous).add_edge(START, "a")
    graph = builder.compile(InMemorySaver(), on_conflict="wait")
    with pytest.raises(ConcurrentUpdateError, match="for ever"):
        await asyncio.wait_for(graph.ainvoke({}, THREAD), 10)


async def test_two_runs_that_would_wait_for_each_other_for_ever_are_told() -> None:
    saver, both = InMemorySaver(), asyncio.Barrier(2)
    inner = graph_on(saver, on_conflict="wait")

    def calling(thread_id: str) -> Any:
        async def a(state: State) -> None:
            await both.wait()
            await inner.ainvoke(begin("x"), {"configurable": {"thread_id": thread_id}})

        return StateGraph(State).add_node("a", a).add_edge(START, "a").compile(saver, on_conflict="wait")

    other: RunnableConfig = {"configurable": {"thread_id": "2"}}
    found = await outcomes(calling("2").ainvoke({}, THREAD), calling("1").ainvoke({}, other))
    assert len(winners("xy", found)) == 1


def test_waiting_costs_no_loop_its_time() -> None:
    """While some wait, others on the same loop go on."""
    gate, started = Gate("x"), time.monotonic()
    graph = graph_on(InMemorySaver(), gate, on_conflict="wait")

    async def main() -> None:
        slow = asyncio.create_task(graph.ainvoke(begin("x"), THREAD))
        await gate.reached.wait()
        waiting = [asyncio.create_task(graph.ainvoke(begin("y"), THREAD)) for _ in range(100)]
        await rest()
        await graph.ainvoke(begin("z"), {"configurable": {"thread_id": "2"}})
        assert not any(run.done() for run in waiting)
        gate.open.set()
        await asyncio.gather(slow, *waiting)

    asyncio.run(main())
    assert time.monotonic() - started < 30
