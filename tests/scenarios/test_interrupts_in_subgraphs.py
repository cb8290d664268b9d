"""Questions of graphs inside graphs: they reach whoever runs the outermost; answers find their way back."""

import asyncio
import operator
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import InvalidResumeError, UnknownInterruptError
from aiograph.graph import START, StateGraph
from aiograph.types import Command, Durability, RunnableConfig, Send, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Child:
    """A graph that works, asks, and works; counts how often its nodes run."""

    def __init__(self, *questions: str, **options: Any) -> None:
        self.runs: Counter[str] = Counter()

        def before(state: State) -> None:
            self.runs["before"] += 1

        async def ask(state: State) -> State:
            self.runs["ask"] += 1
            return {"log": [str(interrupt(question)) for question in questions]}

        def after(state: State) -> None:
            self.runs["after"] += 1

        nodes: Any = [("before", before), ("ask", ask), ("after", after)]
        self.graph = StateGraph(State).add_sequence(nodes).add_edge(START, "before").compile(**options)


def around(node: Any, saver: Any = None) -> Any:
    return StateGraph(State).add_node("node", node).add_edge(START, "node").compile(saver)


def calling(child: Any) -> Any:
    async def call(state: State) -> State:
        return {"log": (await child.ainvoke({"log": []}))["log"]}

    return call


def calling_sync(child: Any) -> Any:
    def call(state: State) -> State:
        return {"log": child.invoke({"log": []})["log"]}

    return call


def streaming(child: Any) -> Any:
    async def call(state: State) -> State:
        return {"log": [chunk async for chunk in child.astream({"log": []})][-1]["log"]}

    return call


WAYS = pytest.mark.parametrize(
    "way",
    [lambda child: child, calling, calling_sync, streaming],
    ids=["as a node", "called", "called synchronously", "streamed"],
)


def asked(output: Any) -> dict[str, str]:
    """The ids of the questions in an output, by what they ask."""
    return {question.value: question.id for question in output.get("__interrupt__", ())}


@WAYS
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_childs_questions_come_out_and_its_answers_go_in(way: Any, durability: Durability) -> None:
    child = Child("one", "two")
    graph = around(way(child.graph), InMemorySaver())
    inputs = [{}, Command(resume="x"), Command(resume="y")]
    outputs = [await graph.ainvoke(input, THREAD, durability=durability) for input in inputs]
    assert [list(asked(output)) for output in outputs] == [["one"], ["two"], []]
    assert outputs[-1] == {"log": ["x", "y"]}
    assert child.runs == {"before": 1, "ask": 3, "after": 1}


@WAYS
def test_a_childs_questions_are_answered_synchronously_too(way: Any) -> None:
    child = Child("one")
    graph = around(way(child.graph), InMemorySaver())
    assert list(asked(graph.invoke({}, THREAD))) == ["one"]
    assert graph.invoke(Command(resume="x"), THREAD) == {"log": ["x"]}
    assert child.runs == {"before": 1, "ask": 2, "after": 1}


@WAYS
async def test_two_levels_deep(way: Any) -> None:
    child = Child("one", "two")
    graph = around(way(around(way(child.graph))), InMemorySaver())
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["one"]
    assert list(asked(await graph.ainvoke(Command(resume="x"), THREAD))) == ["two"]
    assert await graph.ainvoke(Command(resume="y"), THREAD) == {"log": ["x", "y"]}
    assert child.runs == {"before": 1, "ask": 3, "after": 1}


async def test_a_child_that_is_called_several_times_asks_each_time() -> None:
    child = Child("well?")

    async def call(state: State) -> State:
        outputs = [await child.graph.ainvoke({"log": []}) for _ in range(3)]
        return {"log": [entry for output in outputs for entry in output["log"]]}

    graph = around(call, InMemorySaver())
    inputs = [{}, Command(resume="x"), Command(resume="y")]
    ids = [asked(await graph.ainvoke(input, THREAD))["well?"] for input in inputs]
    assert await graph.ainvoke(Command(resume="z"), THREAD) == {"log": ["x", "y", "z"]}
    assert len(set(ids)) == 3
    assert child.runs == {"before": 3, "ask": 6, "after": 3}


