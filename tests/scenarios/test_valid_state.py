"""What is stored is valid: a Pydantic state takes no value that its fields refuse, wherever it comes from."""

import operator
import pickle
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from aiograph.channels import EphemeralValue, LastValue
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import ErrorCode, InvalidUpdateError, StateValidationError
from aiograph.graph import END, START, StateGraph
from aiograph.types import Overwrite, RunnableConfig, default_retry_on

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class Line(BaseModel):
    item: str
    amount: Annotated[int, Field(gt=0)] = 1


class Order(BaseModel):
    customer: str = ""
    total: Annotated[int, operator.add, Field(le=100)] = 0
    lines: Annotated[list[Line], operator.add] = []


def graph_of(*nodes: Any, schema: Any = Order, saver: Any = None) -> Any:
    """The nodes, one after the other."""
    builder = StateGraph(schema).add_sequence(list(nodes)).add_edge(START, nodes[0][0])
    return builder.compile(saver or InMemorySaver())


def returns(name: str, update: Any) -> Any:
    return name, lambda state: update


async def refusal(graph: Any, input: Any = None) -> InvalidUpdateError:
    with pytest.raises(InvalidUpdateError) as caught:
        await graph.ainvoke({} if input is None else input, THREAD)
    return caught.value


# -- updates of nodes ----------------------------------------------------------------------------------


async def test_an_update_that_does_not_fit_is_refused_with_node_and_field() -> None:
    error = await refusal(graph_of(returns("ask", {"customer": 5})))
    assert str(error) == (
        "the key 'customer' would hold what schema 'Order' refuses: "
        "customer: Input should be a valid string, not 5 (written by 'ask' in step 1)"
    )
    assert error.code is ErrorCode.INVALID_GRAPH_NODE_RETURN_VALUE


async def test_the_error_gives_the_path_to_each_fault() -> None:
    lines = [Line(item="tea"), {"item": "milk", "amount": 0}, {"amount": 2}]
    error = await refusal(graph_of(returns("fill", {"lines": lines})))
    assert "refuses: lines[1].amount: Input should be greater than 0, not 0; lines[2].item: Field" in str(
        error
    )


async def test_what_pydantic_raised_is_among_the_causes() -> None:
    error = await refusal(graph_of(returns("ask", {"customer": 5})))
    assert error.__cause__ is not None
    assert isinstance(error.__cause__.__cause__, ValidationError)


async def test_nothing_of_a_refused_update_is_stored() -> None:
    graph = graph_of(returns("ask", {"customer": 5, "total": 1}))
    await refusal(graph)
    state = await graph.aget_state(THREAD)
    assert (state.values, state.next) == ({"total": 0, "lines": []}, ("ask",))
    assert state.tasks[0].result is None


async def test_the_thread_of_a_refused_update_stays_usable() -> None:
    updates = [{"customer": 5}, {"customer": "Ada"}, {"customer": "Eve"}]
    graph = graph_of(("ask", lambda state: updates.pop(0)))
    await refusal(graph)
    assert (await graph.ainvoke(None, THREAD))["customer"] == "Ada"
    assert (await graph.ainvoke({}, THREAD))["customer"] == "Eve"


async def test_siblings_of_a_refused_update_do_not_run_again() -> None:
    ran: list[str] = []

    def good(state: Order) -> Any:
        ran.append("good")
        return {"total": 2}

    def bad(state: Order) -> Any:
        ran.append("bad")
        return {"customer": 5 if ran.count("bad") == 1 else "Ada"}

    builder = StateGraph(Order).add_node(good).add_node(bad).add_edge(START, "good").add_edge(START, "bad")
    graph = builder.compile(InMemorySaver())
    await refusal(graph)
    assert (await graph.ainvoke(None, THREAD))["total"] == 2
    assert sorted(ran) == ["bad", "bad", "good"]


