"""Nodes that ask: where a question may be asked, how it is answered, and how often nodes run for it."""

import asyncio
import operator
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import ConcurrentUpdateError, EmptyInputError, NodeTimeoutError, UnknownInterruptError
from aiograph.graph import START, StateGraph
from aiograph.types import Command, Durability, RetryPolicy, RunnableConfig, Send, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Runs(Counter[str]):
    """Makes nodes, and counts how often each has begun and ended."""

    def asking(self, name: str, questions: int = 1) -> Any:
        async def ask(state: State) -> State:
            self[name] += 1
            answers = [str(interrupt(f"{name} {n}")) for n in range(questions)]
            self[f"{name} ended"] += 1
            return {"log": [f"{name}: {' '.join(answers)}"]}

        return ask

    def asking_sync(self, name: str) -> Any:
        def ask(state: State) -> State:
            self[name] += 1
            return {"log": [f"{name}: {interrupt(f'{name} 0')}"]}

        return ask

    def quiet(self, name: str) -> Any:
        async def work(state: State) -> State:
            self[name] += 1
            return {"log": [name]}

        return work


def side_by_side(saver: Any, nodes: dict[str, Any], **options: Any) -> Any:
    builder: Any = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name)
    return builder.compile(saver, **options)


def one_node(node: Any, saver: Any = None, **options: Any) -> Any:
    saver = InMemorySaver() if saver is None else saver
    return StateGraph(State).add_node("node", node, **options).add_edge(START, "node").compile(saver)


def asked(output: Any) -> dict[str, str]:
    """The ids of the questions in an output, by what they ask."""
    return {question.value: question.id for question in output.get("__interrupt__", ())}


async def stored(saver: Any) -> list[Any]:
    """All that a saver holds."""
    return [found async for found in saver.alist(None)]


# -- where a question may be asked ---------------------------------------------------------------------


async def test_a_question_stops_the_run_and_its_answer_is_what_the_call_returns() -> None:
    graph = one_node(Runs().asking("a"))
    output = await graph.ainvoke({"log": ["begin"]}, THREAD)
    assert (output["log"], list(asked(output))) == (["begin"], ["a 0"])
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == {"log": ["begin", "a: yes"]}


async def test_the_questions_of_a_node_come_one_after_the_other() -> None:
    runs = Runs()
    graph = one_node(runs.asking("a", 3))
    outputs = [await graph.ainvoke({}, THREAD)]
    outputs += [await graph.ainvoke(Command(resume=answer), THREAD) for answer in "xyz"]
    assert [list(asked(output)) for output in outputs] == [["a 0"], ["a 1"], ["a 2"], []]
    assert outputs[-1] == {"log": ["a: x y z"]}
    assert (runs["a"], runs["a ended"]) == (4, 1)


async def test_each_question_has_an_id_of_its_own() -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {name: runs.asking(name, 2) for name in "ab"})
    first = asked(await graph.ainvoke({}, THREAD))
    second = asked(await graph.ainvoke(Command(resume=dict.fromkeys(first.values(), "x")), THREAD))
    assert len({*first.values(), *second.values()}) == 4
    assert all(len(each) == 32 for each in first.values())


async def test_parallel_nodes_ask_together_and_each_gets_its_own_answer() -> None:
    runs = Runs()
    nodes = {"a": runs.asking("a"), "b": runs.quiet("b"), "c": runs.asking("c")}
    graph = side_by_side(InMemorySaver(), nodes)
    ids = asked(await graph.ainvoke({}, THREAD))
    answers = {ids["c 0"]: "for c", ids["a 0"]: "for a"}
    output = await graph.ainvoke(Command(resume=answers), THREAD)
    assert output == {"log": ["a: for a", "b", "c: for c"]}
    assert runs == {"a": 2, "b": 1, "c": 2, "a ended": 1, "c ended": 1}


async def test_tasks_made_by_send_ask_each_for_itself() -> None:
    async def ask(number: Any) -> State:
        return {"log": [f"{number}: {interrupt(number)}"]}

    builder: Any = StateGraph(State).add_node("ask", ask)
    builder.add_conditional_edges(START, lambda state: [Send("ask", n) for n in range(3)], ["ask"])
    graph = builder.compile(InMemorySaver())
    questions = (await graph.ainvoke({}, THREAD))["__interrupt__"]
    answers = {question.id: question.value * 10 for question in reversed(questions)}
    assert await graph.ainvoke(Command(resume=answers), THREAD) == {"log": ["0: 0", "1: 10", "2: 20"]}


