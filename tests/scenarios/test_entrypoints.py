"""Workflows as functions: what `@entrypoint` makes of one, on a thread and without."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import EmptyInputError, NodeTimeoutError
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.runtime import Runtime, get_runtime
from aiograph.store.memory import InMemoryStore
from aiograph.types import Durability, RetryPolicy, RunnableConfig, StreamMode, StreamWriter

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


async def test_a_function_becomes_a_graph_of_one_node() -> None:
    @entrypoint()
    async def double(x: int) -> int:
        return 2 * x

    assert await double.ainvoke(4) == 8
    assert list(double.nodes) == ["double"]
    assert {"__start__", "__end__", "__previous__"} <= double.channels.keys()
    assert double.name == "double"


async def test_a_synchronous_function_runs_off_the_loop() -> None:
    @entrypoint()
    def has_loop(x: int) -> bool:
        return asyncio._get_running_loop() is not None

    assert await has_loop.ainvoke(1) is False


def test_a_function_of_either_colour_runs_in_either() -> None:
    @entrypoint()
    async def later(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    @entrypoint()
    def now(x: int) -> int:
        return x + 1

    assert later.invoke(1) == now.invoke(1) == 2


async def test_the_next_run_gets_what_the_last_one_returned() -> None:
    @entrypoint(InMemorySaver())
    async def total(x: int, *, previous: int | None) -> int:
        return x + (previous or 0)

    assert [await total.ainvoke(x, THREAD) for x in (1, 2, 3)] == [1, 3, 6]
    assert await total.ainvoke(5, {"configurable": {"thread_id": "another"}}) == 5


async def test_what_is_returned_and_what_is_kept_may_differ() -> None:
    @entrypoint(InMemorySaver())
    async def counted(x: str, previous: int = 0) -> entrypoint.final[str, int]:
        number = (previous or 0) + 1
        return entrypoint.final(value=f"{x} {number}", save=number)

    assert [await counted.ainvoke(x, THREAD) for x in "ab"] == ["a 1", "b 2"]
    assert (await counted.aget_state(THREAD)).values == "b 2"


async def test_the_runtime_knows_what_comes_before_as_well() -> None:
    @task
    async def look() -> Any:
        return get_runtime().previous

    @entrypoint(InMemorySaver())
    async def before(x: int, runtime: Runtime[Any]) -> Any:
        return entrypoint.final(value=(runtime.previous, await look()), save=x)

    assert await before.ainvoke(1, THREAD) == (None, None)
    assert await before.ainvoke(2, THREAD) == (1, 1)


async def test_without_a_saver_there_is_nothing_before() -> None:
    @entrypoint()
    async def before(x: int, previous: Any) -> Any:
        return previous

    assert await before.ainvoke(1) is None
    assert await before.ainvoke(2) is None


async def test_a_failed_run_keeps_what_the_one_before_has_saved() -> None:
    @entrypoint(InMemorySaver())
    async def total(x: int, previous: int | None) -> int:
        if x < 0:
            raise ValueError(x)
        return x + (previous or 0)

    await total.ainvoke(1, THREAD)
    with pytest.raises(ValueError, match="-5"):
        await total.ainvoke(-5, THREAD)
    assert await total.ainvoke(2, THREAD) == 3


async def test_nothing_is_a_result_like_any_other() -> None:
    @entrypoint(InMemorySaver())
    async def nothing(x: int, previous: Any) -> Any:
        return None if x else previous

    assert await nothing.ainvoke(1, THREAD) is None
    assert [chunk async for chunk in nothing.astream(1, THREAD)] == [{"nothing": None}]
    assert [chunk async for chunk in nothing.astream(1, THREAD, stream_mode="values")] == [None]


async def test_an_update_from_outside_sets_the_result_and_what_comes_before() -> None:
    @entrypoint(InMemorySaver())
    async def total(x: int, previous: int | None) -> int:
        return x + (previous or 0)

    await total.aupdate_state(THREAD, 40)
    assert (await total.aget_state(THREAD)).values == 40
    assert (await total.aget_state(THREAD)).next == ()
    assert await total.ainvoke(2, THREAD) == 42
    await total.aupdate_state(THREAD, entrypoint.final(value="shown", save=10))
    assert (await total.aget_state(THREAD)).values == "shown"
    assert await total.ainvoke(1, THREAD) == 11


async def test_the_history_of_a_thread_has_an_input_and_a_result_for_each_run() -> None:
    @entrypoint(InMemorySaver())
    async def same(x: int) -> int:
        return x

    await same.ainvoke(1, THREAD)
    await same.ainvoke(2, THREAD)
    history = [state async for state in same.aget_state_history(THREAD)]
    assert [(state.values, state.next) for state in history] == [
        (2, ()),
        (1, ("same",)),
        (1, ()),
        (None, ("same",)),
    ]


@dataclass
class Tenant:
    name: str = "nobody"


async def test_a_function_is_given_what_it_asks_for_by_name() -> None:
    store = InMemoryStore()

    @entrypoint(store=store, context_schema=Tenant)
    async def look(
        x: int, config: RunnableConfig, store: Any, writer: StreamWriter, runtime: Runtime[Tenant]
    ) -> Any:
        writer("written")
        return config["metadata"]["langgraph_node"], store, runtime.context.name

    chunks = [
        chunk async for chunk in look.astream(1, context=Tenant("ann"), stream_mode=["custom", "values"])
    ]
    assert chunks == [("custom", "written"), ("values", ("look", store, "ann"))]


async def test_retry_and_timeout_apply_to_the_function() -> None:
    attempts = []

    @entrypoint(retry_policy=RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError))
    async def flaky(x: int) -> int:
        attempts.append(x)
        if len(attempts) < 3:
            raise OSError
        return x

    @entrypoint(timeout=0.01)
    async def slow(x: int) -> None:
        await asyncio.Event().wait()

    assert await flaky.ainvoke(1) == 1
    assert len(attempts) == 3
    with pytest.raises(NodeTimeoutError, match="slow"):
        await slow.ainvoke(1)


@pytest.mark.parametrize("mode", ["values", "updates"])
async def test_values_are_shown_at_the_end_only_and_updates_as_each_task_ends(mode: StreamMode) -> None:
    @task
    async def add(x: int) -> int:
        return x + 1

    @entrypoint()
    async def twice(x: int) -> int:
        return await add(await add(x))

    shown = [chunk async for chunk in twice.astream(1, stream_mode=mode)]
    assert shown == ([3] if mode == "values" else [{"add": 2}, {"add": 3}, {"twice": 3}])


class State(TypedDict):
    x: int


async def test_an_entrypoint_is_a_node_of_a_graph() -> None:
    @entrypoint()
    async def double(state: State) -> State:
        return {"x": 2 * state["x"]}

    graph = StateGraph(State).add_node("double", double).add_edge(START, "double").compile()
    assert await graph.ainvoke({"x": 2}) == {"x": 4}


async def test_drawn_it_is_one_node_between_start_and_end() -> None:
    @entrypoint()
    async def work(x: int) -> int:
        return x

    edges = work.get_graph().edges
    assert [(edge.source, edge.target) for edge in edges] == [("__start__", "work"), ("work", "__end__")]


def test_its_schemas_are_those_of_the_annotations() -> None:
    @entrypoint()
    async def work(x: dict[str, int]) -> entrypoint.final[str, list[int]]:
        return entrypoint.final(value="", save=[])

    assert work.get_input_jsonschema()["additionalProperties"] == {"type": "integer"}
    assert work.get_output_jsonschema()["type"] == "string"


@dataclass
class Invoice:
    number: int


@task
async def find(number: int) -> Invoice:
    return Invoice(number)


async def test_classes_that_annotations_mention_can_be_stored() -> None:
    @entrypoint(InMemorySaver())
    async def latest(number: int, previous: Invoice | None) -> Invoice:
        return previous or await find(number)

    assert await latest.ainvoke(1, THREAD) == Invoice(1)
    assert await latest.ainvoke(2, THREAD) == Invoice(1)


# -- what is refused -----------------------------------------------------------------------------------


def generates(x: int) -> Iterator[int]:
    yield x


async def generates_later(x: int) -> AsyncIterator[int]:
    yield x


def takes_nothing() -> None: ...


def takes_too_much(x: int, y: int) -> None: ...


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (generates, "is a generator"),
        (generates_later, "is a generator"),
        (takes_nothing, "takes no parameter"),
        (takes_too_much, "requires a parameter 'y'"),
        (lambda x: x, "has no name of its own"),
    ],
)
def test_functions_that_cannot_be_entrypoints_are_refused(function: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        entrypoint()(function)


def test_a_name_that_has_a_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match="reserved"):
        entrypoint(name="__end__")(takes_too_much)
    with pytest.raises(ValueError, match=r"'\|' and ':'"):
        entrypoint(name="a|b")(takes_too_much)


def test_the_decorator_without_its_parentheses_is_refused() -> None:
    with pytest.raises(TypeError, match="write @entrypoint\\(\\) with parentheses"):
        entrypoint(takes_nothing)  # type: ignore[arg-type]  # as is to be shown


def test_what_is_no_function_is_refused() -> None:
    with pytest.raises(TypeError, match="not of 3"):
        entrypoint()(3)  # type: ignore[call-overload]  # as is to be shown
    with pytest.raises(TypeError, match="a checkpointer is a saver"):
        entrypoint("here")  # type: ignore[arg-type]  # as is to be shown


async def test_no_input_on_a_fresh_thread_is_refused() -> None:
    @entrypoint(InMemorySaver())
    async def same(x: Any) -> Any:
        return x

    with pytest.raises(EmptyInputError):
        await same.ainvoke(None, THREAD)


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_the_durability_of_an_entrypoint_is_that_of_its_runs(durability: Durability) -> None:
    @entrypoint(InMemorySaver(), durability=durability)
    async def same(x: int, previous: int | None) -> int | None:
        return previous

    await same.ainvoke(1, THREAD)
    stored = [state.next async for state in same.aget_state_history(THREAD)]
    assert stored == ([()] if durability == "exit" else [(), ("same",)])
