"""Tools made of functions: what models are told of them, and what they are called with."""

import asyncio
import functools
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Annotated, Any, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field, ValidationError

from aiograph.errors import MissingExtraError
from aiograph.runtime import Runtime
from aiograph.store.base import BaseStore
from aiograph.store.memory import InMemoryStore
from aiograph.tools import (
    InjectedState,
    InjectedStore,
    InjectedToolCallId,
    ToolInvocationError,
    ToolRuntime,
    ToolTimeoutError,
    tool,
)
from aiograph.tools._runtime import runtime_by_hand
from aiograph.types import RunnableConfig


@tool
def add(a: int, b: int = 1) -> int:
    """Adds two numbers."""
    return a + b


# -- what models are told ------------------------------------------------------------------------------


def test_a_tool_is_named_and_described_as_its_function() -> None:
    assert (add.name, add.description) == ("add", "Adds two numbers.")


def test_the_schema_follows_from_the_signature() -> None:
    assert add.spec.parameters == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "default": 1}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_a_tool_may_have_another_name_and_description() -> None:
    @tool("plus", description="Sums up.", return_direct=True)
    def add(a: int) -> int:
        return a

    assert (add.name, add.description, add.return_direct) == ("plus", "Sums up.", True)


def test_descriptions_of_parameters_are_taken_from_the_docstring() -> None:
    @tool
    def search(query: str, limit: int = 3) -> str:
        """Searches the archive.

        All years are searched.

        Args:
            query: What to look for,
                in plain words.
            limit (int): How many.

        Returns:
            query: not this one
        """
        return query

    properties = search.spec.parameters["properties"]
    assert search.description == "Searches the archive.\n\nAll years are searched."
    assert properties["query"]["description"] == "What to look for, in plain words."
    assert properties["limit"]["description"] == "How many."


def test_a_docstring_may_be_left_in_one_piece() -> None:
    @tool(parse_docstring=False)
    def search(query: str) -> str:
        """Searches.

        Args:
            query: What.
        """
        return query

    assert search.description.endswith("query: What.")
    assert "description" not in search.spec.parameters["properties"]["query"]


def test_an_annotation_may_say_what_a_parameter_is_for() -> None:
    @tool
    def search(
        query: Annotated[str, "what"],
        limit: Annotated[int, Field(ge=1, description="how many")],
        page: int = Field(default=2, description="which"),
    ) -> str:
        """Searches."""
        return f"{query} {limit} {page}"

    properties = search.spec.parameters["properties"]
    assert [each["description"] for each in properties.values()] == ["what", "how many", "which"]
    assert search.invoke({"query": "x", "limit": 1}) == "x 1 2"


def test_titles_are_left_out_but_not_parameters_called_title() -> None:
    @tool
    def rename(title: str) -> str:
        """Renames."""
        return title

    assert rename.spec.parameters["properties"] == {"title": {"type": "string"}}


def test_parameters_may_have_any_name() -> None:
    @tool
    def odd(_private: int, copy: int, schema: int, model_config: int) -> tuple[int, ...]:
        """Odd."""
        return _private, copy, schema, model_config

    given = {"_private": 1, "copy": 2, "schema": 3, "model_config": 4}
    assert odd.invoke(given) == (1, 2, 3, 4)
    assert list(odd.spec.parameters["properties"]) == list(given)


def test_a_function_without_a_description_is_refused() -> None:
    with pytest.raises(ValueError, match="'bare' has no description"):

        @tool
        def bare() -> None: ...


def test_a_parameter_that_no_json_describes_is_refused() -> None:
    with pytest.raises(TypeError, match=r"'odd' has a parameter that no JSON describes"):

        @tool
        def odd(lock: threading.Thread) -> None:
            """Odd."""


def test_a_parameter_that_cannot_be_named_is_refused() -> None:
    with pytest.raises(TypeError, match="'a' cannot be passed by its name"):

        @tool
        def odd(a: int, /) -> None:
            """Odd."""