async def test_children_that_run_side_by_side_in_a_node_ask_together() -> None:
    children = [Child(name) for name in "pq"]

    async def call(state: State) -> State:
        outputs = await asyncio.gather(*(child.graph.ainvoke({"log": []}) for child in children))
        return {"log": [entry for output in outputs for entry in output["log"]]}

    graph = around(call, InMemorySaver())
    found: dict[str, str] = {}
    output = await graph.ainvoke({}, THREAD)
    while ids := asked(output):
        found |= ids
        output = await graph.ainvoke(Command(resume={ids[each]: each * 2 for each in ids}), THREAD)
    assert output == {"log": ["pp", "qq"]}
    assert set(found) == {"p", "q"}
    assert all(child.runs == {"before": 1, "ask": 2, "after": 1} for child in children)


async def test_a_child_that_a_node_has_left_behind_is_waited_for() -> None:
    """`asyncio.gather` leaves it running when another one asks."""
    finished = []

    async def slow(state: State) -> State:
        await asyncio.sleep(0.01)
        finished.append("slow")
        return {"log": ["slow"]}

    asking, slow_one = Child("p").graph, around(slow, None)

    async def call(state: State) -> State:
        outputs = await asyncio.gather(asking.ainvoke({"log": []}), slow_one.ainvoke({"log": []}))
        return {"log": [entry for output in outputs for entry in output["log"]]}

    graph = around(call, InMemorySaver())
    ids = asked(await graph.ainvoke({}, THREAD))
    assert finished == ["slow"]
    assert await graph.ainvoke(Command(resume={ids["p"]: "yes"}), THREAD) == {"log": ["yes", "slow"]}
    assert finished == ["slow"]  # what it had done was kept


async def test_children_in_parallel_tasks_get_each_its_own_answer() -> None:
    child = Child("well?")
    builder: Any = StateGraph(State).add_node("call", calling(child.graph))
    builder.add_conditional_edges(START, lambda state: [Send("call", {}) for _ in range(3)], ["call"])
    graph = builder.compile(InMemorySaver())
    questions = (await graph.ainvoke({}, THREAD))["__interrupt__"]
    for place, question in reversed([*enumerate(questions)]):
        output = await graph.ainvoke(Command(resume={question.id: str(place)}), THREAD)
    assert output == {"log": ["0", "1", "2"]}
    assert child.runs == {"before": 3, "ask": 6, "after": 3}


async def test_a_node_asks_before_and_after_its_child_does() -> None:
    child = Child("inner")

    async def call(state: State) -> State:
        first = interrupt("first")
        inner = (await child.graph.ainvoke({"log": []}))["log"]
        return {"log": [first, *inner, interrupt("last")]}

    graph = around(call, InMemorySaver())
    outputs = [await graph.ainvoke({}, THREAD)]
    outputs += [await graph.ainvoke(Command(resume=answer), THREAD) for answer in "xyz"]
    assert [list(asked(output)) for output in outputs] == [["first"], ["inner"], ["last"], []]
    assert outputs[-1] == {"log": ["x", "y", "z"]}
    assert child.runs == {"before": 1, "ask": 2, "after": 1}


@WAYS
async def test_a_child_that_keeps_nothing_starts_over_and_finds_its_answers(way: Any) -> None:
    child = Child("one", "two", checkpointer=False)
    graph = around(way(child.graph), InMemorySaver())
    await graph.ainvoke({}, THREAD)
    assert list(asked(await graph.ainvoke(Command(resume="x"), THREAD))) == ["two"]
    assert await graph.ainvoke(Command(resume="y"), THREAD) == {"log": ["x", "y"]}
    assert child.runs == {"before": 3, "ask": 3, "after": 1}


async def test_several_calls_of_a_child_that_keeps_nothing_are_kept_apart() -> None:
    child = Child("well?", checkpointer=False)

    async def call(state: State) -> State:
        return {"log": [(await child.graph.ainvoke({"log": []}))["log"][0] for _ in range(2)]}

    graph = around(call, InMemorySaver())
    first = asked(await graph.ainvoke({}, THREAD))
    second = asked(await graph.ainvoke(Command(resume="x"), THREAD))
    assert first != second
    assert await graph.ainvoke(Command(resume="y"), THREAD) == {"log": ["x", "y"]}


async def test_a_child_two_levels_below_one_that_keeps_nothing_finds_its_answers() -> None:
    child = Child("one")
    middle = StateGraph(State).add_node("m", calling(child.graph)).add_edge(START, "m")
    graph = around(middle.compile(checkpointer=False), InMemorySaver())
    await graph.ainvoke({}, THREAD)
    assert await graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["x"]}


