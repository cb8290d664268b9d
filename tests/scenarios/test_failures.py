"""When nodes fail: which error leaves the run, what becomes of siblings, what a resume does not repeat."""

import asyncio
import operator
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import NodeCancelledError
from aiograph.graph import START, StateGraph
from aiograph.testing.sequencer import Sequencer
from aiograph.types import Durability, OnError, RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def side_by_side(**nodes: Any) -> Any:
    builder = StateGraph(State)
    for name, action in nodes.items():
        builder.add_node(name, action).add_edge(START, name)
    return builder.compile(InMemorySaver())


class Node:
    """Logs its name; the first time it fails if it is told how. Waits for its turn if it has one."""

    def __init__(self, name: str, error: BaseException | None = None, turn: Any = None) -> None:
        self.name = name
        self.error = error
        self.turn = turn
        self.runs = 0

    async def __call__(self, state: State) -> dict[str, Any]:
        self.runs += 1
        if self.turn is not None:
            async with self.turn:
                return self.act()
        return self.act()

    def act(self) -> dict[str, Any]:
        error, self.error, self.turn = self.error, None, None
        if error is not None:
            raise error
        return {"log": [self.name]}


async def sleep_for_ever(state: State) -> None:
    await asyncio.Event().wait()


async def test_the_nodes_own_exception_leaves_with_a_note_of_node_step_and_task() -> None:
    error = ZeroDivisionError("half")
    graph = side_by_side(a=Node("a", error))
    with pytest.raises(ZeroDivisionError) as caught:
        await graph.ainvoke({}, THREAD)
    assert caught.value is error
    task = (await graph.aget_state(THREAD)).tasks[0]
    assert caught.value.__notes__ == [f"in node 'a', step 1, task {task.id}"]
    assert task.error == "ZeroDivisionError('half')"


async def test_siblings_of_a_failing_task_are_cancelled_by_default() -> None:
    cancelled: list[str] = []

    async def sibling(state: State) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append("sibling")
            raise

    with pytest.raises(OSError, match="bad"):
        await side_by_side(a=sibling, bad=Node("bad", OSError("bad"))).ainvoke({}, THREAD)
    assert cancelled == ["sibling"]


async def test_with_finish_siblings_complete_and_only_the_failure_is_repeated() -> None:
    bad, slow = Node("bad", OSError("bad")), Node("slow")
    graph = side_by_side(bad=bad, slow=slow)
    with pytest.raises(OSError, match="bad"):
        await graph.ainvoke({}, THREAD, on_error="finish")
    assert (await graph.ainvoke(None, THREAD))["log"] == ["bad", "slow"]
    assert (bad.runs, slow.runs) == (2, 1)


@pytest.mark.parametrize("on_error", ["cancel", "finish"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_what_finished_before_the_failure_is_kept_in_every_durability(
    on_error: OnError, durability: Durability
) -> None:
    turn = Sequencer()
    good, bad = Node("good", turn=turn(0)), Node("bad", OSError("bad"), turn(1))
    graph = side_by_side(bad=bad, good=good)
    with pytest.raises(OSError, match="bad"):
        await graph.ainvoke({}, THREAD, on_error=on_error, durability=durability)
    state = await graph.aget_state(THREAD)
    assert (state.next, state.values["log"]) == (("bad",), ["good"])
    assert (await graph.ainvoke(None, THREAD, durability=durability))["log"] == ["bad", "good"]
    assert good.runs == 1


async def test_of_several_failures_the_first_in_task_order_is_raised_and_names_the_others() -> None:
    turn = Sequencer()
    nodes = {name: Node(name, OSError(name), turn(2 - number)) for number, name in enumerate("abc")}
    with pytest.raises(OSError, match="a") as caught:
        await side_by_side(**nodes).ainvoke({}, THREAD, on_error="finish")
    assert str(caught.value) == "a"
    own, second, third = caught.value.__notes__
    assert own.startswith("in node 'a'")
    assert second.startswith("node 'b' (task ")
    assert second.endswith("failed as well: OSError('b')")
    assert "'c'" in third


async def test_no_exception_group_leaves_the_run_even_if_a_node_raises_one() -> None:
    group = ExceptionGroup("many", [OSError("one"), KeyError("two")])
    with pytest.raises(ExceptionGroup) as caught:
        await side_by_side(a=Node("a", group), b=sleep_for_ever).ainvoke({}, THREAD)
    assert caught.value is group


async def test_a_cancelled_error_out_of_the_blue_is_an_error_that_names_the_node() -> None:
    with pytest.raises(NodeCancelledError, match="node 'a' raised CancelledError although") as caught:
        await side_by_side(a=Node("a", asyncio.CancelledError()), b=sleep_for_ever).ainvoke({}, THREAD)
    assert caught.value.node == "a"


@pytest.mark.parametrize("exit", [SystemExit(3), KeyboardInterrupt()])
async def test_a_node_that_exits_ends_its_own_run_and_no_other(exit: BaseException) -> None:
    other = asyncio.create_task(side_by_side(a=Node("a")).ainvoke({}, THREAD))
    with pytest.raises(type(exit)):
        await side_by_side(a=Node("a", exit), b=sleep_for_ever).ainvoke({}, THREAD)
    assert await other == {"log": ["a"]}


# -- cancelling a run ----------------------------------------------------------------------------------


async def test_a_cancelled_run_cancels_its_tasks_and_waits_for_their_clean_up() -> None:
    started, cleaned = asyncio.Event(), []

    async def careful(state: State) -> None:
        try:
            started.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.append("careful")

    run = asyncio.create_task(side_by_side(a=careful, b=sleep_for_ever).ainvoke({}, THREAD))
    await started.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert cleaned == ["careful"]


@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
async def test_a_cancelled_run_keeps_what_finished_siblings_wrote(durability: Durability) -> None:
    good, stuck, ended = 0, asyncio.Event(), asyncio.Event()

    async def finish(state: State) -> dict[str, Any]:
        nonlocal good
        good += 1
        ended.set()
        return {"log": ["good"]}

    async def wait(state: State) -> dict[str, Any]:
        await stuck.wait()
        return {"log": ["wait"]}

    graph = side_by_side(good=finish, wait=wait)
    run = asyncio.create_task(graph.ainvoke({}, THREAD, durability=durability))
    await ended.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert (await graph.aget_state(THREAD)).next == ("wait",)
    stuck.set()
    assert (await graph.ainvoke(None, THREAD))["log"] == ["good", "wait"]
    assert good == 1


async def test_a_timeout_of_the_caller_cancels_the_run() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):  # real time, as the run never ends by itself
            await side_by_side(a=sleep_for_ever).ainvoke({}, THREAD)


def test_a_timeout_of_a_synchronous_call_cancels_the_run() -> None:
    with pytest.raises(TimeoutError):
        side_by_side(a=sleep_for_ever).invoke({}, THREAD, timeout=0.01)