def test_a_method_has_to_be_bound() -> None:
    class Shop:
        def price(self, article: str) -> int:
            """Tells what an article costs."""
            return len(article)

    with pytest.raises(TypeError, match=r"tool\(thing.price\)"):
        tool(Shop.price)
    assert tool(Shop().price).invoke({"article": "tea"}) == 3


@pytest.mark.parametrize("wrong", [3, "text"])
def test_only_functions_can_be_made_tools(wrong: Any) -> None:
    with pytest.raises(TypeError, match="not of"):
        tool("name")(wrong)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(ValueError, match="no name of its own"):
        tool(lambda x: x)
    assert tool("same", description="Same.")(lambda x: x).invoke({"x": 1}) == 1


# -- what they are called with -------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"


@dataclass
class Point:
    x: int
    y: int = 0


class Order(BaseModel):
    article: str
    count: int = Field(default=1, ge=1)


def test_arguments_are_made_into_what_is_annotated() -> None:
    @tool
    def take(colour: Colour, point: Point, order: Order, day: date, many: tuple[int, ...]) -> Any:
        """Takes."""
        return colour, point, order, day, many

    given = {
        "colour": "red",
        "point": {"x": "1"},
        "order": {"article": "tea"},
        "day": "2026-01-02",
        "many": [1, 2],
    }
    wanted = (Colour.RED, Point(1), Order(article="tea"), date(2026, 1, 2), (1, 2))
    assert take.invoke(given) == wanted


class Line(TypedDict):
    article: str
    parts: NotRequired[list["Line"]]


def test_typed_dicts_are_checked_as_well() -> None:
    @tool
    def count(lines: list[Line], total: Annotated[Line | None, "all of them"] = None) -> int:
        """Counts."""
        return len(lines)

    assert count.invoke({"lines": [{"article": "tea", "parts": [{"article": "leaf"}]}]}) == 1
    with pytest.raises(ToolInvocationError, match=r"lines\.0\.parts\.0\.article: Field required"):
        count.invoke({"lines": [{"article": "tea", "parts": [{}]}]})


def test_defaults_are_the_functions_own() -> None:
    @tool
    def count(into: list[int] = []) -> int:  # noqa: B006  # shared between calls, which is the point
        """Counts."""
        into.append(1)
        return len(into)

    assert [count.invoke({}), count.invoke({})] == [1, 2]


def test_wrong_arguments_are_named_one_by_one() -> None:
    with pytest.raises(ToolInvocationError) as caught:
        add.invoke({"a": "x", "c": 1})
    assert caught.value.tool_name == "add"
    assert caught.value.tool_kwargs == {"a": "x", "c": 1}
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["a", "c"]


def test_a_function_may_take_whatever_is_given() -> None:
    @tool
    def collect(a: int, **rest: Any) -> dict[str, Any]:
        """Collects."""
        return {"a": a, **rest}

    assert collect.invoke({"a": 1, "b": 2}) == {"a": 1, "b": 2}


def test_what_may_be_given_can_be_said_by_a_model() -> None:
    @tool(args_schema=Order)
    def order(article: str, count: int) -> str:
        """Orders."""
        return f"{count} {article}"

    assert order.spec.parameters["required"] == ["article"]
    assert order.invoke({"article": "tea"}) == "1 tea"
    with pytest.raises(ToolInvocationError, match="count"):
        order.invoke({"article": "tea", "count": 0})


def test_what_may_be_given_can_be_said_by_a_json_schema() -> None:
    schema = {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]}

    @tool(args_schema=schema)
    def double(**given: float) -> float:
        """Doubles."""
        return given["x"] * 2

    assert double.spec.parameters == schema
    assert double.invoke({"x": 2}) == 4
    with pytest.raises(ToolInvocationError, match="x: Field required"):
        double.invoke({})


def test_no_other_schema_will_do() -> None:
    with pytest.raises(TypeError, match="a Pydantic model or a JSON schema"):

        @tool(args_schema=int)
        def odd(a: int) -> None:
            """Odd."""


# -- what is injected ----------------------------------------------------------------------------------


