"""How a run begins to be kept: its input and what becomes of it at once, stored in one go."""

import asyncio
import operator
from collections.abc import AsyncIterator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import LastValue
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import Commit, Superstep
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import ChannelUpdateError, ConcurrentUpdateError, GraphDrained
from aiograph.graph import START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.runtime import RunControl
from aiograph.testing.faults import FaultySaver, SaverCall, delay_turns, fail_at
from aiograph.types import Command, Durability, RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


@pytest.fixture
async def saver() -> AsyncIterator[FaultySaver]:
    async with AsyncSqliteSaver.from_conn_string(":memory:") as inner:
        yield FaultySaver(inner)


def stored(saver: FaultySaver) -> int:
    """How often something was stored."""
    return sum(call.verb in ("acommit", "arecord") for call in saver.calls)


async def node(state: State) -> dict[str, Any]:
    return {"log": ["node"]}


def builder_of(node: Any = node) -> StateGraph[State]:
    return StateGraph(State).add_node("node", node).add_edge(START, "node")


async def history(graph: Any) -> list[tuple[Any, ...]]:
    """Source, step, values and what comes next, oldest first."""
    found = [state async for state in graph.aget_state_history(THREAD)]
    return [(s.metadata["source"], s.metadata["step"], s.values, s.next) for s in reversed(found)]


WHOLE = [
    ("input", -1, {"log": []}, (START,)),
    ("loop", 0, {"log": ["input"]}, ("node",)),
    ("loop", 1, {"log": ["input", "node"]}, ()),
]


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_the_input_and_the_state_that_has_it_are_stored_in_one_go(
    saver: FaultySaver, durability: Durability
) -> None:
    graph = builder_of().compile(saver)
    await graph.ainvoke({"log": ["input"]}, THREAD, durability=durability)
    assert stored(saver) == 2
    assert await history(graph) == WHOLE


async def test_so_are_those_of_the_next_turn(saver: FaultySaver) -> None:
    graph = builder_of().compile(saver)
    for turn in range(1, 4):
        await graph.ainvoke({"log": ["input"]}, THREAD, durability="sync")
        assert stored(saver) == 2 * turn
    assert [step for _, step, *_ in await history(graph)] == list(range(-1, 8))


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_no_node_runs_before_both_are_stored(saver: FaultySaver, durability: Durability) -> None:
    seen = []

    async def look(state: State) -> None:
        seen.append((stored(saver), saver.in_flight))

    saver.before = [delay_turns(20)]
    await builder_of(look).compile(saver).ainvoke({"log": ["input"]}, THREAD, durability=durability)
    assert seen == [(1, [])]


# -- where something could happen in between -----------------------------------------------------------


async def test_a_router_at_the_start_does_not_run_before_the_input_is_stored(saver: FaultySaver) -> None:
    seen = []

    def route(state: State) -> str:
        seen.append(stored(saver))
        return "node"

    builder = StateGraph(State).add_node("node", node).add_conditional_edges(START, route, ["node"])
    graph = builder.compile(saver)
    await graph.ainvoke({"log": ["input"]}, THREAD, durability="sync")
    assert seen == [1]
    assert stored(saver) == 3
    assert await history(graph) == WHOLE


async def test_what_is_shown_under_sync_is_stored(saver: FaultySaver) -> None:
    graph = builder_of().compile(saver)
    reader: Any = builder_of().compile(saver.inner)
    saver.before = [delay_turns(20)]
    chunks: Any = graph.astream({"log": ["input"]}, THREAD, stream_mode="checkpoints", durability="sync")
    shown = [await reader.aget_state(chunk["config"]) async for chunk in chunks]
    assert [state.metadata["step"] for state in shown] == [-1, 0, 1]
    assert stored(saver) == 3


async def test_a_graph_whose_nodes_take_the_input_themselves_has_it_stored_first(saver: FaultySaver) -> None:
    seen = []

    def take(value: int) -> int:
        seen.append(stored(saver))
        return value + 1

    graph: Any = Pregel(
        nodes={"take": NodeBuilder().subscribe_only("in").do(take).write_to("out")},
        channels={"in": LastValue(int), "out": LastValue(int)},
        input_channels="in",
        output_channels="out",
        checkpointer=saver,
    )
    assert await graph.ainvoke(1, THREAD, durability="sync") == 2
    assert seen == [1]


async def test_a_command_that_goes_somewhere_at_once_is_stored_first(saver: FaultySaver) -> None:
    seen = []

    async def look(state: State) -> None:
        seen.append(stored(saver))

    graph = builder_of(look).compile(saver)
    await graph.ainvoke(Command(goto="node", update={"log": ["input"]}), THREAD, durability="sync")
    assert seen == [1]


# -- savers that are derived from ours ------------------------------------------------------------------