async def test_with_a_reducer_it_is_the_reduced_value_that_has_to_fit() -> None:
    graph = graph_of(returns("charge", {"total": 60}))
    await graph.ainvoke({}, THREAD)
    error = await refusal(graph)
    assert "total: Input should be less than or equal to 100, not 120" in str(error)
    assert (await graph.aget_state(THREAD)).values["total"] == 60


async def test_an_update_may_have_another_type_than_the_state() -> None:
    def append(log: list[str], word: str) -> list[str]:
        return [*log, word]

    class Diary(BaseModel):
        log: Annotated[list[str], append] = []

    graph = graph_of(returns("write", {"log": "b"}), schema=Diary)
    assert await graph.ainvoke({"log": "a"}, THREAD) == {"log": ["a", "b"]}


async def test_what_is_kept_is_what_was_written_and_nodes_get_what_pydantic_makes_of_it() -> None:
    seen: list[Any] = []
    graph = graph_of(returns("fill", {"lines": [{"item": "tea", "amount": "2"}]}), ("look", seen.append))
    assert (await graph.ainvoke({}, THREAD))["lines"] == [{"item": "tea", "amount": "2"}]
    assert seen[0].lines == [Line(item="tea", amount=2)]


async def test_a_conditional_edge_does_not_see_a_value_that_is_refused() -> None:
    builder = StateGraph(Order).add_node(*returns("ask", {"customer": 5})).add_edge(START, "ask")
    builder.add_conditional_edges("ask", lambda state: END, [END])
    error = await refusal(builder.compile(InMemorySaver()))
    assert "refuses: customer" in str(error)
    assert "in node 'ask'" in error.__notes__[0]


async def test_without_a_saver_an_update_that_does_not_fit_is_refused_too() -> None:
    graph = graph_of(returns("ask", {"customer": 5})).with_checkpointer(None)
    with pytest.raises(InvalidUpdateError, match="refuses: customer"):
        await graph.ainvoke({})


# -- updates from elsewhere ----------------------------------------------------------------------------


async def test_an_input_that_does_not_fit_is_refused_before_any_node_runs() -> None:
    seen: list[Any] = []
    graph = graph_of(("look", seen.append))
    assert "refuses: customer" in str(await refusal(graph, {"customer": 5}))
    assert seen == []
    assert "customer" not in (await graph.aget_state(THREAD)).values
    assert (await graph.ainvoke({"customer": "Ada"}, THREAD))["customer"] == "Ada"


async def test_an_update_from_outside_is_refused_as_a_node_would_be() -> None:
    graph = graph_of(returns("ask", {"customer": "Ada"}))
    await graph.ainvoke({}, THREAD)
    before = await graph.aget_state(THREAD)
    with pytest.raises(InvalidUpdateError, match=r"refuses: customer.*written by 'ask'"):
        await graph.aupdate_state(THREAD, {"customer": 5})
    assert await graph.aget_state(THREAD) == before


async def test_an_input_schema_of_its_own_holds_for_the_input_alone() -> None:
    class Wish(BaseModel):
        customer: Annotated[str, Field(max_length=3)]

    class State(TypedDict, total=False):
        customer: str

    builder = StateGraph(State, input_schema=Wish).add_node(*returns("rename", {"customer": "Lovelace"}))
    graph = builder.add_edge(START, "rename").compile(InMemorySaver())
    assert await graph.ainvoke(Wish(customer="Ada"), THREAD) == {"customer": "Lovelace"}
    assert "schema 'Wish' refuses: customer: String" in str(await refusal(graph, {"customer": "Lovelace"}))