@tool
def curious(
    a: int,
    state: Annotated[dict[str, Any], InjectedState],
    name: Annotated[str, InjectedState("name")],
    store: Annotated[BaseStore, InjectedStore],
    call: Annotated[str, InjectedToolCallId],
    runtime: ToolRuntime[Any, Any],
    graph: Runtime[Any],
    config: RunnableConfig,
    other: BaseStore | None,
) -> Any:
    """Wants everything."""
    return state, name, store, call, runtime.context, graph.context, config, other


def test_a_model_sees_nothing_of_what_is_injected() -> None:
    assert list(curious.spec.parameters["properties"]) == ["a"]
    assert len(curious.injected) == 8


async def test_injected_parameters_are_filled_in() -> None:
    store, state = InMemoryStore(), {"name": "Ada"}
    config: RunnableConfig = {"tags": ["x"]}
    runtime = runtime_by_hand(config, Runtime(context=7, store=store), state=state, call_id="c1")
    found = await curious.ainvoke({"a": 1}, runtime=runtime)
    assert found == (state, "Ada", store, "c1", 7, 7, config, store)


async def test_what_a_model_gives_for_them_does_not_count() -> None:
    forged = dict.fromkeys(curious.injected, "forged")
    runtime = runtime_by_hand({}, Runtime(), state={"name": "Ada"}, call_id="c1")
    found = await curious.ainvoke({"a": 1, **forged}, runtime=runtime)
    assert found == ({"name": "Ada"}, "Ada", None, "c1", None, None, {}, None)


def test_forged_arguments_are_not_shown_in_errors() -> None:
    with pytest.raises(ToolInvocationError) as caught:
        curious.bind({"a": "x", "state": "secret"}, runtime_by_hand(state={"name": "Ada"}))
    assert "secret" not in str(caught.value)


def test_a_field_that_the_state_lacks_is_told() -> None:
    with pytest.raises(LookupError, match=r"the field 'name' of the state, which has \['other'\]"):
        curious.bind({"a": 1}, runtime_by_hand(state={"other": 1}))


def test_a_field_that_the_state_lacks_may_have_a_default() -> None:
    @tool
    def greet(name: Annotated[str, InjectedState("name")] = "you") -> str:
        """Greets."""
        return name

    assert greet.invoke({"name": "forged"}, runtime=runtime_by_hand(state={})) == "you"


def test_a_parameter_called_runtime_needs_no_annotation() -> None:
    def look(runtime):  # type: ignore[no-untyped-def]  # that is the point
        """Looks."""
        return runtime.state

    assert tool(look).invoke({"runtime": "forged"}, runtime=runtime_by_hand(state="true")) == "true"


def test_fields_of_an_object_are_injected_as_well() -> None:
    @tool
    def get(x: Annotated[int, InjectedState("x")]) -> int:
        """Gets."""
        return x

    assert get.invoke({}, runtime=runtime_by_hand(state=Point(4))) == 4


def test_a_schema_of_its_own_may_name_injected_fields() -> None:
    class Given(BaseModel):
        a: int
        state: Annotated[dict[str, Any], InjectedState]

    @tool(args_schema=Given)
    def show(a: int, state: dict[str, Any]) -> Any:
        """Shows."""
        return a, state

    assert list(show.spec.parameters["properties"]) == ["a"]
    assert show.invoke({"a": 1, "state": {}}, runtime=runtime_by_hand(state={"x": 1})) == (1, {"x": 1})


def test_what_is_wrong_with_injected_fields_is_not_told_as_if_the_model_had_given_them() -> None:
    class Given(BaseModel):
        a: int
        state: Annotated[dict[str, Any], InjectedState]

    @tool(args_schema=Given)
    def show(a: int, state: dict[str, Any]) -> Any:
        """Shows."""
        return a, state

    with pytest.raises(ValidationError):
        show.invoke({"a": 1}, runtime=runtime_by_hand(state="no dict"))
    with pytest.raises(ToolInvocationError) as caught:
        show.invoke({"a": "x"}, runtime=runtime_by_hand(state="no dict"))
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["a"]


