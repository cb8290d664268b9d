"""Graphs inside nodes that remember from call to call: `compile(checkpointer=True)`."""

import asyncio
import operator
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import CheckpointError, CheckpointQueryError, MultipleSubgraphsError
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, fail_at
from aiograph.types import Command, Durability, RetryPolicy, RunnableConfig, Send, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
CHILD: RunnableConfig = {"configurable": {"thread_id": "1", "checkpoint_ns": "node"}}

DURABILITIES = pytest.mark.parametrize("durability", ["sync", "async", "exit"])


class State(TypedDict, total=False):
    said: str
    heard: int


class Memory(TypedDict, total=False):
    said: str
    heard: int
    all: Annotated[list[str], operator.add]


class Child:
    """A graph that remembers all it is told, and counts it; asks or fails when it is told to."""

    def __init__(self, **options: Any) -> None:
        self.broken = False
        self.runs = 0

        async def listen(state: Memory) -> Memory:
            self.runs += 1
            return {"all": [state["said"]]}

        async def count(state: Memory) -> Memory:
            if state["said"] == "ask?":
                return {"all": [interrupt("well?")], "heard": len(state["all"])}
            if self.broken:
                raise OSError("broken")
            return {"heard": len(state["all"])}

        builder = StateGraph(Memory).add_sequence([listen, count]).add_edge(START, "listen")
        self.graph = builder.compile(**{"checkpointer": True, **options})