def test_synchronous_nodes_ask_under_invoke() -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {name: runs.asking_sync(name) for name in "ab"})
    ids = asked(graph.invoke({}, THREAD))
    answers = {ids["a 0"]: 1, ids["b 0"]: 2}
    assert graph.invoke(Command(resume=answers), THREAD) == {"log": ["a: 1", "b: 2"]}


@pytest.mark.parametrize("inline", [False, True])
async def test_synchronous_nodes_ask_under_ainvoke(inline: bool) -> None:
    graph = one_node(Runs().asking_sync("a"), inline=inline)
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["a 0"]
    assert await graph.ainvoke(Command(resume="x"), THREAD) == {"log": ["a: x"]}


async def test_questions_of_a_task_group_inside_a_node_are_asked_together() -> None:
    async def ask(question: str) -> str:
        return f"{question}={interrupt(question)}"

    async def node(state: State) -> State:
        async with asyncio.TaskGroup() as group:
            parts = [group.create_task(ask(question)) for question in "pq"]
        return {"log": [part.result() for part in parts]}

    graph = one_node(node)
    ids = asked(await graph.ainvoke({}, THREAD))
    output = await graph.ainvoke(Command(resume={ids["q"]: 2, ids["p"]: 1}), THREAD)
    assert output == {"log": ["p=1", "q=2"]}


@pytest.mark.parametrize("return_exceptions", [False, True])
async def test_questions_gathered_inside_a_node_are_asked_together(return_exceptions: bool) -> None:
    async def ask(question: str) -> str:
        return f"{question}={interrupt(question)}"

    async def node(state: State) -> Any:
        return {"log": await asyncio.gather(ask("p"), ask("q"), return_exceptions=return_exceptions)}

    graph = one_node(node)
    ids = asked(await graph.ainvoke({}, THREAD))
    output = await graph.ainvoke(Command(resume={ids["q"]: 2, ids["p"]: 1}), THREAD)
    assert output == {"log": ["p=1", "q=2"]}


async def test_a_thread_that_a_node_has_started_may_ask() -> None:
    def node(state: State) -> State:
        with ThreadPoolExecutor(1) as pool:
            return {"log": [pool.submit(copy_context().run, interrupt, "from afar").result()]}

    graph = one_node(node)
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["from afar"]
    assert await graph.ainvoke(Command(resume="heard"), THREAD) == {"log": ["heard"]}


async def test_a_router_may_ask_where_to_go() -> None:
    builder: Any = StateGraph(State)
    for name in "abc":
        builder.add_node(name, Runs().quiet(name))
    builder.add_edge(START, "a").add_conditional_edges("a", lambda state: interrupt("where?"), ["b", "c"])
    graph = builder.compile(InMemorySaver())
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["where?"]
    assert await graph.ainvoke(Command(resume="c"), THREAD) == {"log": ["a", "c"]}


async def test_a_failure_beside_a_question_in_a_nodes_own_task_group_is_raised() -> None:
    async def fail() -> None:
        raise OSError("broken")

    async def ask() -> None:
        interrupt("well?")

    async def node(state: State) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(ask())
            group.create_task(fail())

    with pytest.raises(ExceptionGroup) as caught:
        await one_node(node).ainvoke({}, THREAD)
    assert [str(error) for error in caught.value.exceptions] == ["broken"]


# -- what the node makes of it ---------------------------------------------------------------------------


async def test_a_node_that_catches_every_exception_does_not_catch_a_question() -> None:
    async def node(state: State) -> State:
        try:
            return {"log": [interrupt("well?")]}
        except Exception:
            return {"log": ["caught"]}

    graph = one_node(node)
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["well?"]
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == {"log": ["yes"]}


async def test_a_node_that_catches_everything_has_asked_nevertheless() -> None:
    async def node(state: State) -> State:
        try:
            return {"log": [interrupt("well?")]}
        except BaseException:
            return {"log": ["caught"]}

    graph = one_node(node)
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["well?"]
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == {"log": ["yes"]}


async def test_finally_blocks_run_each_time_the_node_asks() -> None:
    ended: list[str] = []

    async def node(state: State) -> State:
        try:
            return {"log": [interrupt("well?")]}
        finally:
            await asyncio.sleep(0)
            ended.append("finally")

    graph = one_node(node)
    await graph.ainvoke({}, THREAD)
    assert ended == ["finally"]
    await graph.ainvoke(Command(resume="yes"), THREAD)
    assert ended == ["finally"] * 2


