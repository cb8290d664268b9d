"""`durability`: what is stored when, what is shown before it is stored, and what a late failure costs."""

import asyncio
import operator
from collections.abc import Mapping
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointQueryError
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, SaverCall
from aiograph.types import Command, Durability, RunnableConfig, interrupt
from aiograph.warnings import CheckpointWarning
from tests.faults.rig import BeginningSaver

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Gate:
    """Lets a saver store as many things as it is allowed to; tells what was asked for, and what is stored."""

    def __init__(self, allowed: int = 0, inner: BaseCheckpointSaver | None = None) -> None:
        self._allowed = asyncio.Semaphore(allowed)
        self.asked: list[str] = []
        self.stored: list[str] = []
        self.saver = FaultySaver(inner or InMemorySaver(), before=self._before, after=self._after)

    async def _before(self, call: SaverCall) -> None:
        if call.verb in ("acommit", "arecord"):
            self.asked.append(call.verb)
            await self._allowed.acquire()

    async def _after(self, call: SaverCall) -> None:
        if call.verb in ("acommit", "arecord"):
            self.stored.append(call.verb)

    def allow(self, number: int = 100) -> None:
        for _ in range(number):
            self._allowed.release()


class Chain:
    """Three nodes, one after the other, and which of them have run."""

    def __init__(self, saver: BaseCheckpointSaver | None = None) -> None:
        self.ran: list[str] = []
        nodes: Any = [(name, self.node(name)) for name in "abc"]
        self.graph = StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(saver)

    def node(self, name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            self.ran.append(name)
            return {"log": [name]}

        return node


async def turns(number: int = 50) -> None:
    for _ in range(number):
        await asyncio.sleep(0)


async def steps_of(graph: Any) -> list[int]:
    return [state.metadata["step"] async for state in graph.aget_state_history(THREAD)]


# -- what is stored ------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_each_superstep_leaves_a_checkpoint(durability: Durability) -> None:
    graph = Chain(InMemorySaver()).graph
    await graph.ainvoke({}, THREAD, durability=durability)
    assert await steps_of(graph) == [3, 2, 1, 0, -1]


async def test_exit_leaves_one_checkpoint_whose_parent_is_the_one_of_the_run_before() -> None:
    graph = Chain(InMemorySaver()).graph
    await graph.ainvoke({}, THREAD, durability="exit")
    assert await steps_of(graph) == [3]
    first = await graph.aget_state(THREAD)
    await graph.ainvoke({}, THREAD, durability="exit")
    second = await graph.aget_state(THREAD)
    assert (first.parent_config, second.parent_config) == (None, first.config)
    assert second.values["log"] == list("abcabc")


async def test_the_default_of_the_graph_counts_unless_the_call_says_otherwise() -> None:
    graph = Chain().graph
    builder = StateGraph(State).add_node("a", lambda state: None).add_edge(START, "a")
    graph = builder.compile(InMemorySaver(), durability="exit")
    await graph.ainvoke({}, THREAD)
    assert len(await steps_of(graph)) == 1
    await graph.ainvoke({}, THREAD, durability="sync")
    assert len(await steps_of(graph)) == 4


class Grown(TypedDict, total=False):
    log: Annotated[list[str], operator.iadd]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_what_ran_beside_a_question_is_stored_once_though_its_reducer_changes_the_old_value(
    durability: Durability,
) -> None:
    """The run shows the state with what its siblings wrote; the checkpoint it stops at is without that."""
    builder = StateGraph(Grown).add_node("first", lambda state: {"log": ["first"]})
    builder.add_node("sibling", lambda state: {"log": ["sibling"]})
    builder.add_node("waiting", lambda state: {"log": [interrupt("?")]})
    builder.add_edge(START, "first").add_edge("first", "sibling").add_edge("first", "waiting")
    graph = builder.compile(InMemorySaver(), durability=durability)
    stopped = await graph.ainvoke({"log": ["input"]}, THREAD)
    assert stopped["log"] == ["input", "first", "sibling"]
    assert (await graph.aget_state(THREAD)).values == {"log": stopped["log"]}
    assert await graph.ainvoke(Command(resume="answer"), THREAD) == {"log": [*stopped["log"], "answer"]}


# -- when ----------------------------------------------------------------------------------------------


async def test_sync_waits_for_each_checkpoint_before_the_next_superstep() -> None:
    gate = Gate()
    chain = Chain(gate.saver)
    run = asyncio.create_task(chain.graph.ainvoke({}, THREAD, durability="sync"))
    for allowed, ran in enumerate(["", "", "a", "ab", "abc"]):
        await turns()
        assert ("".join(chain.ran), len(gate.asked), len(gate.stored)) == (ran, allowed + 1, allowed)
        gate.allow(1)
    await run


async def test_async_runs_one_superstep_ahead_of_what_is_stored() -> None:
    gate = Gate()
    chain = Chain(gate.saver)
    run = asyncio.create_task(chain.graph.ainvoke({}, THREAD, durability="async"))
    for allowed, ran in enumerate(["", "a", "ab", "abc", "abc"]):
        await turns()
        assert ("".join(chain.ran), len(gate.asked), len(gate.stored)) == (ran, allowed + 1, allowed)
        gate.allow(1)
    await run


async def test_async_runs_no_further_ahead_of_a_saver_that_is_given_two_supersteps_at_once() -> None:
    gate = Gate(inner=BeginningSaver())
    chain = Chain(gate.saver)
    run = asyncio.create_task(chain.graph.ainvoke({}, THREAD, durability="async"))
    found = []
    for allowed in range(5):
        await turns()
        found.append(("".join(chain.ran), len(gate.asked) - allowed, len(gate.stored) - allowed))
        gate.allow(1)
    await run
    assert found == [("", 2, 0), ("a", 2, 0), ("ab", 2, 0), ("abc", 2, 0), ("abc", 1, 0)]


async def test_exit_stores_nothing_before_the_end() -> None:
    gate = Gate()
    chain = Chain(gate.saver)
    run = asyncio.create_task(chain.graph.ainvoke({}, THREAD, durability="exit"))
    await turns()
    assert (chain.ran, gate.asked, run.done()) == (["a", "b", "c"], ["acommit"], False)
    gate.allow()
    await run


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_when_the_run_returns_everything_is_stored(durability: Durability) -> None:
    gate = Gate(allowed=100)
    graph = Chain(gate.saver).graph
    await graph.ainvoke({}, THREAD, durability=durability)
    assert gate.stored == gate.asked
    assert (await graph.aget_state(THREAD)).values["log"] == ["a", "b", "c"]


# -- what is shown -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["values", "updates", "tasks", "checkpoints"])
async def test_under_sync_what_a_superstep_did_is_shown_once_it_is_stored(mode: Any) -> None:
    gate = Gate(allowed=2)  # the input, and the superstep that takes it in
    shown: list[Any] = []

    async def consume() -> None:
        async for chunk in Chain(gate.saver).graph.astream({}, THREAD, stream_mode=mode, durability="sync"):
            shown.append(chunk)  # noqa: PERF401  # each as it arrives

    consumer = asyncio.create_task(consume())
    await turns()
    assert len(gate.asked) == 3
    assert "'log': ['a']" not in str(shown)
    gate.allow(1)
    await turns()
    assert "'log': ['a']" in str(shown)
    gate.allow()
    await consumer


async def test_under_sync_the_update_of_a_parallel_task_waits_for_its_writes() -> None:
    gate, release = Gate(allowed=100), asyncio.Event()

    async def slow(state: State) -> None:
        await release.wait()

    builder = (
        StateGraph(State).add_node(slow).add_node("quick", lambda state: {"log": ["quick"]}, inline=True)
    )
    graph = builder.add_edge(START, "slow").add_edge(START, "quick").compile(gate.saver)
    async for chunk in graph.astream({}, THREAD, durability="sync"):
        if "quick" in chunk:
            assert gate.stored == ["acommit", "acommit", "arecord"]
            release.set()
    assert release.is_set()


async def test_under_async_an_update_is_shown_before_it_is_stored() -> None:
    gate = Gate(allowed=2)  # the input, and the superstep that takes it in
    async for chunk in Chain(gate.saver).graph.astream({}, THREAD, durability="async"):
        if "a" in chunk:
            assert len(gate.stored) == 2
            gate.allow()
    assert len(gate.stored) == 5


# -- what is refused -----------------------------------------------------------------------------------


async def test_durability_without_a_checkpointer_warns() -> None:
    with pytest.warns(CheckpointWarning, match="durability='sync' has no effect: graph 'StateGraph' has no"):
        await Chain().graph.ainvoke({}, durability="sync")


async def test_a_durability_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no durability 'never'; there are 'sync', 'async', 'exit'"):
        await Chain(InMemorySaver()).graph.ainvoke({}, THREAD, durability="never")  # type: ignore[arg-type]


@pytest.mark.parametrize("config", [None, {}, {"configurable": {}}, {"configurable": {"thread": "1"}}])
async def test_a_missing_thread_id_is_refused_with_what_to_pass(config: Any) -> None:
    graph = Chain(InMemorySaver()).graph
    message = r"the config names no thread: pass \{'configurable': \{'thread_id': '...'\}\}"
    with pytest.raises(CheckpointQueryError, match=message) as caught:
        await graph.ainvoke({}, config)
    assert "compiled with a checkpointer, so every run belongs to a thread" in caught.value.__notes__[0]
    with pytest.raises(CheckpointQueryError, match=message):
        await graph.aget_state(config or RunnableConfig())


async def test_a_thread_id_may_be_a_number() -> None:
    graph = Chain(InMemorySaver()).graph
    await graph.ainvoke({}, {"configurable": {"thread_id": 1}})
    assert (await graph.aget_state(THREAD)).values["log"] == ["a", "b", "c"]


# -- a saver that fails --------------------------------------------------------------------------------


def fail_from(number: int) -> Any:
    async def fail(call: SaverCall) -> None:
        if call.verb == "acommit" and call.of_verb >= number:
            raise OSError("disk full")

    return fail


@pytest.mark.parametrize("number", range(1, 6))
@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_saver_that_fails_ends_the_run_and_what_was_stored_before_is_whole(
    durability: Durability, number: int
) -> None:
    saver = FaultySaver(InMemorySaver(), before=fail_from(number))
    chain = Chain(saver)
    with pytest.raises(OSError, match="disk full"):
        await chain.graph.ainvoke({}, THREAD, durability=durability)
    saver.before.clear()
    assert await steps_of(chain.graph) == [*range(number - 3, -2, -1)]
    if number > 1:
        assert (await chain.graph.ainvoke(None, THREAD))["log"] == ["a", "b", "c"]


async def test_under_sync_no_node_runs_when_the_input_cannot_be_stored() -> None:
    chain = Chain(FaultySaver(InMemorySaver(), before=fail_from(1)))
    with pytest.raises(OSError, match="disk full"):
        await chain.graph.ainvoke({}, THREAD, durability="sync")
    assert chain.ran == []


def test_metadata_of_the_config_is_stored_with_each_checkpoint() -> None:
    graph = Chain(InMemorySaver()).graph
    config: RunnableConfig = {
        "configurable": {"thread_id": "1", "user": "ada", "__own": 1, "deep": {"no": 1}},
        "metadata": {"cause": "test"},
    }
    graph.invoke({}, config)
    for state in graph.get_state_history(THREAD):
        found: Mapping[str, Any] = state.metadata or {}
        assert {key: found[key] for key in found if key not in ("source", "step", "parents")} == {
            "user": "ada",
            "cause": "test",
        }