class WithHistory(AsyncSqliteSaver):
    """Notes what is stored."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stored: list[Commit] = []

    async def acommit(self, commit: Commit) -> None:
        self.stored.append(commit)
        await super().acommit(commit)


class History:
    """The same, to be mixed in."""

    stored: list[Commit]

    async def acommit(self, commit: Commit) -> None:
        self.stored.append(commit)
        await super().acommit(commit)  # type: ignore[misc]  # the saver's that it is mixed into


class WithHistoryMixedIn(History, AsyncSqliteSaver):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.stored = []


class WithoutHolds(AsyncSqliteSaver):
    """Lets several runs write to one thread as they like."""

    def encode_commit(self, superstep: Superstep, writes: Any, hold: Hold | None = None) -> Commit:
        return super().encode_commit(superstep, writes)


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("kind", [WithHistory, WithHistoryMixedIn])
async def test_one_that_stores_in_its_own_way_is_given_one_checkpoint_at_a_time(
    kind: type[WithHistory | WithHistoryMixedIn], durability: Durability
) -> None:
    async with kind(":memory:") as saver:
        graph = builder_of().compile(saver)
        await graph.ainvoke({"log": ["input"]}, THREAD, durability=durability)
        assert [commit.ahead for commit in saver.stored] == [None, None, None]
        assert await history(graph) == WHOLE


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_one_that_knows_no_holds_stores_all_there_is(durability: Durability) -> None:
    async with WithoutHolds(":memory:") as saver:
        graph = builder_of().compile(saver)
        await graph.ainvoke({"log": ["input"]}, THREAD, durability=durability)
        assert await history(graph) == WHOLE


# -- mishaps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_if_they_cannot_be_stored_the_run_fails_and_nothing_is_there(
    saver: FaultySaver, durability: Durability
) -> None:
    saver.before = [fail_at(1, ConnectionResetError, verb="acommit")]
    graph = builder_of().compile(saver)
    with pytest.raises(ConnectionResetError):
        await graph.ainvoke({"log": ["input"]}, THREAD, durability=durability)
    assert await history(graph) == []
    await graph.ainvoke({"log": ["input"]}, THREAD, durability=durability)
    assert await history(graph) == WHOLE


async def test_under_sync_no_node_runs_for_somebody_who_was_overtaken(saver: FaultySaver) -> None:
    ran = []

    async def count(state: State) -> None:
        ran.append(1)

    async def overtake(call: SaverCall) -> None:
        if call.verb == "acommit" and not others:
            others.append(await builder_of().compile(saver.inner).ainvoke({"log": ["other"]}, THREAD))

    others: list[Any] = []
    saver.before = [overtake]
    with pytest.raises(ConcurrentUpdateError):
        await builder_of(count).compile(saver).ainvoke({"log": ["input"]}, THREAD, durability="sync")
    assert not ran
    assert (await builder_of().compile(saver).aget_state(THREAD)).values == {"log": ["other", "node"]}


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_an_input_that_the_state_does_not_take_is_kept(
    saver: FaultySaver, durability: Durability
) -> None:
    def refuse(old: list[str], new: list[str]) -> list[str]:
        if new == ["bad"]:
            raise ValueError("not that")
        return old + new

    class Picky(TypedDict, total=False):
        log: Annotated[list[str], refuse]

    async def pick(state: Picky) -> dict[str, Any]:
        return {}

    graph = StateGraph(Picky).add_node("node", pick).add_edge(START, "node").compile(saver)
    with pytest.raises(ChannelUpdateError, match="not that"):
        await graph.ainvoke({"log": ["bad"]}, THREAD, durability=durability)
    assert await history(graph) == [("input", -1, {"log": []}, (START,))]


async def test_a_run_that_is_asked_to_stop_at_once_has_its_input_kept(saver: FaultySaver) -> None:
    control = RunControl()
    control.request_drain()
    graph = builder_of().compile(saver)
    with pytest.raises(GraphDrained):
        await graph.ainvoke({"log": ["input"]}, THREAD, durability="sync", control=control)
    assert [source for source, *_ in await history(graph)] == ["input"]
    await graph.ainvoke(None, THREAD, durability="sync")
    assert await history(graph) == WHOLE


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("after", range(12))
async def test_however_early_a_run_is_cancelled_its_thread_goes_on(
    saver: FaultySaver, durability: Durability, after: int
) -> None:
    saver.before = [delay_turns(3)]
    graph = builder_of().compile(saver)
    run = asyncio.create_task(graph.ainvoke({"log": ["input"]}, THREAD, durability=durability))
    for _ in range(after):
        await asyncio.sleep(0)
    run.cancel()
    await asyncio.wait([run])
    found = await history(graph)
    assert found == WHOLE[: len(found)]
    assert len(found) != 1, "the input came without what becomes of it"
    if found:
        await graph.ainvoke(None, THREAD)
        assert await history(graph) == WHOLE