def test_outside_of_a_run_nobody_can_be_asked() -> None:
    with pytest.raises(RuntimeError, match=r"interrupt\(\)"):
        interrupt("well?")


async def test_a_node_may_change_the_answer_that_it_gets() -> None:
    async def node(state: State) -> State:
        first = interrupt("first")
        return {"log": [first.pop("x"), interrupt("second")]}

    graph = one_node(node)
    await graph.ainvoke({}, THREAD)
    await graph.ainvoke(Command(resume={"x": "1"}), THREAD)
    assert await graph.ainvoke(Command(resume="2"), THREAD) == {"log": ["1", "2"]}


@pytest.mark.parametrize("answer", [0, "", False, [], {"approved": True}, {"a" * 31: 1}, [{"x": None}]])
async def test_an_answer_may_be_any_value(answer: Any) -> None:
    seen = []

    async def node(state: State) -> None:
        seen.append(interrupt("well?"))

    graph = one_node(node)
    await graph.ainvoke({}, THREAD)
    await graph.ainvoke(Command(resume=answer), THREAD)
    assert seen == [answer]


# -- how often things run ----------------------------------------------------------------------------------


async def test_a_task_whose_questions_stay_unanswered_does_not_run_again() -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {name: runs.asking(name) for name in "abc"})
    ids = asked(await graph.ainvoke({}, THREAD))
    for name in "bca":
        output = await graph.ainvoke(Command(resume={ids.pop(f"{name} 0"): name}), THREAD)
        assert asked(output) == ids
    assert output == {"log": ["a: a", "b: b", "c: c"]}
    assert all(runs[name] == 2 and runs[f"{name} ended"] == 1 for name in "abc")


async def test_without_input_a_thread_asks_again_and_runs_nothing() -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {"a": runs.asking("a"), "b": runs.quiet("b")})
    first = await graph.ainvoke({}, THREAD)
    assert asked(await graph.ainvoke(None, THREAD)) == asked(first)
    assert runs == {"a": 1, "b": 1}


async def test_new_input_drops_the_question() -> None:
    runs = Runs()
    graph = one_node(runs.asking("a"))
    old = asked(await graph.ainvoke({"log": ["one"]}, THREAD))
    new = asked(await graph.ainvoke({"log": ["two"]}, THREAD))
    with pytest.raises(UnknownInterruptError, match="nobody waits"):
        await graph.ainvoke(Command(resume={old["a 0"]: "late"}), THREAD)
    output = await graph.ainvoke(Command(resume={new["a 0"]: "now"}), THREAD)
    assert output == {"log": ["one", "two", "a: now"]}


# -- failures beside questions ---------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
@pytest.mark.parametrize("on_error", ["cancel", "finish"])
async def test_a_siblings_failure_is_raised_and_the_question_stays(
    on_error: Any, durability: Durability
) -> None:
    runs, failures = Runs(), [OSError("broken")]

    async def fail(state: State) -> State:
        await asyncio.sleep(0)
        if failures:
            raise failures.pop()
        return {"log": ["mended"]}

    graph = side_by_side(InMemorySaver(), {"a": runs.asking("a"), "b": fail}, on_error=on_error)
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke({}, THREAD, durability=durability)
    assert [question.value for question in (await graph.aget_state(THREAD)).interrupts] == ["a 0"]
    output = await graph.ainvoke(Command(resume="yes"), THREAD)
    assert output == {"log": ["a: yes", "mended"]}
    assert runs["a"] == 2


async def test_a_question_is_not_tried_again_by_a_retry_policy() -> None:
    runs = Runs()
    policy = RetryPolicy(initial_interval=0, jitter=False, retry_on=BaseException)  # type: ignore[arg-type]
    graph = one_node(runs.asking("a"), retry_policy=policy)
    await graph.ainvoke({}, THREAD)
    assert runs["a"] == 1


async def test_answers_are_there_in_each_attempt() -> None:
    attempts: list[str] = []

    async def node(state: State) -> State:
        answer = interrupt("well?")
        attempts.append(answer)
        if len(attempts) == 1:
            raise OSError("broken")
        return {"log": [f"{answer} {interrupt('and?')}"]}

    policy = RetryPolicy(initial_interval=0, jitter=False, retry_on=OSError)
    graph = one_node(node, retry_policy=policy)
    await graph.ainvoke({}, THREAD)
    assert list(asked(await graph.ainvoke(Command(resume="yes"), THREAD))) == ["and?"]
    assert await graph.ainvoke(Command(resume="so"), THREAD) == {"log": ["yes so"]}
    assert attempts == ["yes"] * 3


