"""What can be a state: TypedDicts, dataclasses, Pydantic models, one bare value; and schemas beside it."""

import operator
from dataclasses import dataclass, field
from typing import Annotated, Any, NotRequired, Required, TypedDict

import pytest
from pydantic import BaseModel

from aiograph.channels import EphemeralValue, LastValue, Topic, UntrackedValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import GraphValidationError, InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.managed import RemainingSteps
from aiograph.types import RunnableConfig

Log = Annotated[list[str], operator.add]
THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class Total(TypedDict):
    name: str
    log: Log


class Partial(TypedDict, total=False):
    name: Required[str]
    nickname: str


class Optional(TypedDict):
    name: str
    nickname: NotRequired[str]


@dataclass
class Point:
    x: int
    y: int = 7
    log: Log = field(default_factory=list)


class Order(BaseModel):
    item: str
    amount: int = 1
    log: Log = []


# -- kinds of schemas ----------------------------------------------------------------------------------


async def test_a_typed_dict_is_read_and_updated_as_a_dict() -> None:
    def shout(state: Total) -> dict[str, Any]:
        return {"name": state["name"].upper(), "log": ["shouted"]}

    graph = StateGraph(Total).add_node(shout).add_edge(START, "shout").compile()
    assert await graph.ainvoke({"name": "ada", "log": ["born"]}) == {
        "name": "ADA",
        "log": ["born", "shouted"],
    }


@pytest.mark.parametrize("schema", [Partial, Optional])
async def test_a_key_without_a_value_is_absent_from_what_a_node_gets(schema: Any) -> None:
    seen: list[Any] = []
    graph = StateGraph(schema).add_node("look", seen.append).add_edge(START, "look").compile()
    assert await graph.ainvoke({"name": "ada"}) == {"name": "ada"}
    assert seen == [{"name": "ada"}]


async def test_a_dataclass_is_built_for_each_node_and_defaults_fill_what_is_missing() -> None:
    def move(state: Point) -> dict[str, Any]:
        return {"x": state.x + state.y, "log": ["moved"]}

    graph = StateGraph(Point).add_node(move).add_edge(START, "move").compile()
    start: Any = {"x": 1}
    assert await graph.ainvoke(start) == {"x": 8, "log": ["moved"]}


async def test_a_dataclass_may_be_input_and_update() -> None:
    def move(state: Point) -> Point:
        return Point(state.x * 2, state.y * 2, ["moved"])

    graph = StateGraph(Point).add_node(move).add_edge(START, "move").compile()
    assert await graph.ainvoke(Point(1, 2)) == {"x": 2, "y": 4, "log": ["moved"]}


async def test_a_pydantic_model_is_built_for_each_node_and_coerces() -> None:
    def double(state: Order) -> dict[str, Any]:
        return {"amount": state.amount * 2}

    graph = StateGraph(Order).add_node(double).add_edge(START, "double").compile()
    order: Any = {"item": "tea", "amount": "3"}
    assert (await graph.ainvoke(order))["amount"] == 6


async def test_a_pydantic_model_brings_only_the_fields_that_were_set() -> None:
    def rename(state: Order) -> Order:
        return Order(item=state.item.upper())

    graph = StateGraph(Order).add_node(rename).add_edge(START, "rename").compile()
    assert await graph.ainvoke(Order(item="tea", amount=5)) == {"item": "TEA", "amount": 5, "log": []}


async def test_an_invalid_update_names_node_and_field_and_the_thread_stays_usable() -> None:
    def spoil(state: Order) -> dict[str, Any]:
        return {"amount": "many" if state.item == "tea" else 2}

    def ship(state: Order) -> dict[str, Any]:
        return {"log": [f"shipped {state.amount}"]}

    builder = StateGraph(Order).add_sequence([spoil, ship]).add_edge(START, "spoil")
    graph = builder.compile(InMemorySaver())
    with pytest.raises(InvalidUpdateError, match=r"schema 'Order'.* amount.*written by 'spoil'"):
        await graph.ainvoke(Order(item="tea"), THREAD)
    assert (await graph.aget_state(THREAD)).next == ("spoil",)
    await graph.aupdate_state(THREAD, {"amount": 3}, as_node="spoil")
    assert (await graph.ainvoke(None, THREAD))["log"] == ["shipped 3"]
    assert (await graph.ainvoke(Order(item="milk"), THREAD))["log"] == ["shipped 3", "shipped 2"]


