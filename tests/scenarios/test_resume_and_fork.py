"""Going on with a thread: after a break, with new input, from an older checkpoint."""

import operator
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CheckpointQueryError, EmptyInputError
from aiograph.graph import START, StateGraph
from aiograph.types import Durability, RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
NOWHERE: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_id": "nowhere"}}


class State(TypedDict, total=False):
    n: int
    log: Annotated[list[str], operator.add]


class Chain:
    """Four nodes, one after the other; counts their runs, and `c` fails as often as it is told."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.ran: list[str] = []
        nodes: Any = [(name, self.node(name)) for name in "abcd"]
        self.saver = InMemorySaver()
        self.graph = StateGraph(State).add_sequence(nodes).add_edge(START, "a").compile(self.saver)

    def node(self, name: str) -> Any:
        async def node(state: State) -> dict[str, Any]:
            self.ran.append(name)
            if name == "c" and self.failures:
                self.failures -= 1
                raise OSError("broken")
            return {"log": [name]}

        return node

    async def break_off(self, durability: Durability = "async") -> None:
        with pytest.raises(OSError, match="broken"):
            await self.graph.ainvoke({"n": 1}, THREAD, durability=durability)
        self.ran.clear()

    async def at_step(self, step: int) -> RunnableConfig:
        """The oldest checkpoint of a step."""
        states = [state async for state in self.graph.aget_state_history(THREAD, filter={"step": step})]
        return states[-1].config


# -- after a break -------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_none_as_input_goes_on_where_the_thread_stands(durability: Durability) -> None:
    chain = Chain(failures=1)
    await chain.break_off(durability)
    assert (await chain.graph.aget_state(THREAD)).next == ("c",)
    assert await chain.graph.ainvoke(None, THREAD) == {"n": 1, "log": [*"abcd"]}
    assert chain.ran == ["c", "d"]


async def test_a_break_may_happen_again() -> None:
    chain = Chain(failures=3)
    await chain.break_off()
    for _ in range(2):
        with pytest.raises(OSError, match="broken"):
            await chain.graph.ainvoke(None, THREAD)
    assert (await chain.graph.ainvoke(None, THREAD))["log"] == [*"abcd"]


async def test_another_graph_object_with_the_same_saver_goes_on() -> None:
    chain, later = Chain(failures=1), Chain()
    await chain.break_off()
    assert (await later.graph.with_checkpointer(chain.saver).ainvoke(None, THREAD))["log"] == [*"abcd"]
    assert later.ran == ["c", "d"]


async def test_new_input_on_a_broken_thread_drops_what_was_left_and_starts_anew() -> None:
    chain = Chain(failures=1)
    await chain.break_off()
    assert await chain.graph.ainvoke({"n": 2}, THREAD) == {"n": 2, "log": [*"ab", *"abcd"]}
    assert chain.ran == [*"abcd"]


async def test_new_input_on_a_finished_thread_starts_anew_with_the_state_that_is_there() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    assert await chain.graph.ainvoke({"log": ["again"]}, THREAD) == {
        "n": 1,
        "log": [*"abcd", "again", *"abcd"],
    }


async def test_steps_and_parents_go_on_over_runs() -> None:
    chain = Chain()
    await chain.graph.ainvoke({}, THREAD)
    await chain.graph.ainvoke({}, THREAD)
    states = [state async for state in chain.graph.aget_state_history(THREAD)]
    assert [state.metadata and state.metadata["step"] for state in states] == [*range(10, -2, -1)]
    assert [state.parent_config for state in states[:-1]] == [state.config for state in states[1:]]


async def test_an_empty_input_is_an_input() -> None:
    chain = Chain()
    assert await chain.graph.ainvoke({}, THREAD) == {"log": [*"abcd"]}


async def test_a_finished_thread_returns_its_state_and_runs_nothing() -> None:
    chain = Chain()
    end = await chain.graph.ainvoke({"n": 1}, THREAD)
    chain.ran.clear()
    assert await chain.graph.ainvoke(None, THREAD) == end
    assert chain.ran == []


@pytest.mark.parametrize("checkpointer", [True, False])
async def test_nothing_to_go_on_with_is_refused(checkpointer: bool) -> None:
    graph = Chain().graph if checkpointer else Chain().graph.with_checkpointer(None)
    with pytest.raises(
        EmptyInputError, match="got None as input, which resumes a thread, but there is no checkpoint"
    ):
        await graph.ainvoke(None, THREAD)


def test_a_synchronous_run_is_resumed_alike() -> None:
    chain = Chain(failures=1)
    with pytest.raises(OSError, match="broken"):
        chain.graph.invoke({"n": 1}, THREAD)
    assert chain.graph.invoke(None, THREAD) == {"n": 1, "log": [*"abcd"]}
    assert chain.ran == [*"abccd"]


# -- from an older checkpoint --------------------------------------------------------------------------


async def test_a_replay_runs_again_what_came_after_the_checkpoint() -> None:
    chain = Chain()
    first = await chain.graph.ainvoke({"n": 1}, THREAD)
    chain.ran.clear()
    assert await chain.graph.ainvoke(None, await chain.at_step(2)) == first
    assert chain.ran == ["c", "d"]


async def test_a_replay_is_the_new_head_of_the_thread_and_history_keeps_both_lines() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    old_head = await chain.graph.aget_state(THREAD)
    fork_from = await chain.at_step(2)
    await chain.graph.ainvoke(None, fork_from)
    head = await chain.graph.aget_state(THREAD)
    assert head.values == old_head.values
    assert head.config != old_head.config
    states = [state async for state in chain.graph.aget_state_history(THREAD)]
    assert sum(state.parent_config == fork_from for state in states) == 2


async def test_new_input_on_an_older_checkpoint_forks_the_thread() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    fork = await chain.at_step(1)
    assert await chain.graph.ainvoke({"n": 5}, fork) == {"n": 5, "log": ["a", *"abcd"]}
    assert (await chain.graph.aget_state(THREAD)).values["n"] == 5


async def test_an_update_of_an_older_checkpoint_is_gone_on_with() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    fork = await chain.graph.aupdate_state(await chain.at_step(2), {"n": 7})
    assert await chain.graph.ainvoke(None, fork) == {"n": 7, "log": [*"abcd"]}


async def test_a_replay_from_the_input_runs_everything_again() -> None:
    chain = Chain()
    first = await chain.graph.ainvoke({"n": 1}, THREAD)
    assert await chain.graph.ainvoke(None, await chain.at_step(-1)) == first
    assert chain.ran == [*"abcdabcd"]


async def test_going_on_at_the_head_by_its_id_repeats_nothing() -> None:
    chain = Chain(failures=1)
    await chain.break_off()
    head = (await chain.graph.aget_state(THREAD)).config
    assert (await chain.graph.ainvoke(None, head))["log"] == [*"abcd"]
    assert chain.ran == ["c", "d"]


async def test_a_checkpoint_that_does_not_exist_cannot_be_gone_on_with() -> None:
    chain = Chain()
    await chain.graph.ainvoke({}, THREAD)
    with pytest.raises(EmptyInputError):
        await chain.graph.ainvoke(None, NOWHERE)


CHANGES: dict[str, Callable[[Any], Awaitable[object]]] = {
    "run": lambda graph: graph.ainvoke({"n": 2}, NOWHERE),
    "stream": lambda graph: anext(graph.astream({"n": 2}, NOWHERE)),
    "update": lambda graph: graph.aupdate_state(NOWHERE, {"n": 2}, as_node="a"),
    "clear": lambda graph: graph.aclear_state(NOWHERE),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_nothing_starts_anew_in_place_of_a_checkpoint_that_does_not_exist(
    change: Callable[[Any], Awaitable[object]],
) -> None:
    """It may have been removed: the thread would be empty, without a word."""
    chain = Chain()
    before = await chain.graph.ainvoke({"n": 1}, THREAD)
    with pytest.raises(CheckpointQueryError, match=r"^thread '1' has no checkpoint 'nowhere'"):
        await change(chain.graph)
    assert (await chain.graph.aget_state(THREAD)).values == before


async def test_a_checkpoint_that_was_removed_is_no_start() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    past = await chain.at_step(2)
    await chain.saver.aprune(["1"])
    with pytest.raises(CheckpointQueryError, match="may have been removed"):
        await chain.graph.ainvoke({"n": 2}, past)


async def test_a_replay_starts_with_a_copy_of_the_checkpoint() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    past = await chain.graph.aget_state(await chain.at_step(2))
    await chain.graph.ainvoke(None, past.config)
    (fork,) = [state async for state in chain.graph.aget_state_history(THREAD, filter={"source": "fork"})]
    assert (fork.values, fork.next, fork.parent_config) == (past.values, past.next, past.config)
    assert fork.metadata is not None
    assert past.metadata is not None
    assert fork.metadata["step"] == past.metadata["step"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_replay_leaves_what_was_as_it_was(durability: Durability) -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    before = [state async for state in chain.graph.aget_state_history(THREAD)]
    await chain.graph.ainvoke(None, await chain.at_step(1), durability=durability)
    after = [state async for state in chain.graph.aget_state_history(THREAD)]
    assert after[-len(before) :] == before


async def test_tasks_of_replays_have_ids_of_their_own() -> None:
    chain = Chain()
    ids: list[str] = []
    await chain.graph.ainvoke({"n": 1}, THREAD)
    for _ in range(2):
        chunks = chain.graph.astream(None, await chain.at_step(2), stream_mode="tasks")
        ids += [chunk["id"] async for chunk in chunks if "input" in chunk]
    assert len(set(ids)) == 4


async def test_going_back_to_where_nothing_is_left_to_do_makes_that_the_head() -> None:
    chain = Chain()
    first = await chain.graph.ainvoke({"n": 1}, THREAD)
    end = (await chain.graph.aget_state(THREAD)).config
    await chain.graph.ainvoke({"n": 2}, THREAD)
    chain.ran.clear()
    assert await chain.graph.ainvoke(None, end) == first
    assert chain.ran == []
    assert (await chain.graph.aget_state(THREAD)).values == first


async def test_a_graph_inside_a_node_starts_anew_in_a_replay() -> None:
    inner = Chain()
    builder: Any = StateGraph(State).add_node("inner", inner.graph.with_checkpointer(None))
    graph = builder.add_edge(START, "inner").compile(InMemorySaver())
    first = await graph.ainvoke({"n": 1}, THREAD)
    past = [state async for state in graph.aget_state_history(THREAD)][1].config
    assert await graph.ainvoke(None, past) == first
    assert inner.ran == [*"abcdabcd"]


async def test_a_replay_that_breaks_is_gone_on_with_where_it_broke() -> None:
    chain = Chain()
    first = await chain.graph.ainvoke({"n": 1}, THREAD)
    chain.failures = 1
    with pytest.raises(OSError, match="broken"):
        await chain.graph.ainvoke(None, await chain.at_step(1))
    chain.ran.clear()
    assert await chain.graph.ainvoke(None, THREAD) == first
    assert chain.ran == ["c", "d"]


async def test_those_who_listen_see_the_copy_first() -> None:
    chain = Chain()
    await chain.graph.ainvoke({"n": 1}, THREAD)
    past = await chain.at_step(2)
    chunks = chain.graph.astream(None, past, stream_mode="checkpoints")
    seen = [(chunk["metadata"]["source"], chunk["parent_config"] == past) async for chunk in chunks]
    assert seen == [("fork", True), ("loop", False), ("loop", False)]