def around(node: Any, saver: Any = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    return builder.compile(**{"checkpointer": saver or InMemorySaver(), **options})


def calling(child: Any) -> Any:
    async def call(state: State) -> State:
        return {"heard": (await child.ainvoke({"said": state["said"]}))["heard"]}

    return call


def calling_sync(child: Any) -> Any:
    def call(state: State) -> State:
        return {"heard": child.invoke({"said": state["said"]})["heard"]}

    return call


WAYS = pytest.mark.parametrize(
    "way",
    [lambda child: child, calling, calling_sync],
    ids=["as a node", "called", "called synchronously"],
)


async def namespaces(saver: Any) -> set[str]:
    return {each.config["configurable"]["checkpoint_ns"] async for each in saver.alist(THREAD)}


async def heard(graph: Any, *said: Any, config: RunnableConfig = THREAD, **options: Any) -> list[int]:
    """What the child has counted after each input."""
    inputs = [{"said": each} if isinstance(each, str) else each for each in said]
    return [(await graph.ainvoke(each, config, **options))["heard"] for each in inputs]


@WAYS
@DURABILITIES
async def test_a_child_remembers_the_calls_before(way: Any, durability: Durability) -> None:
    graph = around(way(Child().graph))
    assert await heard(graph, "a", "b", "c", durability=durability) == [1, 2, 3]


@WAYS
def test_it_remembers_in_synchronous_runs_and_other_processes(way: Any, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        with SqliteSaver(tmp_path / "threads.db") as saver:
            assert around(way(Child().graph), saver).invoke({"said": "a"}, THREAD)["heard"] == number


async def test_threads_have_memories_of_their_own() -> None:
    graph = around(Child().graph)
    await heard(graph, "a", "b")
    assert await heard(graph, "a", config={"configurable": {"thread_id": "2"}}) == [1]


async def test_it_has_one_namespace_without_task_ids() -> None:
    saver = InMemorySaver()
    await heard(around(Child().graph, saver), "a", "b")
    assert await namespaces(saver) == {"", "node"}


async def test_further_calls_in_one_node_have_memories_of_their_own() -> None:
    child = Child()

    async def call(state: State) -> State:
        counts = [(await child.graph.ainvoke({"said": each}))["heard"] for each in "xyz"]
        both = await asyncio.gather(*(child.graph.ainvoke({"said": each}) for each in "pq"))
        assert counts == [each["heard"] for each in (*both, both[0])]
        return {"heard": counts[0]}

    assert await heard(around(call), "a", "b") == [1, 2]


async def test_several_supersteps_of_one_run_share_the_memory() -> None:
    child = Child()
    builder: Any = StateGraph(State).add_node("node", child.graph).add_edge(START, "node")
    builder.add_conditional_edges("node", lambda state: "node" if state["heard"] < 5 else "__end__")
    assert await heard(builder.compile(InMemorySaver()), "a") == [5]
    assert child.runs == 5


async def test_below_a_child_that_starts_afresh_one_remembers() -> None:
    middle: Any = StateGraph(State).add_node("m", Child().graph).add_edge(START, "m").compile()
    saver = InMemorySaver()
    assert await heard(around(calling(middle), saver), "a", "b", "c") == [1, 2, 3]
    assert "node|m" in await namespaces(saver)


async def test_below_a_child_that_remembers_one_starts_afresh() -> None:
    middle: Any = StateGraph(State).add_node("m", Child(checkpointer=None).graph).add_edge(START, "m")
    assert await heard(around(middle.compile(checkpointer=True)), "a", "b") == [1, 1]


async def test_without_any_saver_nothing_is_remembered() -> None:
    graph = around(Child().graph, checkpointer=None)
    assert await heard(graph, "a", "b", config={}) == [1, 1]


# -- broken off ----------------------------------------------------------------------------------------


@WAYS
@DURABILITIES
async def test_a_broken_call_goes_on_where_it_was(way: Any, durability: Durability) -> None:
    child = Child()
    graph = around(way(child.graph))
    await heard(graph, "a", durability=durability)
    child.broken = True
    with pytest.raises(OSError, match="broken"):
        await heard(graph, "b", durability=durability)
    child.broken = False
    assert await heard(graph, None, "c", durability=durability) == [2, 3]
    assert child.runs == 3


@WAYS
async def test_a_broken_call_that_is_dropped_is_forgotten(way: Any) -> None:
    child = Child()
    graph = around(way(child.graph))
    await heard(graph, "a")
    child.broken = True
    with pytest.raises(OSError, match="broken"):
        await heard(graph, "b")
    child.broken = False
    assert await heard(graph, "c") == [2]
    assert (await graph.ainvoke({"said": "d"}, THREAD))["heard"] == 3


async def test_a_call_that_has_ended_is_not_repeated_when_its_node_fails_later() -> None:
    child, failures = Child(), [OSError("late")]

    async def call(state: State) -> State:
        count = (await child.graph.ainvoke({"said": "x"}))["heard"]
        if failures:
            raise failures.pop()
        return {"heard": count}

    graph = around(call)
    with pytest.raises(OSError, match="late"):
        await heard(graph, "a")
    assert await heard(graph, None, "b") == [1, 2]


async def test_what_it_has_learnt_is_kept_when_a_sibling_fails() -> None:
    child, failures = Child(), [OSError("sibling")]

    async def sibling(state: State) -> None:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop()

    builder: Any = StateGraph(State).add_node("node", child.graph).add_node(sibling)
    builder.add_edge(START, "node").add_edge(START, "sibling")
    graph = builder.compile(InMemorySaver(), on_error="finish")
    with pytest.raises(OSError, match="sibling"):
        await heard(graph, "a")
    assert await heard(graph, None, "b") == [1, 2]
    assert child.runs == 2


async def test_a_node_that_carries_on_after_its_child_failed_finds_it_where_it_was() -> None:
    child = Child()

    async def call(state: State) -> State:
        try:
            return {"heard": (await child.graph.ainvoke({"said": state["said"]}))["heard"]}
        except OSError:
            return {"heard": -1}

    graph = around(call)
    child.broken = True
    assert await heard(graph, "a") == [-1]
    child.broken = False
    assert await heard(graph, "b") == [2]


@pytest.mark.parametrize("fails", [False, True])
async def test_a_node_may_call_it_and_hand_over_to_the_graph_around(fails: bool) -> None:
    child, failures = Child(), [OSError("sibling")] if fails else []

    async def hand_over(state: State) -> Command[str]:
        count = (await child.graph.ainvoke({"said": state["said"]}))["heard"]
        return Command(graph=Command.PARENT, update={"heard": count})

    async def sibling(state: State) -> None:
        if failures:
            raise failures.pop()

    builder: Any = StateGraph(State).add_node("m", hand_over).add_node(sibling)
    middle = builder.add_edge(START, "m").add_edge(START, "sibling").compile(on_error="finish")
    graph = around(middle)
    if fails:
        with pytest.raises(OSError, match="sibling"):
            await heard(graph, "a")
    assert await heard(graph, None if fails else "a", "b") == [1, 2]


# -- questions -----------------------------------------------------------------------------------------


@WAYS
@DURABILITIES
async def test_it_asks_and_remembers_the_answer(way: Any, durability: Durability) -> None:
    child = Child()
    graph = around(way(child.graph))
    await heard(graph, "a", durability=durability)
    output = await graph.ainvoke({"said": "ask?"}, THREAD, durability=durability)
    assert [each.value for each in output["__interrupt__"]] == ["well?"]
    assert await heard(graph, Command(resume="yes"), "b", durability=durability) == [2, 4]
    assert child.runs == 3


async def test_a_question_that_is_dropped_is_forgotten() -> None:
    graph = around(Child().graph)
    await graph.ainvoke({"said": "ask?"}, THREAD)
    assert await heard(graph, "a") == [1]


# -- time travel ---------------------------------------------------------------------------------------


async def memory(graph: Any) -> list[str]:
    """All that the child remembers."""
    child = Child(checkpointer=graph.checkpointer).graph
    return (await child.aget_state(CHILD)).values["all"]  # type: ignore[no-any-return]


async def pasts(graph: Any) -> list[RunnableConfig]:
    """The checkpoints at which the child was about to be called, newest first."""
    return [each.config async for each in graph.aget_state_history(THREAD) if each.next == ("node",)]


@WAYS
@DURABILITIES
async def test_a_replay_finds_it_where_it_stood_then(way: Any, durability: Durability) -> None:
    graph = around(way(Child().graph))
    await heard(graph, "a", "b", "c")
    third, second, first = await pasts(graph)
    for past, count in ((second, 2), (first, 1), (third, 3)):
        assert await heard(graph, None, config=past, durability=durability) == [count]
        assert await heard(graph, "d", durability=durability) == [count + 1]


async def test_a_fork_goes_its_own_way() -> None:
    graph = around(Child().graph)
    await heard(graph, "a", "b", "c")
    fork = await graph.aupdate_state((await pasts(graph))[1], {"said": "other"}, as_node=START)
    assert await heard(graph, None, config=fork) == [2]
    assert await memory(graph) == ["a", "other"]


async def test_a_past_in_which_it_has_asked_is_asked_anew() -> None:
    graph = around(Child().graph)
    await heard(graph, "a")
    await graph.ainvoke({"said": "ask?"}, THREAD)
    await heard(graph, Command(resume="yes"), "b")
    past = (await pasts(graph))[1]
    assert "__interrupt__" in await graph.ainvoke(None, past)
    assert await heard(graph, Command(resume="no"), "c") == [2, 4]
    assert await memory(graph) == ["a", "ask?", "no", "c"]


# -- who may call --------------------------------------------------------------------------------------


def to_both(state: State) -> list[Send]:
    return [Send("node", {"said": each}) for each in "ab"]


@DURABILITIES
async def test_two_tasks_of_one_superstep_may_not_call_it(durability: Durability) -> None:
    builder: Any = StateGraph(State).add_node("node", calling(Child().graph))
    builder.add_conditional_edges(START, to_both, ["node"])
    graph = builder.compile(InMemorySaver())
    inputs: list[Any] = [{}, None]
    for input in inputs:  # one of the two has ended when the other is tried again
        with pytest.raises(MultipleSubgraphsError, match=r"'node'.*checkpointer=None.*MULTIPLE_SUBGRAPHS"):
            await graph.ainvoke(input, THREAD, durability=durability, on_error="finish")


async def test_nor_two_that_lead_there_through_graphs_of_their_own() -> None:
    middle: Any = StateGraph(State).add_node("m", Child().graph).add_edge(START, "m").compile()
    builder: Any = StateGraph(State).add_node("node", calling(middle))
    builder.add_conditional_edges(START, to_both, ["node"])
    graph = builder.compile(InMemorySaver())
    with pytest.raises(MultipleSubgraphsError):
        await graph.ainvoke({}, THREAD)


async def test_two_nodes_may_have_it_side_by_side() -> None:
    child = Child()
    builder: Any = StateGraph(State).add_node("one", lambda state: child.graph.invoke({"said": "x"}) and None)
    builder.add_node("two", child.graph).add_edge(START, "one").add_edge(START, "two")
    assert await heard(builder.compile(InMemorySaver()), "a", "b") == [1, 2]


async def test_a_retry_of_its_node_may_call_it_again() -> None:
    child, failures = Child(), [OSError("late")]

    async def call(state: State) -> State:
        count = (await child.graph.ainvoke({"said": "x"}))["heard"]
        if failures:
            raise failures.pop()
        return {"heard": count}

    policy = RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError)
    builder = StateGraph(State).add_node("node", call, retry_policy=policy).add_edge(START, "node")
    assert await heard(builder.compile(InMemorySaver()), "a", "b") == [1, 2]


# -- from outside --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["ainvoke", "aget_state"])
async def test_outside_of_any_graph_there_is_no_saver_for_it(verb: str) -> None:
    arguments = ({"said": "a"}, THREAD) if verb == "ainvoke" else (THREAD,)
    with pytest.raises(CheckpointQueryError, match=r"checkpointer=True.*run the graph around it"):
        await getattr(Child().graph, verb)(*arguments)


async def test_what_is_changed_from_outside_is_remembered() -> None:
    child = Child()
    graph = around(child.graph)
    await heard(graph, "a")
    await child.graph.with_checkpointer(graph.checkpointer).aupdate_state(CHILD, {"all": ["told"]})
    assert await heard(graph, "b") == [3]
    past = (await pasts(graph))[0]
    assert await heard(graph, None, config=past) == [3]


# -- parents -------------------------------------------------------------------------------------------


async def test_a_childs_checkpoints_name_those_that_the_tasks_around_it_started_from() -> None:
    saver = InMemorySaver()
    middle: Any = (
        StateGraph(State).add_node("m", Child(checkpointer=None).graph).add_edge(START, "m").compile()
    )
    graph = around(middle, saver)
    await heard(graph, "a")
    (start,) = await pasts(graph)
    parents = {
        each.config["configurable"]["checkpoint_ns"].count("|"): each.metadata["parents"]
        async for each in saver.alist(THREAD)
        if each.config["configurable"]["checkpoint_ns"]
    }
    root = start["configurable"]["checkpoint_id"]
    assert parents[0] == {"": root}
    outer, inner = parents[1].items()
    assert outer == ("", root)
    (task,) = (await graph.aget_state(start)).tasks
    assert inner[0] == f"node:{task.id}"
    assert await saver.aget_tuple(
        {"configurable": {"thread_id": "1", "checkpoint_ns": inner[0], "checkpoint_id": inner[1]}}
    )


# -- laws ----------------------------------------------------------------------------------------------


class Count(TypedDict, total=False):
    said: str
    rounds: Annotated[list[int], operator.add]


def in_rounds(saver: Any) -> Any:
    """A graph that calls two graphs that remember, twice each; one of them below one that starts afresh."""
    child, below = Child().graph, Child().graph
    middle: Any = StateGraph(State).add_node("m", below).add_edge(START, "m").compile()

    async def one(state: Count) -> Count:
        return {"rounds": [(await child.ainvoke({"said": "x"}))["heard"]]}

    async def two(state: Count) -> Count:
        return {"rounds": [10 * (await middle.ainvoke({"said": "x"}))["heard"]]}

    def again(state: Count) -> list[str]:
        return ["one", "two"] if len(state["rounds"]) < 3 else ["__end__"]

    builder: Any = StateGraph(Count).add_node(one).add_node(two).add_conditional_edges("one", again)
    return builder.add_edge(START, "one").add_edge(START, "two").compile(saver)


ROUNDS = [1, 10, 2, 20]


@DURABILITIES
async def test_from_every_checkpoint_the_end_is_the_same(durability: Durability) -> None:
    graph = in_rounds(InMemorySaver())
    assert (await graph.ainvoke({"said": "x"}, THREAD))["rounds"] == ROUNDS
    history = [each async for each in graph.aget_state_history(THREAD)]
    assert len(history) == 4
    for past in history:
        assert (await graph.ainvoke(None, past.config, durability=durability))["rounds"] == ROUNDS


@DURABILITIES
@pytest.mark.parametrize("when", ["before", "after"])
async def test_wherever_the_saver_fails_each_call_is_remembered_once(
    when: str, durability: Durability
) -> None:
    number = 0
    while True:
        number += 1
        kept = InMemorySaver()
        mishaps: Any = {when: fail_at(number, OSError)}
        graph, looking = in_rounds(FaultySaver(kept, **mishaps)), in_rounds(kept)
        try:
            output = await graph.ainvoke({"said": "x"}, THREAD, durability=durability)
            break
        except (OSError, CheckpointError):
            is_begun = (await looking.aget_state(THREAD)).created_at is not None
            output = await graph.ainvoke(None if is_begun else {"said": "x"}, THREAD)
        assert output["rounds"] == ROUNDS
    assert number > 8