async def test_a_bare_annotated_type_makes_the_whole_state_one_value() -> None:
    def add_one(state: list[int]) -> list[int]:
        return [state[-1] + 1]

    state: Any = Annotated[list[int], operator.add]
    graph = StateGraph(state).add_sequence([("a", add_one), ("b", add_one)]).add_edge(START, "a").compile()
    assert await graph.ainvoke([1]) == [1, 2, 3]


@pytest.mark.parametrize("schema", [dict, int, "State", list[int], None])
def test_anything_else_is_refused_by_name(schema: Any) -> None:
    name = getattr(schema, "__qualname__", None) if isinstance(schema, type) else repr(schema)
    with pytest.raises(ValueError, match="cannot be a schema: use a TypedDict, a dataclass") as caught:
        StateGraph(schema)
    assert str(name).split("[")[0] in str(caught.value)


# -- fields --------------------------------------------------------------------------------------------


class Kinds(TypedDict, total=False):
    last: Annotated[str, LastValue]
    once: Annotated[str, EphemeralValue]
    all: Annotated[list[str], Topic(str, accumulate=True)]
    secret: Annotated[str, UntrackedValue]


async def test_a_channel_in_the_annotation_is_used_as_such() -> None:
    def first(state: Kinds) -> dict[str, Any]:
        return {"last": "1", "once": "1", "all": ["1", "2"], "secret": "x"}

    def second(state: Kinds) -> dict[str, Any]:
        assert state == {"last": "1", "once": "1", "all": ["1", "2"], "secret": "x"}
        return {"all": "3"}

    graph = StateGraph(Kinds).add_sequence([first, second]).add_edge(START, "first").compile(InMemorySaver())
    assert await graph.ainvoke({}, THREAD) == {"last": "1", "all": ["1", "2", "3"], "secret": "x"}
    assert (await graph.aget_state(THREAD)).values == {"last": "1", "all": ["1", "2", "3"]}


class Bare(TypedDict, total=False):
    words: list[str]
    tags: set[str]
    scores: dict[str, int]
    count: int


async def test_infer_reducers_lets_lists_sets_and_dicts_accumulate() -> None:
    def one(state: Bare) -> dict[str, Any]:
        return {"words": ["a"], "tags": {"x"}, "scores": {"a": 1}, "count": 1}

    def two(state: Bare) -> dict[str, Any]:
        return {"words": ["a", "b"], "tags": {"x", "y"}, "scores": {"b": 2}, "count": 2}

    graph = StateGraph(Bare, infer_reducers=True).add_sequence([one, two]).add_edge(START, "one").compile()
    assert await graph.ainvoke({}) == {
        "words": ["a", "a", "b"],
        "tags": {"x", "y"},
        "scores": {"a": 1, "b": 2},
        "count": 2,
    }


async def test_without_infer_reducers_the_last_value_is_kept() -> None:
    def one(state: Bare) -> dict[str, Any]:
        return {"words": ["new"]}

    graph = StateGraph(Bare).add_node(one).add_edge(START, "one").compile()
    assert (await graph.ainvoke({"words": ["old"], "tags": set(), "scores": {}, "count": 0}))["words"] == [
        "new"
    ]


def test_a_reducer_of_the_wrong_arity_is_refused_by_name() -> None:
    class State(TypedDict):
        log: Annotated[list[str], lambda one: one]

    with pytest.raises(ValueError, match=r"the reducer .* of the key 'log' takes 1 positional parameter"):
        StateGraph(State)