# -- being called --------------------------------------------------------------------------------------


async def test_a_synchronous_tool_runs_off_the_loop() -> None:
    @tool
    def where() -> int:
        """Where."""
        return threading.get_ident()

    assert await where.ainvoke({}) != threading.get_ident()


async def test_an_asynchronous_tool_runs_on_the_loop() -> None:
    @tool
    async def where() -> Any:
        """Where."""
        return asyncio.get_running_loop()

    assert await where.ainvoke({}) is asyncio.get_running_loop()


async def test_partials_and_callable_objects_are_tools_too() -> None:
    class Adder:
        """Adds ten."""

        async def __call__(self, a: int) -> int:
            return a + 10

    def scale(a: int, factor: int) -> int:
        """Scales."""
        return a * factor

    made = [tool("adder")(Adder()), tool(functools.partial(scale, factor=2))]
    assert [await each.ainvoke({"a": 1}) for each in made] == [11, 2]
    assert made[1].description == "Scales."


def test_what_a_partial_passes_is_not_for_models_to_give() -> None:
    def scale(a: int, factor: int) -> int:
        """Scales."""
        return a * factor

    double = tool(functools.partial(scale, factor=2))
    assert list(double.spec.parameters["properties"]) == ["a"]
    assert double.invoke({"a": 1, "factor": 100}) == 2


def test_calling_a_tool_calls_its_function() -> None:
    assert add(1, b=2) == 3


async def test_what_a_tool_returns_after_its_time_is_discarded() -> None:
    @tool(timeout=0.01)
    async def hang() -> str:
        """Hangs."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"
        return "never"

    with pytest.raises(ToolTimeoutError):
        await hang.ainvoke({})


async def test_what_a_tool_raises_after_its_time_is_the_cause() -> None:
    @tool(timeout=0.01)
    async def hang() -> None:
        """Hangs."""
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError("no good end") from None

    with pytest.raises(ToolTimeoutError) as caught:
        await hang.ainvoke({})
    assert repr(caught.value.__cause__) == "ValueError('no good end')"


@pytest.mark.parametrize("limit", [0.01, timedelta(milliseconds=10)])
async def test_a_tool_that_hangs_is_cancelled_in_time(limit: Any) -> None:
    ended = asyncio.Event()

    @tool(timeout=limit)
    async def hang() -> None:
        """Hangs."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ToolTimeoutError, match=r"'hang' did not finish within its timeout of 0.01 s"):
        await hang.ainvoke({})
    assert ended.is_set()


async def test_a_synchronous_tool_that_hangs_is_given_up_on() -> None:
    released = threading.Event()

    @tool(timeout=0.01)
    def hang() -> None:
        """Hangs."""
        released.wait(10)

    with pytest.raises(ToolTimeoutError):
        await hang.ainvoke({})
    released.set()


async def test_a_timeout_of_the_tools_own_is_left_as_it_is() -> None:
    @tool(timeout=10)
    async def slow() -> None:
        """Slow."""
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine") as caught:
        await slow.ainvoke({})
    assert not isinstance(caught.value, ToolTimeoutError)


def test_a_timeout_of_nothing_is_refused() -> None:
    def quick() -> None:
        """Quick."""

    with pytest.raises(ValueError, match="must be above 0 seconds"):
        tool(timeout=0)(quick)


def test_annotations_that_cannot_be_found_are_named() -> None:
    made: dict[str, Callable[..., Any]] = {}
    exec("def odd(a: 'Nowhere'):\n    'Odd.'", made)
    with pytest.raises(TypeError, match=r"'odd' name something that cannot be found.*Nowhere"):
        tool(made["odd"])


def test_importing_tools_imports_neither_pydantic_nor_anything_of_others() -> None:
    heavy = ("pydantic", "mcp", "langchain_core", "openai", "anthropic")
    code = (
        f"import sys, aiograph.prebuilt, aiograph.tools.mcp; print([x for x in {heavy} if x in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_without_pydantic_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    with pytest.raises(MissingExtraError, match="'schema' extra"):
        tool(add.function or print)
