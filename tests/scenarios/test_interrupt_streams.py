"""What a stream shows of a run that stops to ask."""

import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import FaultySaver, delay_turns
from aiograph.types import Command, Interrupt, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


async def ask(state: State) -> State:
    return {"log": [interrupt("well?")]}


async def work(state: State) -> State:
    return {"log": ["work"]}


def graph_of(saver: Any = None) -> Any:
    builder = StateGraph(State).add_node(ask).add_node(work)
    builder.add_edge(START, "ask").add_edge(START, "work")
    return builder.compile(InMemorySaver() if saver is None else saver)


async def shown(graph: Any, input: Any, mode: Any) -> list[Any]:
    return [chunk async for chunk in graph.astream(input, THREAD, stream_mode=mode)]


def question_in(chunk: Any) -> Interrupt:
    (question,) = chunk["__interrupt__"]
    assert (question.value, len(question.id)) == ("well?", 32)
    return question  # type: ignore[no-any-return]


async def test_updates_end_with_the_questions() -> None:
    graph = graph_of()
    first, last = await shown(graph, {}, "updates")
    assert first == {"work": {"log": ["work"]}}
    assert question_in(last) == (await graph.aget_state(THREAD)).interrupts[0]
    assert await shown(graph, Command(resume="x"), "updates") == [
        {"work": {"log": ["work"]}, "__metadata__": {"cached": True}},
        {"ask": {"log": ["x"]}},
    ]


async def test_values_end_with_the_questions_beside_what_finished_tasks_have_written() -> None:
    graph = graph_of()
    first, last = await shown(graph, {"log": ["begin"]}, "values")
    assert first == {"log": ["begin"]}
    question = question_in(last)
    state = await graph.aget_state(THREAD)
    assert last == {"log": ["begin", "work"], "__interrupt__": (question,)}
    assert state.values == {"log": ["begin", "work"]}
    assert await shown(graph, Command(resume="x"), "values") == [
        {"log": ["begin"]},
        {"log": ["begin", "x", "work"]},
    ]


async def test_what_invoke_returns_with_the_questions_is_what_the_thread_shows() -> None:
    graph = graph_of()
    output = await graph.ainvoke({"log": ["begin"]}, THREAD)
    question_in(output)
    assert output["log"] == (await graph.aget_state(THREAD)).values["log"] == ["begin", "work"]
    assert (await graph.ainvoke(Command(resume="x"), THREAD)) == {"log": ["begin", "x", "work"]}


async def test_what_finished_tasks_have_written_is_shown_without_a_saver_too() -> None:
    output = await graph_of(False).ainvoke({"log": ["begin"]})
    question_in(output)
    assert output["log"] == ["begin", "work"]


async def test_finished_tasks_that_contradict_each_other_are_not_shown_as_finished() -> None:
    class Single(TypedDict, total=False):
        one: int
        other: int

    builder: Any = StateGraph(Single).add_node("ask", lambda state: {"other": interrupt("well?")})
    for name in ("a", "b"):
        builder.add_node(name, lambda state: {"one": 1}).add_edge(START, name)
    output = await builder.add_edge(START, "ask").compile(InMemorySaver()).ainvoke({"one": 0}, THREAD)
    question_in(output)
    assert output["one"] == 0


async def test_tasks_show_who_asked() -> None:
    graph = graph_of()
    chunks = await shown(graph, {}, "tasks")
    results = {chunk["name"]: chunk for chunk in chunks if "result" in chunk}
    (question,) = (await graph.aget_state(THREAD)).interrupts
    assert results["ask"]["interrupts"] == [
        {"value": "well?", "id": question.id, "response_schema": None},
    ]
    assert (results["ask"]["result"], results["ask"]["error"]) == ({}, None)
    assert results["work"]["interrupts"] == []


async def test_debug_shows_the_same_as_tasks() -> None:
    chunks = await shown(graph_of(), {}, "debug")
    results = [each["payload"] for each in chunks if each["type"] == "task_result"]
    assert {each["name"]: len(each["interrupts"]) for each in results} == {"work": 0, "ask": 1}


async def test_several_modes_show_each_its_own() -> None:
    chunks = await shown(graph_of(), {}, ["values", "updates"])
    assert sorted(mode for mode, chunk in chunks if "__interrupt__" in chunk) == ["updates", "values"]


@pytest.mark.parametrize("mode", ["values", "updates", "tasks", "debug"])
async def test_a_question_is_stored_before_it_is_shown(mode: Any) -> None:
    graph = graph_of(FaultySaver(InMemorySaver(), before=delay_turns(20)))
    async for chunk in graph.astream({}, THREAD, stream_mode=mode, durability="sync"):
        if "well?" in str(chunk):
            assert (await graph.aget_state(THREAD)).interrupts
            break
    else:
        pytest.fail("no question was shown")


@pytest.mark.parametrize("mode", ["custom", "checkpoints"])
async def test_other_modes_do_not_show_questions(mode: str) -> None:
    assert not [chunk for chunk in await shown(graph_of(), {}, mode) if "__interrupt__" in chunk]


async def test_without_input_the_questions_are_shown_again() -> None:
    graph = graph_of()
    question = question_in((await shown(graph, {}, "updates"))[-1])
    assert question_in((await shown(graph, None, "updates"))[-1]) == question


def test_a_synchronous_stream_shows_the_same() -> None:
    chunks = list(graph_of().stream({}, THREAD, stream_mode="updates"))
    question_in(chunks[-1])


async def test_a_past_that_asks_again_is_shown_as_a_checkpoint_of_its_own() -> None:
    graph = graph_of()
    await graph.ainvoke({}, THREAD)
    await graph.ainvoke(Command(resume="x"), THREAD)
    past = [each async for each in graph.aget_state_history(THREAD)][1].config
    (chunk,) = [chunk async for chunk in graph.astream(None, past, stream_mode="checkpoints")]
    assert (chunk["metadata"]["source"], chunk["parent_config"], chunk["next"]) == (
        "fork",
        past,
        ["ask", "work"],
    )
    assert chunk["config"] == (await graph.aget_state(THREAD)).config