async def test_an_answer_outlives_the_failure_of_its_node() -> None:
    failures = [OSError("broken")]

    async def node(state: State) -> State:
        answer = interrupt("well?")
        if failures:
            raise failures.pop()
        return {"log": [answer]}

    graph = one_node(node)
    await graph.ainvoke({}, THREAD)
    with pytest.raises(OSError, match="broken"):
        await graph.ainvoke(Command(resume="yes"), THREAD)
    with pytest.raises(UnknownInterruptError, match="none is open"):
        await graph.ainvoke(Command(resume="no"), THREAD)
    assert await graph.ainvoke(None, THREAD) == {"log": ["yes"]}


async def test_a_nodes_timeout_does_not_count_while_nobody_answers() -> None:
    async def node(state: State) -> State:
        answer = interrupt("well?")
        await asyncio.sleep(60)
        return {"log": [answer]}

    graph = one_node(node, timeout=0.05)
    assert list(asked(await graph.ainvoke({}, THREAD))) == ["well?"]
    with pytest.raises(NodeTimeoutError):
        await graph.ainvoke(Command(resume="yes"), THREAD)


async def test_a_step_timeout_names_what_still_runs_and_the_question_stays() -> None:
    async def hang(state: State) -> None:
        await asyncio.Event().wait()

    nodes = {"a": Runs().asking("a"), "b": hang}
    graph = side_by_side(InMemorySaver(), nodes, step_timeout=0.05)
    with pytest.raises(TimeoutError, match=r"still running: 'b'$"):
        await graph.ainvoke({}, THREAD)
    assert [question.value for question in (await graph.aget_state(THREAD)).interrupts] == ["a 0"]


async def test_a_cancelled_run_keeps_what_was_asked() -> None:
    runs, waiting = Runs(), asyncio.Event()

    async def hang(state: State) -> None:
        waiting.set()
        await asyncio.Event().wait()

    graph = side_by_side(InMemorySaver(), {"a": runs.asking("a"), "b": hang})
    run = asyncio.create_task(graph.ainvoke({}, THREAD))
    await waiting.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert [question.value for question in (await graph.aget_state(THREAD)).interrupts] == ["a 0"]


# -- answers that are refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resume", "reason"),
    [("either", "ambiguous"), ({"f" * 32: 1}, "not_pending"), ({}, "empty_map")],
    ids=["one answer for two questions", "an unknown question", "an empty map"],
)
async def test_an_answer_that_cannot_be_placed_is_refused_before_anything_is_written(
    resume: Any, reason: str
) -> None:
    runs, saver = Runs(), InMemorySaver()
    graph = side_by_side(saver, {name: runs.asking(name) for name in "ab"})
    ids = asked(await graph.ainvoke({}, THREAD))
    before = await stored(saver)
    with pytest.raises(UnknownInterruptError) as caught:
        await graph.ainvoke(Command(resume=resume), THREAD)
    assert (caught.value.reason, set(caught.value.pending_ids)) == (reason, set(ids.values()))
    assert await stored(saver) == before
    assert runs == {"a": 1, "b": 1}


async def test_one_unknown_id_refuses_the_whole_map() -> None:
    runs, saver = Runs(), InMemorySaver()
    graph = one_node(runs.asking("a"), saver)
    ids = asked(await graph.ainvoke({}, THREAD))
    before = await stored(saver)
    with pytest.raises(UnknownInterruptError) as caught:
        await graph.ainvoke(Command(resume={ids["a 0"]: "x", "f" * 32: "y"}), THREAD)
    assert caught.value.interrupt_ids == ("f" * 32,)
    assert (await stored(saver), runs["a"]) == (before, 1)


async def test_an_answered_question_cannot_be_answered_again() -> None:
    runs, saver = Runs(), InMemorySaver()
    graph = side_by_side(saver, {name: runs.asking(name) for name in "ab"})
    ids = asked(await graph.ainvoke({}, THREAD))
    await graph.ainvoke(Command(resume={ids["a 0"]: "first"}), THREAD)
    before = await stored(saver)
    with pytest.raises(UnknownInterruptError, match="nobody waits"):
        await graph.ainvoke(Command(resume={ids["a 0"]: "second"}), THREAD)
    assert await stored(saver) == before
    assert (await graph.ainvoke(Command(resume="b"), THREAD)) == {"log": ["a: first", "b: b"]}


