"""Failing supersteps: whose error is raised, what becomes of the siblings, what is kept, how it goes on."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeCancelledError
from aiograph.graph import END, START, StateGraph
from aiograph.runtime import Runtime
from aiograph.testing.faults import FaultySaver, delay_turns
from aiograph.types import Durability, OnError, RunnableConfig
from tests.faults.rig import CONFIG, BeginningSaver, Diary, Graph, State, turns, worker

Node = Callable[..., Awaitable[Any]]

DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")


def side_by_side(nodes: dict[str, Node], saver: BaseCheckpointSaver | None = None, **options: Any) -> Graph:
    """A graph of one superstep."""
    builder = StateGraph(State)
    for name, node in nodes.items():
        builder.add_node(name, node).add_edge(START, name).add_edge(name, END)
    return builder.compile(checkpointer=saver, **options)


def failing(length: int, error: BaseException) -> Node:
    """A node that fails after so many turns."""

    async def node(state: State) -> dict[str, Any]:
        await turns(length)
        raise error

    return node


def failing_once(diary: Diary, name: str, length: int) -> Node:
    """A node that fails the first time it is run."""
    work = worker(diary, name, 0)

    async def node(state: State, runtime: Runtime[Any]) -> Any:
        await turns(length)
        if name not in diary.names.values():
            diary.names["a first attempt"] = name
            raise ValueError(name)
        return await work(state, runtime)

    return node


# -- whose error -----------------------------------------------------------------------------------


async def test_the_error_is_the_nodes_own_with_a_note_that_names_it() -> None:
    error = ValueError("boom")
    graph = side_by_side({"a": failing(1, error), "b": worker(Diary(), "b", 5)})
    with pytest.raises(ValueError, match="boom") as caught:
        await graph.ainvoke({})
    assert caught.value is error
    assert any("'a'" in note and "step 1" in note for note in error.__notes__)


@pytest.mark.parametrize("lengths", [(1, 5), (5, 1), (3, 3)])
async def test_if_all_finish_the_first_in_task_order_is_raised(lengths: tuple[int, int]) -> None:
    first, second = ValueError("first"), KeyError("second")
    nodes = {"a": failing(lengths[0], first), "b": failing(lengths[1], second)}
    with pytest.raises(ValueError, match="first") as caught:
        await side_by_side(nodes).ainvoke({}, on_error="finish")
    assert caught.value is first
    assert any("'b'" in note and "KeyError('second')" in note for note in first.__notes__)


async def test_under_fail_fast_only_failures_that_happened_count() -> None:
    late, early = ValueError("late"), KeyError("early")
    with pytest.raises(KeyError, match="early"):
        await side_by_side({"a": failing(9, late), "b": failing(1, early)}).ainvoke({})


async def test_two_failures_in_one_turn_are_told_in_task_order() -> None:
    first, second = ValueError("first"), KeyError("second")
    with pytest.raises(ValueError, match="first"):
        await side_by_side({"b": failing(3, second), "a": failing(3, first)}).ainvoke({})
    assert any("'b'" in note for note in first.__notes__)


class Alarm(BaseException):
    """Neither an error nor an exit: some libraries raise such a thing."""


@pytest.mark.parametrize("on_error", ["cancel", "finish"])
async def test_what_is_no_exception_stops_the_siblings_and_comes_through_bare(on_error: OnError) -> None:
    diary = Diary()
    nodes = {"a": worker(diary, "a", 9), "b": failing(1, Alarm("fire"))}
    with pytest.raises(Alarm, match="fire"):
        await side_by_side(nodes).ainvoke({}, on_error=on_error)
    assert diary.ended == []


@pytest.mark.parametrize("siblings", [0, 2])
async def test_a_node_that_raises_cancelled_error_on_its_own_has_failed(siblings: int) -> None:
    nodes = {f"s{number}": worker(Diary(), "s", 5) for number in range(siblings)}
    graph = side_by_side({"rogue": failing(1, asyncio.CancelledError()), **nodes})
    with pytest.raises(NodeCancelledError, match="'rogue'"):
        await graph.ainvoke({})


async def test_a_node_that_awaits_a_cancelled_task_has_failed() -> None:
    async def node(state: State) -> None:
        other = asyncio.ensure_future(turns(100))
        other.cancel()
        await other

    with pytest.raises(NodeCancelledError, match="'node'"):
        await side_by_side({"node": node}).ainvoke({})


# -- what becomes of the siblings ------------------------------------------------------------------


async def test_a_failure_cancels_its_siblings_and_waits_for_their_clean_up() -> None:
    diary = Diary()
    graph = side_by_side({"a": worker(diary, "a", 30), "b": failing(3, ValueError("boom"))})
    with pytest.raises(ValueError, match="boom"):
        await graph.ainvoke({})
    assert len(diary.cleaned_up) == 1
    assert diary.ended == []


async def test_siblings_may_be_left_to_finish() -> None:
    diary = Diary()
    graph = side_by_side({"a": worker(diary, "a", 30), "b": failing(3, ValueError("boom"))})
    with pytest.raises(ValueError, match="boom"):
        await graph.ainvoke({}, on_error="finish")
    assert len(diary.ended) == 1


@pytest.mark.parametrize("durability", DURABILITIES)
@pytest.mark.parametrize("on_error", ["cancel", "finish"])
@pytest.mark.parametrize("slow", [True, False], ids=["slow saver", "memory"])
async def test_finished_siblings_do_not_run_again(
    slow: bool, on_error: OnError, durability: Durability
) -> None:
    diary = Diary()
    inner = BeginningSaver() if slow else InMemorySaver()
    saver = FaultySaver(inner, before=delay_turns(3)) if slow else inner
    nodes = {"a": worker(diary, "a", 1), "b": failing_once(diary, "b", 4), "c": worker(diary, "c", 6)}
    graph = side_by_side(nodes, saver)
    with pytest.raises(ValueError, match="b"):
        await graph.ainvoke({}, CONFIG, durability=durability, on_error=on_error)
    snapshot = await graph.aget_state(CONFIG)
    waiting = ("b",) if on_error == "finish" else ("b", "c")
    assert snapshot.next == waiting
    assert [task.error for task in snapshot.tasks if task.name == "b"] == ["ValueError('b')"]
    assert await graph.ainvoke(None, CONFIG) == {"trail": ["a", "b", "c"], "count": 3, "rounds": 0}
    assert diary.ended_and_started_again == []


async def test_new_input_drops_what_a_failure_left() -> None:
    diary = Diary()
    nodes = {"a": worker(diary, "a", 1), "b": failing_once(diary, "b", 4)}
    graph = side_by_side(nodes, InMemorySaver())
    with pytest.raises(ValueError, match="b"):
        await graph.ainvoke({"trail": ["first"]}, CONFIG)
    output = await graph.ainvoke({"trail": ["second"]}, CONFIG)
    assert output["trail"] == ["first", "second", "a", "b"]


# -- with a limit of concurrency -------------------------------------------------------------------

LIMITED: RunnableConfig = {**CONFIG, "max_concurrency": 2}


@pytest.mark.parametrize("length", range(1, 6))
async def test_a_failure_keeps_tasks_that_wait_from_being_started(length: int) -> None:
    diary = Diary()
    nodes = {"a": failing(length, ValueError("a")), "b": worker(diary, "b", 9)}
    waiting = {name: worker(diary, name, 1) for name in ("c", "d", "e")}
    with pytest.raises(ValueError, match="a"):
        await side_by_side({**nodes, **waiting}, InMemorySaver()).ainvoke({}, LIMITED)
    assert [diary.names[task_id] for task_id in diary.started] == ["b"]


async def test_tasks_that_wait_are_run_if_all_may_finish() -> None:
    diary = Diary()
    nodes = {"a": failing(1, ValueError("a"))}
    waiting = {name: worker(diary, name, 3) for name in ("b", "c", "d", "e")}
    with pytest.raises(ValueError, match="a"):
        await side_by_side({**nodes, **waiting}).ainvoke({}, {"max_concurrency": 2}, on_error="finish")
    assert len(diary.ended) == 4


# -- a failure and a cancellation at once ----------------------------------------------------------


async def test_a_cancellation_is_not_lost_over_a_failing_node() -> None:
    """Python's task groups forget it, before 3.13; a node that catches the failure would run on."""
    ran_on = []

    async def nested(state: State) -> dict[str, Any] | None:
        diary = Diary()
        inner = side_by_side({"f": failing(3, ValueError("boom")), "s": worker(diary, "s", 6)})
        try:
            await inner.ainvoke({})
        except ValueError:
            await turns(10)
            ran_on.append(turn)
        return None

    for turn in range(100):
        run = asyncio.ensure_future(side_by_side({"nested": nested}).ainvoke({}))
        await turns(turn)
        if not run.cancel():
            assert turn > 10
            assert ran_on.pop() == turn
            break
        with pytest.raises(asyncio.CancelledError):
            await run
        assert ran_on == []


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_a_cancellation_beside_a_failure_loses_nothing(durability: Durability) -> None:
    for turn in range(100):
        diary = Diary()
        saver = FaultySaver(BeginningSaver(), before=delay_turns(2))
        nodes = {"a": worker(diary, "a", 1), "b": failing_once(diary, "b", 4), "c": worker(diary, "c", 6)}
        graph = side_by_side(nodes, saver)
        run = asyncio.ensure_future(graph.ainvoke({"trail": []}, CONFIG, durability=durability))
        await turns(turn)
        was_running = run.cancel()
        with pytest.raises((ValueError, asyncio.CancelledError)):
            await run
        stored = (await graph.aget_state(CONFIG)).created_at is not None
        diary.names["a first attempt"] = "b"  # if it had not come to that
        output = await graph.ainvoke(None if stored else {"trail": []}, CONFIG)
        assert output["trail"] == ["a", "b", "c"], f"turn {turn}"
        assert diary.ended_and_started_again == [], f"turn {turn}"
        if not was_running:
            return
    raise AssertionError("the run never ended")
