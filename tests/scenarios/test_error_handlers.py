"""Error handlers: what takes over when a node has failed for good, and what a crash leaves behind."""

import asyncio
import operator
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import (
    CheckpointStorageError,
    InvalidResumeError,
    InvalidUpdateError,
    NodeError,
    NodeTimeoutError,
    ParentCommand,
    RecordedError,
)
from aiograph.graph import END, START, StateGraph
from aiograph.runtime import Runtime
from aiograph.testing.clock import virtual_backend
from aiograph.testing.faults import FaultySaver, fail_at
from aiograph.types import Command, Durability, RetryPolicy, RunnableConfig, Send, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}
DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Failing:
    """A node that fails, and counts how often."""

    def __init__(self, error: Callable[[], BaseException] = lambda: ValueError("broken")) -> None:
        self.error = error
        self.calls = 0

    async def __call__(self, state: Any) -> dict[str, Any]:
        self.calls += 1
        raise self.error()


def tells(state: Any, error: NodeError) -> dict[str, Any]:
    return {"log": [f"{error.node}: {error.error}"]}


def says(text: str) -> Any:
    async def node(state: State) -> dict[str, Any]:
        return {"log": [text]}

    return node


def alone(node: Any, handler: Any, saver: Any = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("bad", node, error_handler=handler, **options)
    builder.add_node("next", says("next")).add_edge(START, "bad").add_edge("bad", "next")
    return builder.compile(saver)


def beside(node: Any, handler: Any, sibling: Any, saver: Any = None, **options: Any) -> Any:
    builder = StateGraph(State).add_node("bad", node, error_handler=handler).add_node("good", sibling)
    return builder.add_edge(START, "bad").add_edge(START, "good").compile(saver, **options)


# -- what counts ---------------------------------------------------------------------------------------


async def test_the_handlers_update_counts_and_the_nodes_edges_do_not_fire() -> None:
    graph = alone(Failing(), tells)
    assert await graph.ainvoke({"log": ["in"]}) == {"log": ["in", "bad: broken"]}


async def test_a_handler_may_say_where_to_go_on() -> None:
    def goes_on(state: State, error: NodeError) -> Command[Literal["next"]]:
        return Command(update={"log": ["handled"]}, goto="next")

    assert await alone(Failing(), goes_on).ainvoke({}) == {"log": ["handled", "next"]}


async def test_a_handler_may_send() -> None:
    def sends(state: State) -> Any:
        return [Send("next", {}), Send("next", {})]

    assert await alone(Failing(), sends).ainvoke({}) == {"log": ["next", "next"]}


async def test_a_router_after_the_node_is_not_asked() -> None:
    def never(state: State) -> str:
        raise AssertionError("asked")

    builder = StateGraph(State).add_node("bad", Failing(), error_handler=tells)
    graph = builder.add_edge(START, "bad").add_conditional_edges("bad", never, [END]).compile()
    assert await graph.ainvoke({}) == {"log": ["bad: broken"]}


async def test_a_node_that_does_not_fail_never_meets_its_handler() -> None:
    assert await alone(says("fine"), tells).ainvoke({}) == {"log": ["fine", "next"]}


async def test_a_handler_gets_what_the_node_got() -> None:
    seen: list[Any] = []

    def looks(arg: Any) -> None:
        seen.append(arg)

    builder = StateGraph(State).add_node("bad", Failing(), error_handler=looks)
    builder.add_node("start", lambda state: Send("bad", {"arg": 1})).add_edge(START, "start")
    await builder.compile().ainvoke({})
    await alone(Failing(), looks).ainvoke({"log": ["in"]})
    assert seen == [{"arg": 1}, {"log": ["in"]}]


async def test_a_handler_gets_what_nodes_get_by_name() -> None:
    seen: dict[str, Any] = {}

    async def asks(
        state: State, *, error: NodeError, config: Any, runtime: Runtime[Any], writer: Any
    ) -> None:
        seen.update(error=error, config=config, attempt=runtime.execution_info.node_attempt)
        writer("from the handler")

    graph = alone(Failing(), asks, metadata={"owner": "ada"})
    assert await graph.ainvoke({}, stream_mode="custom") == ["from the handler"]
    assert (seen["error"].node, str(seen["error"].error), seen["attempt"]) == ("bad", "broken", 1)
    assert seen["config"]["metadata"]["langgraph_node"] == "__error_handler__bad"
    assert seen["config"]["metadata"]["owner"] == "ada"


@pytest.mark.parametrize("on_error", ["cancel", "finish"])
async def test_siblings_go_on(on_error: Any) -> None:
    async def slow(state: State) -> dict[str, Any]:
        await asyncio.sleep(10)
        return {"log": ["good"]}

    graph = beside(Failing(), tells, slow, on_error=on_error)
    assert await graph.ainvoke({}) == {"log": ["bad: broken", "good"]}


async def test_each_of_several_tasks_is_handled_for_itself() -> None:
    async def maybe(number: Any) -> dict[str, Any]:
        if number % 2:
            raise ValueError(number)
        return {"log": [f"{number}"]}

    builder = StateGraph(State).add_node("maybe", maybe, error_handler=tells)
    builder.add_node("start", lambda state: [Send("maybe", number) for number in range(4)])
    graph = builder.add_edge(START, "start").compile(InMemorySaver())
    assert await graph.ainvoke({}, THREAD) == {"log": ["0", "maybe: 1", "2", "maybe: 3"]}


async def test_what_a_node_may_not_return_is_a_failure_too() -> None:
    assert (await alone(lambda state: 5, tells).ainvoke({}))["log"][0].startswith(
        "bad: node 'bad' must return"
    )


def test_synchronous_nodes_and_handlers() -> None:
    def bad(state: State) -> None:
        raise ValueError("broken")

    assert alone(bad, tells).invoke({}) == {"log": ["bad: broken"]}
    assert beside(bad, tells, lambda state: {"log": ["good"]}).invoke({})["log"] == ["bad: broken", "good"]


# -- retries and timeouts ------------------------------------------------------------------------------


def steady(**options: Any) -> RetryPolicy:
    return RetryPolicy(jitter=False, retry_on=Exception, **options)


async def test_a_handler_takes_over_once_the_retries_are_used_up() -> None:
    node = Failing()
    graph = alone(node, tells, retry_policy=steady(max_attempts=3))
    assert await graph.ainvoke({}) == {"log": ["bad: broken"]}
    assert node.calls == 3


async def test_a_timeout_that_was_retried_in_vain_is_handled() -> None:
    async def hangs(state: State) -> None:
        await asyncio.sleep(100)

    seen: list[Exception] = []

    def looks(state: State, error: NodeError) -> None:
        seen.append(error.error)

    await alone(hangs, looks, timeout=2, retry_policy=steady(max_attempts=2)).ainvoke({})
    (error,) = seen
    assert isinstance(error, NodeTimeoutError)
    assert (error.node, asyncio.get_running_loop().time()) == ("bad", 4.5)


async def test_defaults_for_retries_and_timeouts_hold_for_handlers() -> None:
    handler = Failing()
    builder = StateGraph(State).set_node_defaults(retry_policy=steady(max_attempts=2), error_handler=handler)
    graph = builder.add_node("bad", Failing(), retry_policy=[]).add_edge(START, "bad").compile()
    with pytest.raises(ValueError, match="broken"):
        await graph.ainvoke({})
    assert handler.calls == 2


async def test_a_handler_that_hangs_runs_out_of_time() -> None:
    async def hangs(state: State) -> None:
        await asyncio.sleep(100)

    builder = StateGraph(State).set_node_defaults(timeout=3, error_handler=hangs)
    graph = builder.add_node("bad", Failing()).add_edge(START, "bad").compile()
    with pytest.raises(NodeTimeoutError) as caught:
        await graph.ainvoke({})
    assert caught.value.node == "__default_error_handler__"


# -- handlers by default -------------------------------------------------------------------------------


async def test_a_default_handler_is_for_nodes_without_one_of_their_own() -> None:
    def own(state: State) -> dict[str, Any]:
        return {"log": ["own"]}

    builder = StateGraph(State).add_node("a", Failing()).set_node_defaults(error_handler=tells)
    builder.add_node("b", Failing()).add_node("c", Failing(), error_handler=own)
    for name in "abc":
        builder.add_edge(START, name)
    assert await builder.compile().ainvoke({}) == {"log": ["a: broken", "b: broken", "own"]}


# -- handlers that fail --------------------------------------------------------------------------------


async def test_a_handlers_own_failure_is_fatal_and_both_errors_are_told() -> None:
    def fails(state: State) -> None:
        raise KeyError("own")

    with pytest.raises(KeyError, match="own") as caught:
        await alone(Failing(), fails).ainvoke({})
    assert "while handling the failure of node 'bad': ValueError('broken')" in caught.value.__notes__
    assert isinstance(caught.value.__context__, ValueError)


async def test_a_handler_may_raise_what_it_was_given() -> None:
    def gives_up(state: State, error: NodeError) -> None:
        raise error.error

    with pytest.raises(ValueError, match="broken") as caught:
        await alone(Failing(), gives_up).ainvoke({})
    assert [note for note in caught.value.__notes__ if "handling" in note] == []


async def test_what_a_handler_may_not_return_names_the_handler() -> None:
    with pytest.raises(InvalidUpdateError, match="node '__error_handler__bad' must return"):
        await alone(Failing(), lambda state: 5).ainvoke({})


@pytest.mark.parametrize("durability", DURABILITIES)
async def test_after_a_handlers_failure_it_is_the_handler_that_runs_again(durability: Durability) -> None:
    node, handler = Failing(), Failing(lambda: KeyError("own"))
    saver = InMemorySaver()
    with pytest.raises(KeyError):
        await alone(node, handler, saver).ainvoke({"log": ["in"]}, THREAD, durability=durability)
    graph = alone(node, tells, saver)
    (task,) = (await graph.aget_state(THREAD)).tasks
    assert (task.name, task.error) == ("bad", "KeyError('own')")
    assert await graph.ainvoke(None, THREAD) == {"log": ["in", "bad: ValueError('broken')"]}
    assert (node.calls, handler.calls) == (1, 1)


# -- what is no failure --------------------------------------------------------------------------------


async def test_questions_of_the_node_are_not_failures() -> None:
    graph = alone(lambda state: {"log": [interrupt("what?")]}, tells, InMemorySaver())
    assert "__interrupt__" in await graph.ainvoke({}, THREAD)
    assert await graph.ainvoke(Command(resume="this"), THREAD) == {"log": ["this", "next"]}


async def test_an_answer_that_does_not_fit_is_not_a_failure_of_the_node() -> None:
    class Answer(BaseModel):
        yes: bool

    graph = alone(lambda state: interrupt("sure?", response_schema=Answer) and None, tells, InMemorySaver())
    await graph.ainvoke({}, THREAD)
    with pytest.raises(InvalidResumeError):
        await graph.ainvoke(Command(resume={"no": 1}), THREAD)
    assert len((await graph.aget_state(THREAD)).interrupts) == 1


async def test_a_command_to_a_graph_that_is_not_there_is_not_handled() -> None:
    handler = Failing()
    with pytest.raises(ParentCommand):
        await alone(lambda state: Command(graph=Command.PARENT, goto="x"), handler).ainvoke({})
    assert handler.calls == 0


async def test_a_handler_may_command_the_graph_around_its_own() -> None:
    def leaves(state: State) -> Command[str]:
        return Command(graph=Command.PARENT, update={"log": ["left"]}, goto="out")

    builder = StateGraph(State).add_node("inner", alone(Failing(), leaves), destinations=["out"])
    graph = builder.add_node("out", says("out")).add_edge(START, "inner").compile(InMemorySaver())
    assert await graph.ainvoke({}, THREAD) == {"log": ["left", "out"]}


async def test_a_cancelled_run_is_not_handled() -> None:
    async def hangs(state: State) -> None:
        await asyncio.sleep(100)

    handler = Failing()
    run = asyncio.create_task(alone(hangs, handler).ainvoke({}))
    await asyncio.sleep(1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert handler.calls == 0


async def test_an_exit_is_not_handled() -> None:
    handler = Failing()
    with pytest.raises(SystemExit):
        await alone(Failing(SystemExit), handler).ainvoke({})
    assert handler.calls == 0


async def test_the_timeout_of_a_superstep_is_not_handled() -> None:
    async def hangs(state: State) -> None:
        await asyncio.sleep(100)

    handler = Failing()
    builder = StateGraph(State).add_node("bad", hangs, error_handler=handler).add_edge(START, "bad")
    with pytest.raises(TimeoutError, match="step_timeout"):
        await builder.compile(step_timeout=1).ainvoke({})
    assert handler.calls == 0


async def test_contradicting_writes_are_nobodys_failure() -> None:
    class One(TypedDict, total=False):
        value: int

    handler = Failing()
    builder = StateGraph(One).set_node_defaults(error_handler=handler)
    for name in ("a", "b"):
        builder.add_node(name, lambda state: {"value": 1}).add_edge(START, name)
    with pytest.raises(InvalidUpdateError, match="takes one value per superstep"):
        await builder.compile().ainvoke({})
    assert handler.calls == 0


# -- questions of handlers -----------------------------------------------------------------------------


async def test_a_handler_may_ask_and_the_node_does_not_run_again() -> None:
    node = Failing()

    def asks(state: State, error: NodeError) -> dict[str, Any]:
        return {"log": [f"{error.error!r}", interrupt("and now?"), interrupt("sure?")]}

    graph = alone(node, asks, InMemorySaver())
    (question,) = (await graph.ainvoke({}, THREAD))["__interrupt__"]
    assert question.value == "and now?"
    (question,) = (await graph.ainvoke(Command(resume="go"), THREAD))["__interrupt__"]
    assert question.value == "sure?"
    output = await graph.ainvoke(Command(resume={question.id: "yes"}), THREAD)
    assert output["log"] == [repr(RecordedError("ValueError('broken')")), "go", "yes"]
    assert node.calls == 1


async def test_answers_to_the_node_are_not_taken_for_answers_to_its_handler() -> None:
    def node(state: State) -> None:
        raise ValueError(interrupt("node?"))

    graph = alone(node, lambda state: {"log": [interrupt("handler?")]}, InMemorySaver())
    await graph.ainvoke({}, THREAD)
    (question,) = (await graph.ainvoke(Command(resume="for the node"), THREAD))["__interrupt__"]
    assert question.value == "handler?"
    assert (await graph.ainvoke(Command(resume="for the handler"), THREAD))["log"] == ["for the handler"]


# -- graphs within graphs ------------------------------------------------------------------------------


async def test_a_graph_as_the_failing_node() -> None:
    inner = StateGraph(State).add_node("first", says("first")).add_node("deep", Failing())
    graph = alone(inner.add_edge(START, "first").add_edge("first", "deep").compile(), tells, InMemorySaver())
    assert await graph.ainvoke({}, THREAD) == {"log": ["bad: broken"]}


async def test_a_graph_called_by_a_handler_keeps_its_state_for_itself() -> None:
    asking = StateGraph(State).add_node("ask", lambda state: {"log": [interrupt("deep?")]})
    inner = asking.add_edge(START, "ask").compile()

    async def calls(state: State) -> Any:
        return {"log": (await inner.ainvoke({"log": []}))["log"]}

    graph = alone(Failing(), calls, InMemorySaver())
    await graph.ainvoke({}, THREAD)
    assert await graph.ainvoke(Command(resume="yes"), THREAD) == {"log": ["yes"]}


async def test_a_handler_within_a_node_comes_before_that_of_the_node() -> None:
    inner = StateGraph(State).add_node("deep", Failing(), error_handler=tells)
    graph = alone(inner.add_edge(START, "deep").compile(), Failing())
    assert await graph.ainvoke({}) == {"log": ["deep: broken", "next"]}


# -- crashes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["sync", "async"])
async def test_a_run_that_breaks_during_a_handler_resumes_there(durability: Durability) -> None:
    async def hangs(state: State) -> None:
        await asyncio.sleep(100)

    node, saver = Failing(), InMemorySaver()
    run = asyncio.create_task(alone(node, hangs, saver).ainvoke({}, THREAD, durability=durability))
    await asyncio.sleep(1)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert await alone(node, tells, saver).ainvoke(None, THREAD) == {"log": ["bad: ValueError('broken')"]}
    assert node.calls == 1


async def test_what_a_handler_wrote_is_not_lost_when_a_sibling_fails() -> None:
    node, handler, saver = Failing(), Failing(), InMemorySaver()
    graph = beside(node, tells, Failing(lambda: OSError("down")), saver, on_error="finish")
    with pytest.raises(OSError, match="down"):
        await graph.ainvoke({}, THREAD)
    bad, good = (await graph.aget_state(THREAD)).tasks
    assert (bad.error, bad.result) == ("ValueError('broken')", {"log": ["bad: broken"]})
    assert (good.error, good.result) == ("OSError('down')", None)
    graph = beside(node, handler, says("good"), saver)
    updates = await graph.ainvoke(None, THREAD, stream_mode="updates")
    cached = {"__error_handler__bad": {"log": ["bad: broken"]}, "__metadata__": {"cached": True}}
    assert updates == [cached, {"good": {"log": ["good"]}}]
    assert (node.calls, handler.calls) == (1, 0)


async def test_a_failure_that_cannot_be_kept_is_not_handled() -> None:
    handler = Failing()
    mishap = fail_at(1, lambda: CheckpointStorageError("down"), verb="arecord")
    saver = FaultySaver(InMemorySaver(), before=mishap)
    with pytest.raises(CheckpointStorageError) as caught:
        await alone(Failing(), handler, saver).ainvoke({}, THREAD)
    assert "while handling the failure of node 'bad': ValueError('broken')" in caught.value.__notes__
    assert handler.calls == 0


async def test_a_handler_that_is_gone_leaves_the_task_to_its_node() -> None:
    saver = InMemorySaver()
    with pytest.raises(KeyError):
        await alone(Failing(), Failing(lambda: KeyError("own")), saver).ainvoke({}, THREAD)
    assert await alone(says("mended"), None, saver).ainvoke(None, THREAD) == {"log": ["mended", "next"]}


SCRIPT = """
import operator, os, sys
from typing import Annotated, TypedDict
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.graph import START, StateGraph
from aiograph.testing.faults import kill_process

class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]

def node(state):
    print("node ran", flush=True)
    raise ValueError("broken")

def handler(state, error):
    if sys.argv[2] == "die":
        kill_process()
    return {"log": [f"{error.node}: {error.error}"]}

with SqliteSaver.from_conn_string(sys.argv[1]) as saver:
    builder = StateGraph(State).add_node("bad", node, error_handler=handler).add_edge(START, "bad")
    graph = builder.compile(saver)
    print(graph.invoke({} if sys.argv[2] == "die" else None, {"configurable": {"thread_id": "1"}}))
"""


def test_a_process_that_is_killed_during_a_handler_goes_on_at_the_handler(tmp_path: Path) -> None:
    def run(order: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", SCRIPT, str(tmp_path / "db"), order]
        return subprocess.run(words, capture_output=True, text=True, env={**os.environ}, check=False)

    killed = run("die")
    assert (killed.returncode, killed.stdout) == (-9, "node ran\n")
    with SqliteSaver.from_conn_string(str(tmp_path / "db")) as saver:
        saved = saver.get_tuple(THREAD)
        assert saved is not None
        channels = [channel for _, channel, _ in saved.pending_writes or []]
    assert sorted(channels) == ["__error__", "__error_source_node__"]
    assert run("live").stdout == "{'log': [\"bad: ValueError('broken')\"]}\n"


# -- streams -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("saver", [None, InMemorySaver()])
async def test_streams_show_the_failure_and_the_handler(saver: Any) -> None:
    graph = alone(Failing(), tells, saver)
    chunks = await graph.ainvoke({"log": ["in"]}, THREAD, stream_mode=["updates", "tasks"])
    names = [(mode, chunk.get("name"), "input" in chunk) for mode, chunk in chunks]
    assert names == [
        ("tasks", "bad", True),
        ("tasks", "bad", False),
        ("tasks", "__error_handler__bad", True),
        ("updates", None, False),
        ("tasks", "__error_handler__bad", False),
    ]
    (_, failed), (_, began), (_, update), (_, ended) = chunks[1:]
    assert (str(failed["error"]), failed["result"]) == ("broken", {})
    assert (began["input"], update) == ({"log": ["in"]}, {"__error_handler__bad": {"log": ["bad: broken"]}})
    assert (ended["error"], ended["result"]) == (None, {"log": ["bad: broken"]})
    assert failed["id"] != began["id"] == ended["id"]


async def test_a_stream_shows_a_handler_that_fails_as_well() -> None:
    errors: dict[str, str] = {}
    chunks = alone(Failing(), Failing(lambda: KeyError("own"))).astream({}, stream_mode="tasks")

    async def look() -> None:
        async for chunk in chunks:
            errors[chunk["name"]] = repr(chunk.get("error"))

    with pytest.raises(KeyError):
        await look()
    assert errors == {"bad": "ValueError('broken')", "__error_handler__bad": "KeyError('own')"}


# -- drawings and checks -------------------------------------------------------------------------------


def edges_of(graph: Any) -> list[tuple[str, str, str | None]]:
    return [(edge.source, edge.target, edge.data) for edge in graph.get_graph().edges]


def test_handlers_are_drawn_between_their_nodes_and_what_they_lead_to() -> None:
    def goes_on(state: State) -> Command[Literal["next"]]:
        return Command(goto="next")

    assert edges_of(alone(says("x"), goes_on)) == [
        (START, "bad", None),
        ("bad", "next", None),
        ("bad", "__error_handler__bad", "error"),
        ("next", END, None),
        ("__error_handler__bad", "next", None),
    ]
    assert ("__error_handler__bad", END, None) in edges_of(alone(says("x"), tells))
    assert "__error_handler__bad" in alone(says("x"), tells).get_graph().draw_mermaid()


def test_a_default_handler_is_drawn_once() -> None:
    builder = StateGraph(State).add_node("a", says("a")).add_node("b", says("b"))
    builder.set_node_defaults(error_handler=tells).add_edge(START, "a").add_edge("a", "b")
    graph = builder.compile().get_graph()
    assert [*graph.nodes] == [START, "a", "__default_error_handler__", "b", END]


def test_a_node_that_only_a_handler_leads_to_can_run() -> None:
    def goes_on(state: State) -> Command[Literal["rescue"]]:
        return Command(goto="rescue")

    builder = StateGraph(State).add_node("bad", says("x"), error_handler=goes_on)
    builder.add_node("rescue", says("rescued")).add_edge(
        START, "bad"
    ).compile()  # a warning would be an error


def test_a_loop_that_only_a_failure_ends_has_a_way_out_by_its_handler() -> None:
    builder = StateGraph(State).add_node("poll", says("x"), error_handler=tells)
    builder.add_edge(START, "poll").add_edge("poll", "poll").compile()


# -- bad input -----------------------------------------------------------------------------------------


def test_a_handler_that_wants_what_nobody_has_is_refused() -> None:
    def odd(state: State, failure: Any) -> None: ...

    with pytest.raises(
        ValueError, match=r"'failure', which a run cannot pass; .* config, error, previous, runtime"
    ):
        alone(says("x"), odd)
    with pytest.raises(TypeError, match="cannot be called"):
        alone(says("x"), 5)


def test_a_node_may_not_ask_for_an_error() -> None:
    with pytest.raises(ValueError, match="'error', which a run cannot pass"):
        alone(tells, None)


def test_names_of_handlers_are_not_for_nodes() -> None:
    for name in ("__error_handler__bad", "__default_error_handler__"):
        with pytest.raises(ValueError, match="cannot be named"):
            StateGraph(State).add_node(name, says("x"))