async def test_an_input_may_overwrite_what_its_schema_takes() -> None:
    class Wish(BaseModel):
        log: list[str] = []

    class State(TypedDict, total=False):
        log: Annotated[list[str], operator.add]

    builder = StateGraph(State, input_schema=Wish).add_node(*returns("write", {"log": ["b"]}))
    graph: Any = builder.add_edge(START, "write").compile(InMemorySaver())
    await graph.ainvoke({"log": ["a"]}, THREAD)
    assert await graph.ainvoke({"log": Overwrite(["c"])}, THREAD) == {"log": ["c", "b"]}
    assert "refuses: log[0]: Input" in str(await refusal(graph, {"log": Overwrite([1])}))


async def test_private_keys_are_held_to_the_model_that_declares_them() -> None:
    class Draft(BaseModel):
        words: int = 0

    def read(draft: Draft) -> None: ...

    builder = StateGraph(Order).add_sequence([returns("write", {"words": "many"}), ("read", read)])
    graph = builder.add_edge(START, "write").compile(InMemorySaver())
    assert "schema 'Draft' refuses: words" in str(await refusal(graph))


# -- which rules count ---------------------------------------------------------------------------------


class Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=str.upper)

    after: int = 0
    before: int = 0
    plain: Any = 0
    wrap: int = 0
    inline: Annotated[str, BeforeValidator(str.strip)] = "x"
    kind: Annotated[Line | None, Field(description="no rule")] = None
    choice: Literal["a", "b"] = Field(default="a", validation_alias=AliasChoices("x", "y"))
    strict: int = Field(default=0, strict=True)

    @field_validator("after")
    @classmethod
    def _after(cls, value: int) -> int:
        assert value != 7
        return value

    @field_validator("before", mode="before")
    @classmethod
    def _before(cls, value: Any) -> Any:
        assert value != "7"
        return value

    @field_validator("plain", mode="plain")
    @classmethod
    def _plain(cls, value: Any) -> Any:
        assert value != 7
        return value

    @field_validator("wrap", mode="wrap")
    @classmethod
    def _wrap(cls, value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
        assert handler(value) != 7
        return value


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("after", 8, 7),
        ("before", "8", "7"),
        ("plain", "7", 7),
        ("wrap", "8", "7"),
        ("inline", " y ", 5),
        ("kind", {"item": "tea"}, {"name": "tea"}),
        ("choice", "b", "c"),
        ("strict", 1, "1"),
    ],
)
async def test_all_rules_of_a_field_count(key: str, good: Any, bad: Any) -> None:
    assert (await graph_of(returns("node", {key: good}), schema=Rules).ainvoke({}, THREAD))[key] == good
    assert f"refuses: {key}" in str(await refusal(graph_of(returns("node", {key: bad}), schema=Rules)))


async def test_what_else_a_validator_raises_is_a_refusal_as_well() -> None:
    class Strange(Exception):
        errors: Any = staticmethod(list)  # looks like Pydantic's and is not

    def refuse(value: Any) -> Any:
        raise Strange("no, thanks")

    class Picky(BaseModel):
        gift: Annotated[Any, BeforeValidator(refuse)] = None

    error = await refusal(graph_of(returns("give", {"gift": 1}), schema=Picky))
    assert "refuses: gift: Strange: no, thanks" in str(error)


async def test_a_discriminated_union_tells_by_its_tag() -> None:
    class Cat(BaseModel):
        kind: Literal["cat"]

    class Dog(BaseModel):
        kind: Literal["dog"]

    class Home(BaseModel):
        pet: Cat | Dog | None = Field(default=None, discriminator="kind")

    error = await refusal(graph_of(returns("adopt", {"pet": {"kind": "cow"}}), schema=Home))
    assert "pet: Input tag 'cow' found using 'kind'" in str(error)


class Range(BaseModel):
    low: int = 0
    high: int = 0

    @field_validator("high")
    @classmethod
    def _is_above(cls, value: int, info: ValidationInfo) -> int:
        assert value >= info.data["low"]
        return value

    @model_validator(mode="after")
    def _is_narrow(self) -> "Range":
        assert self.high - self.low < 10
        return self