async def test_without_any_saver_a_childs_questions_come_out() -> None:
    assert list(asked(await around(around(Child("one").graph)).ainvoke({}))) == ["one"]


async def test_a_child_with_a_saver_and_thread_of_its_own_keeps_its_questions_to_itself() -> None:
    child = Child("one", checkpointer=InMemorySaver())
    own: RunnableConfig = {"configurable": {"thread_id": "own"}}

    async def call(state: State) -> State:
        output: Any = await child.graph.ainvoke({"log": []}, own)
        return {"log": list(asked(output))}

    assert await around(call, InMemorySaver()).ainvoke({}, THREAD) == {"log": ["one"]}
    assert await child.graph.ainvoke(Command(resume="x"), own) == {"log": ["x"]}


@WAYS
async def test_a_child_with_a_saver_of_its_own_asks_as_part_of_its_parent(way: Any) -> None:
    child = Child("one", "two", checkpointer=InMemorySaver())
    graph = around(way(child.graph), InMemorySaver())
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["one"]
    assert list(asked(await graph.ainvoke(Command(resume="x"), THREAD))) == ["two"]
    assert await graph.ainvoke(Command(resume="y"), THREAD) == {"log": ["x", "y"]}
    assert child.runs == {"before": 1, "ask": 3, "after": 1}


@WAYS
async def test_a_child_that_is_the_outermost_to_be_kept_asks_through_its_parent(way: Any) -> None:
    child = Child("one", checkpointer=InMemorySaver())
    assert list(asked(await around(way(child.graph)).ainvoke({}, THREAD))) == ["one"]
    assert await child.graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["x"]}


async def test_a_child_that_was_gathered_with_its_exceptions_asks_nevertheless() -> None:
    child = Child("one")

    async def call(state: State) -> Any:
        outputs = await asyncio.gather(child.graph.ainvoke({"log": []}), return_exceptions=True)
        return outputs[0]

    graph = around(call, InMemorySaver())
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["one"]
    assert await graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["x"]}


async def test_an_answer_that_does_not_fit_leaves_a_childs_question_open() -> None:
    async def ask(state: State) -> State:
        return {"log": [str(interrupt("how many?", response_schema=int))]}

    graph = around(around(ask), InMemorySaver())
    first = asked(await graph.ainvoke({}, THREAD))
    with pytest.raises(InvalidResumeError):
        await graph.ainvoke(Command(resume="many"), THREAD)
    assert asked(await graph.ainvoke(None, THREAD)) == first
    assert await graph.ainvoke(Command(resume=3), THREAD) == {"log": ["3"]}


async def test_a_question_of_a_child_that_was_answered_is_refused() -> None:
    graph = around(Child("one", "two").graph, InMemorySaver())
    first = asked(await graph.ainvoke({}, THREAD))
    await graph.ainvoke(Command(resume="x"), THREAD)
    with pytest.raises(UnknownInterruptError, match="nobody waits"):
        await graph.ainvoke(Command(resume={first["one"]: "again"}), THREAD)


def test_a_childs_questions_and_answers_are_found_in_the_file(tmp_path: Path) -> None:
    for resume in (None, "x", "y"):
        with SqliteSaver(tmp_path / "threads.db") as saver:
            graph = around(around(Child("one", "two").graph), saver)
            output = graph.invoke({} if resume is None else Command(resume=resume), THREAD)
    assert output == {"log": ["x", "y"]}


async def test_a_past_in_which_a_child_has_asked_is_asked_anew() -> None:
    child = Child("one")
    graph = around(child.graph, InMemorySaver())
    old = asked(await graph.ainvoke({}, THREAD))
    await graph.ainvoke(Command(resume="x"), THREAD)
    past = [each async for each in graph.aget_state_history(THREAD)][1].config
    with pytest.raises(UnknownInterruptError, match="go on from that checkpoint with None"):
        await graph.ainvoke(Command(resume="other"), past)
    new = asked(await graph.ainvoke(None, past))
    assert new["one"] != old["one"]
    assert await graph.ainvoke(Command(resume="other"), THREAD) == {"log": ["other"]}
    assert child.runs == {"before": 2, "ask": 4, "after": 2}