async def test_an_answer_on_a_finished_thread_is_refused() -> None:
    saver = InMemorySaver()
    graph = one_node(Runs().quiet("a"), saver)
    await graph.ainvoke({}, THREAD)
    before = await stored(saver)
    with pytest.raises(UnknownInterruptError, match="none is open"):
        await graph.ainvoke(Command(resume="x"), THREAD)
    assert await stored(saver) == before


async def test_an_answer_on_a_fresh_thread_is_refused() -> None:
    saver = InMemorySaver()
    with pytest.raises(UnknownInterruptError, match="none is open"):
        await one_node(Runs().asking("a"), saver).ainvoke(Command(resume="x"), THREAD)
    assert await stored(saver) == []


async def test_an_empty_command_on_a_fresh_thread_is_no_input() -> None:
    with pytest.raises(EmptyInputError):
        await one_node(Runs().asking("a")).ainvoke(Command(), THREAD)


async def test_without_a_saver_questions_are_shown_and_cannot_be_answered() -> None:
    graph = side_by_side(None, {"a": Runs().asking("a")})
    assert list(asked(await graph.ainvoke({}))) == ["a 0"]
    with pytest.raises(UnknownInterruptError, match="has no checkpointer"):
        await graph.ainvoke(Command(resume="x"))


# -- threads that are looked at, changed, and shared -----------------------------------------------------


async def test_an_update_as_the_asking_node_answers_in_its_place() -> None:
    runs = Runs()
    graph = one_node(runs.asking("a"))
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["from outside"]}, as_node="node")
    state = await graph.aget_state(THREAD)
    assert (state.next, state.interrupts) == ((), ())
    assert await graph.ainvoke(None, THREAD) == {"log": ["from outside"]}
    assert runs["a"] == 1


async def test_an_update_as_another_asking_node_leaves_the_rest_to_ask_again() -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {name: runs.asking(name) for name in "ab"})
    await graph.ainvoke({}, THREAD)
    await graph.aupdate_state(THREAD, {"log": ["instead of a"]}, as_node="a")
    assert (await graph.aget_state(THREAD)).next == ("b",)
    assert list(asked(await graph.ainvoke(None, THREAD))) == ["b 0"]
    output = await graph.ainvoke(Command(resume="x"), THREAD)
    assert output == {"log": ["instead of a", "b: x"]}


async def test_the_state_shows_open_questions_and_the_history_those_that_were_asked() -> None:
    runs = Runs()
    graph = side_by_side(InMemorySaver(), {name: runs.asking(name) for name in "ab"})
    ids = asked(await graph.ainvoke({}, THREAD))
    await graph.ainvoke(Command(resume={ids["a 0"]: "x"}), THREAD)
    live = await graph.aget_state(THREAD)
    assert ([each.value for each in live.interrupts], live.next) == (["b 0"], ("b",))
    assert live.values == {"log": ["a: x"]}
    as_it_was = await graph.aget_state(live.config)
    assert ([each.value for each in as_it_was.interrupts], as_it_was.next) == (["a 0", "b 0"], ("a", "b"))
    assert await anext(graph.aget_state_history(THREAD)) == as_it_was


def test_of_threads_that_race_to_answer_one_wins_and_the_node_runs_once() -> None:
    graph, ended = racing()
    graph.invoke({}, THREAD)

    def answer(number: int) -> Any:
        try:
            return graph.invoke(Command(resume=number), THREAD)
        except (ConcurrentUpdateError, UnknownInterruptError) as error:
            return error

    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(answer, range(4)))
    won = [outcome for outcome in outcomes if isinstance(outcome, dict)]
    assert len(won) == 1
    assert won == [graph.get_state(THREAD).values]
    assert won[0]["log"][0] in ended


async def test_of_answers_that_queue_the_first_counts() -> None:
    graph, ended = racing()
    await graph.ainvoke({}, THREAD)
    answers = (graph.ainvoke(Command(resume=n), THREAD, on_conflict="wait") for n in range(2))
    first, second = await asyncio.gather(*answers, return_exceptions=True)
    assert first == {"log": ["0"]}
    assert isinstance(second, UnknownInterruptError)
    assert ended == ["0"]


def racing() -> tuple[Any, list[str]]:
    ended: list[str] = []

    def node(state: State) -> State:
        answer = str(interrupt("well?"))
        ended.append(answer)
        return {"log": [answer]}

    return one_node(node), ended