@pytest.mark.parametrize("high", [-1, 20])
async def test_rules_over_several_fields_are_asked_when_a_node_gets_the_state(high: int) -> None:
    graph = graph_of(returns("set", {"high": high}), returns("read", None), schema=Range)
    error = await refusal(graph)
    assert isinstance(error, StateValidationError)
    assert (error.node, error.values) == ("read", {"high": high})


# -- what was stored before the model changed ----------------------------------------------------------


class Loose(BaseModel):
    customer: Any = None
    total: Any = 0
    lines: Annotated[list[Any], operator.add] = []


async def outgrown(**values: Any) -> Any:
    """A graph with a thread that it would no longer write: `read` is next."""
    saver = InMemorySaver()
    await graph_of(returns("read", None), schema=Loose, saver=saver).aupdate_state(THREAD, values, START)
    return graph_of(("read", lambda state: {"customer": state.customer.upper()}), saver=saver)


async def test_a_stored_value_that_no_longer_fits_is_a_typed_error_with_the_raw_values() -> None:
    graph = await outgrown(customer=5, lines=[{"item": "tea"}])
    with pytest.raises(StateValidationError) as caught:
        await graph.ainvoke(None, THREAD)
    error = caught.value
    assert (error.node, error.values) == ("read", {"customer": 5, "total": 0, "lines": [{"item": "tea"}]})
    assert [found["loc"] for found in error.errors] == [("customer",)]
    assert "the state is not what node 'read' takes" in str(error)
    assert isinstance(error.__cause__, ValidationError)
    assert pickle.loads(pickle.dumps(error)).values == error.values


async def test_a_thread_that_no_longer_fits_can_be_looked_at_and_mended() -> None:
    graph = await outgrown(customer=5, lines=["tea"])
    assert (await graph.aget_state(THREAD)).values["customer"] == 5
    mended = {"customer": "Ada", "lines": Overwrite([{"item": "tea"}])}
    await graph.aupdate_state(THREAD, mended, as_node=START)
    assert (await graph.ainvoke(None, THREAD))["customer"] == "ADA"


async def test_new_input_may_replace_a_value_that_no_longer_fits() -> None:
    graph = await outgrown(customer=5)
    assert (await graph.ainvoke({"customer": "Ada"}, THREAD))["customer"] == "ADA"


async def test_a_state_that_does_not_fit_is_not_tried_again_by_default() -> None:
    with pytest.raises(StateValidationError) as caught:
        await (await outgrown(customer=5)).ainvoke(None, THREAD)
    assert not default_retry_on(caught.value)


async def test_a_dataclass_that_cannot_be_made_tells_the_raw_values_as_well() -> None:
    @dataclass
    class Pair:
        left: int
        right: int

    builder = StateGraph(Pair).add_node("read", lambda state: None).add_edge(START, "read")
    with pytest.raises(StateValidationError) as caught:
        await builder.compile().ainvoke({"left": 1})  # type: ignore[arg-type]
    assert (caught.value.values, caught.value.errors) == ({"left": 1}, ())


# -- channels ------------------------------------------------------------------------------------------


async def test_a_channel_in_an_annotation_keeps_its_ways() -> None:
    class Flash(BaseModel):
        note: Annotated[int | None, EphemeralValue(int)] = None
        kept: int = 0

    seen: list[Any] = []

    def look(state: Flash) -> None:
        seen.append(state.note)

    graph = graph_of(returns("flash", {"note": 1}), ("look", look), ("again", look), schema=Flash)
    await graph.ainvoke({}, THREAD)
    assert seen == [1, None]
    assert "refuses: note" in str(await refusal(graph_of(returns("flash", {"note": "x"}), schema=Flash)))


def test_other_schemas_keep_the_channels_they_ask_for() -> None:
    class State(TypedDict):
        n: int

    graph = StateGraph(State).add_node("a", lambda state: None).add_edge(START, "a").compile()
    assert type(graph.channels["n"]) is LastValue
