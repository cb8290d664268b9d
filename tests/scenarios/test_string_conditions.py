"""Conditions written as text: evaluated safely over the state, refused when the graph is built."""

import operator
from dataclasses import dataclass
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.errors import ExpressionError
from aiograph.graph import END, START, StateGraph


class State(TypedDict, total=False):
    score: float
    done: bool
    kind: str
    log: Annotated[list[str], operator.add]


def branch_on(expression: str, path_map: Any = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("start", lambda state: None).add_edge(START, "start")
    builder.add_node("go", lambda state: {"log": ["go"]}).add_node("stop", lambda state: {"log": ["stop"]})
    return builder.add_conditional_edges("start", expression, path_map, **options).compile()


BOOLS = {True: "go", False: "stop"}


@pytest.mark.parametrize(("score", "done", "log"), [(0.7, False, ["go"]), (0.7, True, ["stop"])])
async def test_a_bool_picks_from_the_path_map(score: float, done: bool, log: list[str]) -> None:
    graph = branch_on("score > 0.5 and not done", BOOLS)
    assert (await graph.ainvoke({"score": score, "done": done}))["log"] == log


async def test_a_bool_may_lead_to_the_end() -> None:
    graph = branch_on("done", {True: END, False: "stop", "other": "go"})
    assert (await graph.ainvoke({"done": True}))["log"] == []


async def test_a_string_is_a_key_of_the_path_map() -> None:
    graph = branch_on("kind", {"green": "go", "red": "stop"})
    assert (await graph.ainvoke({"kind": "red"}))["log"] == ["stop"]


async def test_a_string_may_name_a_node() -> None:
    assert (await branch_on("'go' if score > 1 else 'stop'").ainvoke({"score": 2}))["log"] == ["go"]


async def test_a_condition_sees_what_its_node_wrote() -> None:
    builder = StateGraph(State).add_node("start", lambda state: {"score": 2}).add_edge(START, "start")
    builder.add_node("go", lambda state: {"log": ["go"]})
    graph = builder.add_conditional_edges("start", "score > 1", {True: "go", False: END}).compile()
    assert (await graph.ainvoke({"score": 0}))["log"] == ["go"]


async def test_a_condition_may_have_a_then() -> None:
    builder = StateGraph(State).add_node("a", lambda state: {"log": ["a"]}).add_node("b", lambda state: None)
    builder.add_node("after", lambda state: {"log": ["after"]})
    builder.add_conditional_edges(START, "done", {True: "a", False: "b"}, then="after")
    assert (await builder.compile().ainvoke({"done": True}))["log"] == ["a", "after"]


async def test_the_fields_of_a_dataclass_can_be_named() -> None:
    @dataclass
    class Point:
        x: int = 0

    builder = StateGraph(Point).add_node("double", lambda state: {"x": state.x * 2})
    builder.add_conditional_edges("double", "x < 10", {True: "double", False: END})
    assert await builder.add_edge(START, "double").compile().ainvoke(Point(3)) == {"x": 12}


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("score >", "is malformed"),
        ("", "must not be empty"),
        ("scor > 1", "'scor'.*did you mean 'score'"),
        ("__import__('os')", "__import__"),
        ("kind.__class__", "__class__"),
        ("(lambda: 1)()", "cannot be called"),
    ],
)
def test_a_bad_expression_is_refused_when_the_graph_is_built(expression: str, why: str) -> None:
    with pytest.raises(ExpressionError, match=why):
        StateGraph(State).add_node("a", lambda state: None).add_conditional_edges("a", expression, BOOLS)


async def test_a_condition_that_fails_when_evaluated_names_the_expression_and_the_node() -> None:
    with pytest.raises(ExpressionError, match="score > 1") as caught:
        await branch_on("score > 1", BOOLS).ainvoke({"score": None})
    assert "in node 'start'" in caught.value.__notes__[0]
