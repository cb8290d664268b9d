"""Answers that have to look like something: checked before the node sees them, refused without a trace."""

import asyncio
from typing import Any, Literal, TypedDict

import pytest
from pydantic import BaseModel

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidResumeError
from aiograph.graph import START, StateGraph
from aiograph.types import Command, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    result: str


class Review(BaseModel):
    verdict: Literal["yes", "no"]
    stars: int = 0


def asking(schema: Any, seen: list[Any]) -> Any:
    async def node(state: State) -> State:
        seen.append(interrupt("well?", response_schema=schema))
        return {"result": str(seen[-1])}

    return StateGraph(State).add_node(node).add_edge(START, "node").compile(InMemorySaver())


async def test_a_node_gets_the_validated_object() -> None:
    seen: list[Any] = []
    graph = asking(Review, seen)
    await graph.ainvoke({}, THREAD)
    await graph.ainvoke(Command(resume={"verdict": "yes", "stars": "3"}), THREAD)
    assert seen == [Review(verdict="yes", stars=3)]


async def test_whoever_answers_is_shown_the_schema() -> None:
    (question,) = (await asking(Review, []).ainvoke({}, THREAD))["__interrupt__"]
    assert question.response_schema == Review.model_json_schema()


async def test_a_wrong_answer_is_refused_and_the_right_one_counts() -> None:
    seen: list[Any] = []
    graph = asking(Review, seen)
    (question,) = (await graph.ainvoke({}, THREAD))["__interrupt__"]
    with pytest.raises(InvalidResumeError, match="does not fit its response_schema") as caught:
        await graph.ainvoke(Command(resume={"verdict": "perhaps"}), THREAD)
    assert caught.value.interrupt_ids == (question.id,)
    assert (await graph.aget_state(THREAD)).interrupts == (question,)
    assert (await graph.ainvoke(None, THREAD))["__interrupt__"] == [question]
    await graph.ainvoke(Command(resume={"verdict": "no"}), THREAD)
    assert seen == [Review(verdict="no")]


async def test_a_wrong_answer_leaves_earlier_answers_alone() -> None:
    async def node(state: State) -> State:
        first = interrupt("first")
        return {"result": f"{first} {interrupt('second', response_schema=int)}"}

    graph: Any = StateGraph(State).add_node(node).add_edge(START, "node").compile(InMemorySaver())
    await graph.ainvoke({}, THREAD)
    await graph.ainvoke(Command(resume="x"), THREAD)
    with pytest.raises(InvalidResumeError):
        await graph.ainvoke(Command(resume="y"), THREAD)
    assert await graph.ainvoke(Command(resume=2), THREAD) == {"result": "x 2"}


async def test_a_wrong_answer_in_a_nodes_own_task_group_is_taken_back_as_well() -> None:
    async def ask() -> int:
        number: int = interrupt("well?", response_schema=int)
        return number

    async def node(state: State) -> State:
        async with asyncio.TaskGroup() as group:
            part = group.create_task(ask())
        return {"result": str(part.result())}

    graph: Any = StateGraph(State).add_node(node).add_edge(START, "node").compile(InMemorySaver())
    await graph.ainvoke({}, THREAD)
    with pytest.raises(ExceptionGroup):
        await graph.ainvoke(Command(resume="x"), THREAD)
    assert await graph.ainvoke(Command(resume=2), THREAD) == {"result": "2"}


async def test_a_node_may_ask_again_until_the_answer_fits() -> None:
    async def node(state: State) -> State:
        question = "how many?"
        while True:
            try:
                return {"result": str(interrupt(question, response_schema=int))}
            except InvalidResumeError:
                question = "how many, in figures?"

    graph: Any = StateGraph(State).add_node(node).add_edge(START, "node").compile(InMemorySaver())
    await graph.ainvoke({}, THREAD)
    for wrong in ("many", "a lot"):
        (question,) = (await graph.ainvoke(Command(resume=wrong), THREAD))["__interrupt__"]
        assert question.value == "how many, in figures?"
    assert await graph.ainvoke(Command(resume=3), THREAD) == {"result": "3"}


async def test_a_json_schema_is_shown_and_checks_nothing() -> None:
    schema = {"type": "integer"}
    seen: list[Any] = []
    graph = asking(schema, seen)
    (question,) = (await graph.ainvoke({}, THREAD))["__interrupt__"]
    assert question.response_schema == schema
    await graph.ainvoke(Command(resume="many"), THREAD)
    assert seen == ["many"]
