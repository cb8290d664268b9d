"""Runs that go on: which calls run again, which answers reach which question, what is refused."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import CallOrderError, InvalidResumeError, UnknownInterruptError
from aiograph.func import entrypoint, task
from aiograph.graph import START, StateGraph
from aiograph.types import Command, Durability, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
runs = Counter[str]()


class BrokenError(Exception):
    """What tasks and workflows raise here."""


@pytest.fixture(autouse=True)
def fresh_runs() -> None:
    runs.clear()


@task
async def step(name: str) -> str:
    runs[name] += 1
    return name.upper()


@task
def step_sync(name: str) -> str:
    runs[name] += 1
    return name.upper()


@task
async def ask(name: str) -> str:
    runs[name] += 1
    return f"{name}: {interrupt(f'{name}?')}"


@task
async def break_once(name: str) -> str:
    runs[name] += 1
    if runs[name] == 1:
        raise BrokenError(name)
    return name.upper()


def entry(function: Callable[..., Any], saver: Any = None, **options: Any) -> Any:
    return entrypoint(saver or InMemorySaver(), name="work", **options)(function)


def asked(result: Any) -> dict[str, str]:
    """The questions of a run that has stopped, by what is asked: their ids."""
    return {question.value: question.id for question in result["__interrupt__"]}


# -- after a failure -------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_finished_calls_do_not_run_again_and_failed_ones_do(durability: Durability) -> None:
    async def work(x: int) -> Any:
        return await asyncio.gather(step("a"), step_sync("b")), await break_once("c"), await step("d")

    graph = entry(work, durability=durability)
    with pytest.raises(BrokenError, match="c"):
        await graph.ainvoke(1, THREAD)
    assert await graph.ainvoke(None, THREAD) == (["A", "B"], "C", "D")
    assert runs == {"a": 1, "b": 1, "c": 2, "d": 1}


async def test_a_failure_that_was_caught_is_raised_again_by_running_again() -> None:
    async def work(x: int) -> Any:
        try:
            found = await break_once("a")
        except BrokenError:
            found = "caught"
        await break_once("b")
        return found

    graph = entry(work)
    with pytest.raises(BrokenError, match="b"):
        await graph.ainvoke(1, THREAD)
    assert await graph.ainvoke(None, THREAD) == "A"


async def test_what_tasks_have_called_is_found_again_as_well() -> None:
    @task
    async def both(name: str) -> Any:
        runs[name] += 1
        return await step(f"{name}1"), await break_once(f"{name}2")

    async def work(x: int) -> Any:
        return await both("a")

    graph = entry(work)
    with pytest.raises(BrokenError, match="a2"):
        await graph.ainvoke(1, THREAD)
    assert await graph.ainvoke(None, THREAD) == ("A1", "A2")
    assert runs == {"a": 2, "a1": 1, "a2": 2}


class State(TypedDict):
    log: list[str]


async def test_what_nodes_of_a_graph_have_called_is_found_again() -> None:
    async def node(state: State) -> Any:
        return {"log": [await step("a"), await break_once("b")]}

    graph = StateGraph(State).add_node("node", node).add_edge(START, "node").compile(InMemorySaver())
    with pytest.raises(BrokenError, match="b"):
        await graph.ainvoke({"log": []}, THREAD)
    assert await graph.ainvoke(None, THREAD) == {"log": ["A", "B"]}
    assert runs == {"a": 1, "b": 2}


async def test_new_input_starts_anew() -> None:
    async def work(x: int) -> Any:
        return await step("a"), await break_once("b")

    graph = entry(work)
    with pytest.raises(BrokenError, match="b"):
        await graph.ainvoke(1, THREAD)
    await graph.ainvoke(2, THREAD)
    assert runs == {"a": 2, "b": 2}


async def test_a_finished_thread_runs_nothing_again() -> None:
    async def work(x: int) -> Any:
        return await step("a")

    graph = entry(work)
    assert await graph.ainvoke(1, THREAD) == await graph.ainvoke(None, THREAD) == "A"
    assert runs == {"a": 1}


async def test_a_call_that_is_found_again_is_not_shown() -> None:
    async def work(x: int) -> Any:
        return await step("a"), await break_once("b")

    graph = entry(work)
    with pytest.raises(BrokenError, match="b"):
        await graph.ainvoke(1, THREAD)
    chunks = [chunk async for chunk in graph.astream(None, THREAD, stream_mode=["updates", "tasks"])]
    assert [chunk["name"] for mode, chunk in chunks if mode == "tasks"] == [
        "work",
        "break_once",
        "break_once",
        "work",
    ]
    assert [chunk for mode, chunk in chunks if mode == "updates"] == [
        {"break_once": "B"},
        {"work": ("A", "B")},
    ]


async def test_a_result_that_cannot_be_stored_fails_its_call() -> None:
    @task
    async def make() -> Any:
        return object()

    async def work(x: int) -> Any:
        try:
            await make()
        except Exception as error:
            return str(error)

    assert "cannot store" in await entry(work).ainvoke(1, THREAD)


# -- the order of calls ------------------------------------------------------------------------------------


def changing(*orders: Any) -> Callable[[int], Any]:
    """Calls other tasks each time it runs, and fails but for the last time."""
    attempts = iter(orders)

    async def work(x: int) -> Any:
        order = next(attempts)
        found = [await each(str(place)) for place, each in enumerate(order)]
        if order is not orders[-1]:
            raise BrokenError
        return found

    return work


async def test_a_changed_order_of_calls_is_refused_with_both_names() -> None:
    graph = entry(changing([step, step_sync], [step_sync, step]))
    with pytest.raises(BrokenError):
        await graph.ainvoke(1, THREAD)
    with pytest.raises(
        CallOrderError, match=r"call 0 of 'work' was 'step' .* now it is 'step_sync'"
    ) as raised:
        await graph.ainvoke(None, THREAD)
    assert (raised.value.place, raised.value.recorded, raised.value.called) == (0, "step", "step_sync")


async def test_a_changed_order_is_refused_even_if_the_code_swallows_that() -> None:
    calls = iter([step, step_sync])

    async def work(x: int) -> Any:
        try:
            await next(calls)("a")
        except Exception:
            return "went on"
        raise BrokenError

    graph = entry(work)
    with pytest.raises(BrokenError):
        await graph.ainvoke(1, THREAD)
    with pytest.raises(CallOrderError):
        await graph.ainvoke(None, THREAD)


async def test_calls_may_be_added_at_the_end() -> None:
    graph = entry(changing([step], [step, step_sync]))
    with pytest.raises(BrokenError):
        await graph.ainvoke(1, THREAD)
    assert await graph.ainvoke(None, THREAD) == ["0", "1"]
    assert runs == {"0": 1, "1": 1}


async def test_a_call_that_failed_may_be_replaced() -> None:
    calls = iter([break_once, step])

    async def work(x: int) -> Any:
        return await next(calls)("a")

    graph = entry(work)
    with pytest.raises(BrokenError):
        await graph.ainvoke(1, THREAD)
    assert await graph.ainvoke(None, THREAD) == "A"


async def test_another_task_in_the_place_of_one_that_has_asked_is_refused() -> None:
    calls = iter([ask, step])

    async def work(x: int) -> Any:
        return await next(calls)("a")

    graph = entry(work)
    await graph.ainvoke(1, THREAD)
    with pytest.raises(CallOrderError, match=r"was 'ask' .* 'step'"):
        await graph.ainvoke(Command(resume=1), THREAD)


# -- questions -----------------------------------------------------------------------------------------------


async def test_an_entrypoint_asks_and_goes_on_with_the_answer() -> None:
    async def work(x: int) -> Any:
        return await step("a"), interrupt("well?"), await step("b")

    graph = entry(work)
    assert asked(await graph.ainvoke(1, THREAD)).keys() == {"well?"}
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == ("A", "yes", "B")
    assert runs == {"a": 1, "b": 1}


@pytest.mark.parametrize("is_sync", [True, False])
async def test_a_task_asks(is_sync: bool) -> None:
    async def later(x: int) -> Any:
        return await step("a"), await ask("b")

    def now(x: int) -> Any:
        return step("a").result(), ask("b").result()

    graph = entry(now if is_sync else later)
    assert asked(await graph.ainvoke(1, THREAD)).keys() == {"b?"}
    assert [question.value for question in (await graph.aget_state(THREAD)).interrupts] == ["b?"]
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == ("A", "b: yes")
    assert runs == {"a": 1, "b": 2}


async def all_three(x: int) -> Any:
    return await asyncio.gather(ask("a"), ask("b"), step("c"))


async def test_several_tasks_ask_at_once_and_the_others_finish() -> None:
    graph = entry(all_three)
    questions = asked(await graph.ainvoke(1, THREAD))
    assert questions.keys() == {"a?", "b?"}
    answers = {questions["a?"]: 1, questions["b?"]: 2}
    assert await graph.ainvoke(Command(resume=answers), THREAD) == ["a: 1", "b: 2", "C"]
    assert runs == {"a": 2, "b": 2, "c": 1}


async def test_one_after_the_other_is_answered_and_only_who_is_runs_again() -> None:
    graph = entry(all_three)
    questions = asked(await graph.ainvoke(1, THREAD))
    left = asked(await graph.ainvoke(Command(resume={questions["b?"]: 2}), THREAD))
    assert left == {"a?": questions["a?"]}
    assert runs == {"a": 1, "b": 2, "c": 1}
    assert await graph.ainvoke(Command(resume=1), THREAD) == ["a: 1", "b: 2", "C"]
    assert runs == {"a": 2, "b": 2, "c": 1}


async def test_without_an_answer_nobody_runs_again() -> None:
    graph = entry(all_three)
    first = await graph.ainvoke(1, THREAD)
    assert asked(await graph.ainvoke(None, THREAD)) == asked(first)
    assert runs == {"a": 1, "b": 1, "c": 1}


async def test_an_answer_that_could_be_for_either_is_refused() -> None:
    graph = entry(all_three)
    await graph.ainvoke(1, THREAD)
    with pytest.raises(UnknownInterruptError, match="2 questions"):
        await graph.ainvoke(Command(resume="?"), THREAD)


async def test_a_task_asks_several_times() -> None:
    @task
    async def twice() -> Any:
        return interrupt("first"), interrupt("second")

    async def work(x: int) -> Any:
        return await twice()

    graph = entry(work)
    assert asked(await graph.ainvoke(1, THREAD)).keys() == {"first"}
    assert asked(await graph.ainvoke(Command(resume=1), THREAD)).keys() == {"second"}
    assert await graph.ainvoke(Command(resume=2), THREAD) == (1, 2)


async def test_tasks_ask_at_any_depth() -> None:
    @task
    async def deeper(n: int) -> Any:
        return interrupt("deep?") if n == 0 else await deeper(n - 1)

    async def work(x: int) -> Any:
        return await deeper(5)

    graph = entry(work)
    assert asked(await graph.ainvoke(1, THREAD)).keys() == {"deep?"}
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == "yes"


async def test_a_graph_that_a_task_runs_asks() -> None:
    @entrypoint()
    async def inner(x: str) -> Any:
        return await step(x), await ask(f"in {x}")

    @task
    async def run(x: str) -> Any:
        runs["run"] += 1
        return await inner.ainvoke(x)

    async def work(x: int) -> Any:
        return await asyncio.gather(run("a"), run("b"))

    graph = entry(work)
    questions = asked(await graph.ainvoke(1, THREAD))
    await graph.ainvoke(Command(resume={questions["in b?"]: 2}), THREAD)
    result = await graph.ainvoke(Command(resume={questions["in a?"]: 1}), THREAD)
    assert result == [("A", "in a: 1"), ("B", "in b: 2")]
    assert runs == {"a": 1, "b": 1, "in a": 2, "in b": 2, "run": 4}


async def test_a_question_cannot_be_swallowed() -> None:
    async def work(x: int) -> Any:
        try:
            await ask("a")
        except BaseException:
            return "went on"

    graph = entry(work)
    assert asked(await graph.ainvoke(1, THREAD)).keys() == {"a?"}


async def test_a_question_of_a_task_that_nobody_waits_for_stops_the_run() -> None:
    async def work(x: int) -> Any:
        ask("a")
        return "end"

    graph = entry(work)
    assert asked(await graph.ainvoke(1, THREAD)).keys() == {"a?"}
    assert await graph.ainvoke(Command(resume=1), THREAD) == "end"


async def test_a_question_survives_the_failure_of_another_task() -> None:
    async def work(x: int) -> Any:
        asking, breaking = ask("a"), break_once("b")
        return await breaking, await asking

    graph = entry(work)
    with pytest.raises(BrokenError, match="b"):
        await graph.ainvoke(1, THREAD)
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == ("B", "a: yes")
    assert runs == {"a": 2, "b": 2}


async def test_an_answer_is_kept_when_the_run_fails_after_it() -> None:
    saver = InMemorySaver()

    async def work(x: int) -> Any:
        found = await ask("a")
        return found, await break_once("b")

    graph = entry(work, saver)
    await graph.ainvoke(1, THREAD)
    with pytest.raises(BrokenError, match="b"):
        await graph.ainvoke(Command(resume="yes"), THREAD)
    assert await graph.ainvoke(None, THREAD) == ("a: yes", "B")
    assert runs == {"a": 2, "b": 2}


async def test_an_answer_that_does_not_fit_leaves_the_question_open() -> None:
    @task
    async def number() -> int:
        found: int = interrupt("how many?", response_schema=int)
        return found

    async def work(x: int) -> Any:
        return await step("a"), await number()

    graph = entry(work)
    await graph.ainvoke(1, THREAD)
    with pytest.raises(InvalidResumeError):
        await graph.ainvoke(Command(resume="many"), THREAD)
    assert await graph.ainvoke(Command(resume=3), THREAD) == ("A", 3)
    assert runs == {"a": 1}


async def test_tasks_that_ask_are_shown_with_their_questions() -> None:
    async def work(x: int) -> Any:
        return await ask("a")

    chunks = [chunk async for chunk in entry(work).astream(1, THREAD, stream_mode=["updates", "tasks"])]
    results = [chunk for mode, chunk in chunks if mode == "tasks" and "error" in chunk]
    assert [(each["name"], [question["value"] for question in each["interrupts"]]) for each in results] == [
        ("ask", ["a?"]),
        ("work", ["a?"]),
    ]
    assert [list(chunk) for mode, chunk in chunks if mode == "updates"] == [["__interrupt__"]]


# -- what comes before ---------------------------------------------------------------------------------------


async def test_what_comes_before_is_the_same_when_a_run_goes_on() -> None:
    async def work(x: int, previous: int | None) -> int:
        await break_once(str(x))
        return x + (previous or 0)

    graph = entry(work)
    for x in (1, 2):
        with pytest.raises(BrokenError):
            await graph.ainvoke(x, THREAD)
        await graph.ainvoke(None, THREAD)
    assert (await graph.aget_state(THREAD)).values == 3