def test_a_reserved_key_is_refused_by_name() -> None:
    state = TypedDict("state", {"__start__": str})
    with pytest.raises(ValueError, match="the key '__start__' is reserved for the engine"):
        StateGraph(state)


# -- schemas beside the state --------------------------------------------------------------------------


class Question(TypedDict):
    question: str


class Answer(TypedDict):
    answer: str


class Inner(TypedDict):
    question: str
    notes: list[str]
    answer: str


class Private(TypedDict):
    hint: str


async def test_input_and_output_schemas_narrow_what_goes_in_and_comes_out() -> None:
    def think(state: Question) -> dict[str, Any]:
        return {"notes": [state["question"]]}

    def answer(state: Inner) -> dict[str, Any]:
        return {"answer": f"about {state['notes']}"}

    builder = StateGraph(Inner, input_schema=Question, output_schema=Answer)
    builder.add_node("think", think, input_schema=Question).add_node(answer)
    graph = builder.add_edge(START, "think").add_edge("think", "answer").compile()
    assert await graph.ainvoke({"question": "why"}) == {"answer": "about ['why']"}


async def test_a_key_outside_the_input_schema_is_not_taken_in() -> None:
    builder = StateGraph(Inner, input_schema=Question)
    graph = builder.add_node("idle", lambda state: None).add_edge(START, "idle").compile()
    typo: Any = {"answer": "no"}
    with pytest.warns(match=r"the input has the keys \['answer'\]"):
        assert await graph.ainvoke({**typo, "question": "why"}) == {"question": "why"}


async def test_a_nodes_input_schema_adds_private_channels_that_no_output_shows() -> None:
    def hide(state: Question) -> dict[str, Any]:
        return {"hint": "42"}

    def seek(state: Private) -> dict[str, Any]:
        return {"answer": state["hint"]}

    builder = StateGraph(Inner).add_node("hide", hide, input_schema=Question)
    builder.add_node("seek", seek, input_schema=Private)
    graph = builder.add_edge(START, "hide").add_edge("hide", "seek").compile(InMemorySaver())
    assert await graph.ainvoke({"question": "?", "notes": [], "answer": ""}, THREAD) == {
        "question": "?",
        "notes": [],
        "answer": "42",
    }
    assert "hint" not in (await graph.aget_state(THREAD)).values


async def test_the_annotation_of_the_first_parameter_is_the_nodes_schema() -> None:
    seen: list[Any] = []

    async def look(state: Question) -> None:
        seen.append(state)

    graph = StateGraph(Inner).add_node(look).add_edge(START, "look").compile()
    await graph.ainvoke({"question": "?", "notes": [], "answer": ""})
    assert seen == [{"question": "?"}]


async def test_a_key_without_reducer_takes_the_reducer_that_another_schema_declares() -> None:
    class Reduced(TypedDict):
        notes: Annotated[list[str], operator.add]

    def note(state: Inner) -> dict[str, Any]:
        return {"notes": ["more"]}

    builder = StateGraph(Inner, input_schema=Reduced).add_node(note).add_edge(START, "note")
    assert (await builder.compile().ainvoke({"notes": ["first"]}))["notes"] == ["first", "more"]


def test_two_schemas_with_different_channels_for_a_key_are_refused() -> None:
    class Other(TypedDict):
        log: Annotated[list[str], lambda old, new: new]

    builder = StateGraph(Total, output_schema=Other).add_node("idle", lambda state: None)
    with pytest.raises(GraphValidationError, match="the key 'log' is declared with two different channels"):
        builder.add_edge(START, "idle").compile()


@pytest.mark.parametrize("option", ["input_schema", "output_schema"])
def test_managed_values_cannot_go_in_or_out(option: str) -> None:
    class Managed(TypedDict):
        left: RemainingSteps

    with pytest.raises(ValueError, match="'left' is a managed value; it belongs in the state"):
        StateGraph(Total, **{option: Managed})  # type: ignore[arg-type]
