"""Tools in a graph: calls at once, answers in their order, questions, errors, commands, what is kept."""

import asyncio
import operator
import random
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import InvalidResumeError, NodeTimeoutError
from aiograph.graph import END, START, MessagesState, StateGraph
from aiograph.messages import AIMessage, AnyMessage, HumanMessage, ToolCall, ToolMessage
from aiograph.prebuilt import InjectedState, InjectedToolCallId, ToolNode, ToolRuntime, tools_condition
from aiograph.tools import ToolCallError, ToolResultError, tool
from aiograph.types import Command, RunnableConfig, Send, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    messages: Annotated[list[AnyMessage], operator.add]
    note: str


def call(name: str, id: str = "", **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args, id=id or name)


def said(*calls: ToolCall) -> dict[str, Any]:
    return {"messages": [AIMessage(tool_calls=[*calls])]}


def graph(*tools: Any, **options: Any) -> Any:
    compiled = {each: options.pop(each) for each in ("checkpointer", "stats", "on_error") if each in options}
    return StateGraph(State).add_node(ToolNode(tools, **options)).add_edge(START, "tools").compile(**compiled)


def answers(state: dict[str, Any]) -> list[str]:
    return [message.content for message in state["messages"] if message.type == "tool"]


@tool
async def echo(x: int) -> int:
    """Echoes."""
    return x


@tool
async def ask(question: str) -> str:
    """Asks."""
    return f"{question}: {interrupt(question)}"


# -- calls and answers ---------------------------------------------------------------------------------


async def test_a_call_is_answered_with_a_message() -> None:
    result = await graph(echo).ainvoke(said(call("echo", "c1", x=1)))
    assert result["messages"][-1] == ToolMessage("1", name="echo", tool_call_id="c1")


async def test_calls_are_carried_out_at_once_and_answered_in_their_order() -> None:
    met = asyncio.Barrier(3)

    @tool
    async def meet(x: int) -> int:
        """Meets."""
        await met.wait()
        await asyncio.sleep((3 - x) / 1000)
        return x

    result = await graph(meet).ainvoke(said(*(call("meet", str(x), x=x) for x in range(3))))
    assert answers(result) == ["0", "1", "2"]


async def test_synchronous_tools_run_beside_each_other_with_the_nodes_context() -> None:
    word: ContextVar[str] = ContextVar("word")
    met = threading.Barrier(2, timeout=10)

    @tool
    def meet() -> str:
        """Meets."""
        met.wait()
        return word.get()

    word.set("hello")
    assert answers(await graph(meet).ainvoke(said(call("meet", "1"), call("meet", "2")))) == ["hello"] * 2


def test_a_graph_with_tools_can_be_invoked_synchronously() -> None:
    assert answers(graph(echo).invoke(said(call("echo", x=1)))) == ["1"]


async def test_no_more_tools_run_at_once_than_the_limit() -> None:
    under_way, most = 0, 0

    @tool
    async def work() -> None:
        """Works."""
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    calls = said(*(call("work", str(number)) for number in range(6)))
    await graph(work).ainvoke(calls, {"max_concurrency": 2})
    assert most == 2


async def test_a_tool_sees_the_state_and_its_own_task() -> None:
    seen: list[ToolRuntime[Any, Any]] = []

    @tool
    async def look(note: Annotated[str, InjectedState("note")], runtime: ToolRuntime[Any, Any]) -> str:
        """Looks."""
        seen.append(runtime)
        runtime.stream_writer(f"looked at {note}")
        return note

    compiled = graph(look)
    state = {**said(call("look", "a", note="forged"), call("look", "b")), "note": "true"}
    chunks = [each async for each in compiled.astream(state, stream_mode=["custom", "updates"])]
    assert [mode for mode, _ in chunks] == ["custom", "custom", "updates"]
    assert answers(chunks[-1][1]["tools"]) == ["true", "true"]
    assert {runtime.tool_call_id for runtime in seen} == {"a", "b"}
    assert len({runtime.execution_info.task_id for runtime in seen if runtime.execution_info}) == 2


async def test_a_loop_of_a_model_and_its_tools() -> None:
    async def model(state: State) -> dict[str, Any]:
        done = len(answers({**state}))
        return said(call("echo", str(done), x=done)) if done < 2 else {"messages": [AIMessage("done")]}

    builder = StateGraph(State).add_node("model", model).add_node(ToolNode([echo]))
    builder.add_edge(START, "model").add_conditional_edges("model", tools_condition)
    compiled = builder.add_edge("tools", "model").compile()
    result = await compiled.ainvoke({"messages": [HumanMessage("go")]})
    assert answers(result) == ["0", "1"]
    assert result["messages"][-1].content == "done"


# -- questions -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_each_of_several_tools_that_ask_gets_its_own_answer(seed: int) -> None:
    chance = random.Random(seed)

    @tool
    async def confirm(what: str) -> str:
        """Confirms."""
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        first = interrupt(f"{what} 1")
        for _ in range(chance.randrange(5)):
            await asyncio.sleep(0)
        return f"{what}={first}{interrupt(f'{what} 2')}"

    compiled = graph(confirm, checkpointer=InMemorySaver())
    names = ["a", "b", "c"]
    state = await compiled.ainvoke(said(*(call("confirm", name, what=name) for name in names)), THREAD)
    while "__interrupt__" in state:
        asked = state["__interrupt__"]
        assert len({each.id for each in asked}) == len(asked)
        chosen = chance.sample(asked, chance.randint(1, len(asked)))
        resume = {each.id: f"<{each.value}>" for each in chosen}
        state = await compiled.ainvoke(Command(resume=resume), THREAD)
    assert answers(state) == [f"{name}=<{name} 1><{name} 2>" for name in names]


async def test_questions_come_in_the_order_of_the_calls() -> None:
    @tool
    async def slow(question: str) -> str:
        """Asks late."""
        await asyncio.sleep(0.001)
        return str(interrupt(question))

    compiled = graph(ask, slow, checkpointer=InMemorySaver())
    state = await compiled.ainvoke(said(call("slow", question="1st"), call("ask", question="2nd")), THREAD)
    assert [each.value for each in state["__interrupt__"]] == ["1st", "2nd"]


async def test_a_tool_that_has_answered_does_not_run_again_when_another_one_had_asked() -> None:
    runs: list[int] = []

    @tool
    async def pay(amount: int) -> str:
        """Pays."""
        runs.append(amount)
        return "paid"

    compiled = graph(ask, pay, checkpointer=InMemorySaver())
    await compiled.ainvoke(said(call("pay", amount=5), call("ask", question="sure?")), THREAD)
    result = await compiled.ainvoke(Command(resume="yes"), THREAD)
    assert answers(result) == ["paid", "sure?: yes"]
    assert runs == [5]


async def test_a_tool_that_has_answered_does_not_run_again_when_another_one_had_failed() -> None:
    runs: list[int] = []

    @tool
    async def pay(amount: int) -> str:
        """Pays."""
        runs.append(amount)
        return "paid"

    @tool
    async def fail() -> str:
        """Fails at first."""
        await asyncio.sleep(0.001)
        if len(runs) == 1:
            runs.append(0)
            raise OSError("down")
        return "up"

    compiled = graph(pay, fail, checkpointer=InMemorySaver())
    with pytest.raises(OSError, match="down"):
        await compiled.ainvoke(said(call("pay", amount=5), call("fail")), THREAD)
    assert answers(await compiled.ainvoke(None, THREAD)) == ["paid", "up"]
    assert runs == [5, 0]


async def test_an_answer_to_a_call_is_not_taken_for_one_to_a_changed_call() -> None:
    compiled = graph(ask, checkpointer=InMemorySaver())
    state = await compiled.ainvoke(said(call("ask", "c1", question="delete a?")), THREAD)
    changed = AIMessage(tool_calls=[call("ask", "c1", question="delete everything?")])
    resume = {state["__interrupt__"][0].id: "yes"}
    state = await compiled.ainvoke(Command(resume=resume, update={"messages": [changed]}), THREAD)
    assert [each.value for each in state["__interrupt__"]] == ["delete everything?"]


async def test_an_answer_that_does_not_fit_is_not_told_the_model() -> None:
    @tool
    async def count() -> str:
        """Counts."""
        return str(interrupt("how many?", response_schema=int))

    compiled = graph(count, checkpointer=InMemorySaver(), handle_tool_errors=True)
    await compiled.ainvoke(said(call("count")), THREAD)
    with pytest.raises(InvalidResumeError):
        await compiled.ainvoke(Command(resume="many"), THREAD)
    assert answers(await compiled.ainvoke(Command(resume=3), THREAD)) == ["3"]


# -- ends ----------------------------------------------------------------------------------------------


async def test_cancelling_a_run_cancels_its_tools_and_waits_for_them() -> None:
    begun, ended = asyncio.Event(), list[int]()

    @tool
    async def hang(x: int) -> None:
        """Hangs."""
        try:
            if x:
                begun.set()
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(x)

    run = asyncio.create_task(graph(hang).ainvoke(said(call("hang", "a", x=0), call("hang", "b", x=1))))
    await begun.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert sorted(ended) == [0, 1]


@pytest.mark.parametrize(("on_error", "ended"), [("cancel", []), ("finish", ["slow"])])
async def test_a_tool_that_fails_has_the_others_cancelled_unless_the_graph_says_otherwise(
    on_error: str, ended: list[str]
) -> None:
    done: list[str] = []

    @tool
    async def fail() -> None:
        """Fails."""
        raise ValueError("bad")

    @tool
    async def slow() -> None:
        """Slow."""
        await asyncio.sleep(0.01)
        done.append("slow")

    with pytest.raises(ValueError, match="bad") as caught:
        await graph(slow, fail, on_error=on_error).ainvoke(said(call("slow"), call("fail")))
    assert done == ended
    assert "'fail'" in caught.value.__notes__[0]


# -- commands ------------------------------------------------------------------------------------------


@tool
async def take_note(text: str, runtime: ToolRuntime[Any, Any]) -> Command[Any]:
    """Takes a note."""
    message = ToolMessage("noted", tool_call_id=runtime.tool_call_id or "")
    return Command(update={"note": text, "messages": [message]})


async def test_a_tool_may_update_the_state() -> None:
    result = await graph(take_note, echo).ainvoke(said(call("take_note", text="x"), call("echo", x=1)))
    assert answers(result) == ["noted", "1"]
    assert result["note"] == "x"
    assert result["messages"][1].name == "take_note"


async def test_a_command_without_a_message_for_its_call_is_refused() -> None:
    @tool
    async def forget() -> Command[Any]:
        """Forgets."""
        return Command(update={"note": ""})

    with pytest.raises(ToolResultError, match=r"0 messages for its call 'forget'"):
        await graph(forget).ainvoke(said(call("forget")))


async def test_tools_may_send_to_the_graph_around() -> None:
    @tool
    async def hand_over(to: str) -> Command[Any]:
        """Hands over."""
        return Command(graph=Command.PARENT, goto=[Send("worker", {"note": to})])

    def worker(state: State) -> dict[str, Any]:
        return {"messages": [HumanMessage(state["note"])]}

    outer = StateGraph(State).add_node("agent", graph(hand_over), destinations=("worker",))
    compiled: Any = outer.add_node("worker", worker).add_edge(START, "agent").compile()
    calls = said(call("hand_over", "1", to="x"), call("hand_over", "2", to="y"))
    result = await compiled.ainvoke(calls)
    assert [each.content for each in result["messages"] if each.type == "human"] == ["x", "y"]


async def test_one_call_may_be_sent_with_the_state_it_was_made_in() -> None:
    def fan_out(state: State) -> list[Send]:
        return [
            Send("tools", {"__type": "tool_call_with_context", "tool_call": each, "state": state})
            for each in state["messages"][-1].tool_calls  # type: ignore[union-attr]  # the model's
        ]

    @tool
    async def look(note: Annotated[str, InjectedState("note")]) -> str:
        """Looks."""
        return note

    builder = StateGraph(State).add_node("agent", lambda state: said(call("look", "1"), call("look", "2")))
    builder.add_node(ToolNode([look])).add_edge(START, "agent")
    compiled = builder.add_conditional_edges("agent", fan_out, ["tools"]).add_edge("tools", END).compile()
    assert answers(await compiled.ainvoke({"note": "here"})) == ["here", "here"]


# -- bad input -----------------------------------------------------------------------------------------


def refuse(*_: Any) -> None:
    raise AssertionError("was called")


async def test_a_model_is_told_of_each_call_that_cannot_be_carried_out() -> None:
    message = AIMessage(
        tool_calls=[call("nothing"), call("echo", "bad", x="word"), call("echo", "good", x=1)],
        invalid_tool_calls=[{"name": "echo", "args": '{"x": ', "id": "torn", "error": "ends too early"}],
    )
    result = await graph(echo).ainvoke({"messages": [message]})
    found = [(each.tool_call_id, each.status) for each in result["messages"][1:]]
    assert found == [("nothing", "error"), ("bad", "error"), ("good", "success"), ("torn", "error")]
    told = answers(result)
    assert told[0] == "Error: nothing is not a valid tool, try one of [echo]."
    assert "x: Input should be a valid integer" in told[1]
    assert "no JSON object" in told[3]


async def test_calls_with_one_id_are_not_carried_out_and_answered_once() -> None:
    once = tool("once", description="Once.")(refuse)
    result = await graph(once, echo).ainvoke(said(call("once", "1"), call("once", "1"), call("echo", x=1)))
    assert [each.tool_call_id for each in result["messages"][1:]] == ["1", "echo"]
    assert "2 calls have the id '1'" in answers(result)[0]


async def test_a_call_without_an_id_is_the_callers_problem() -> None:
    with pytest.raises(ToolCallError, match=r"calls of \['echo'\] have no id"):
        await graph(echo).ainvoke(said({"name": "echo", "args": {"x": 1}, "id": None}))


async def test_a_call_that_was_answered_is_left_alone() -> None:
    state = said(call("echo", "1", x=1), call("echo", "2", x=2))
    state["messages"].append(ToolMessage("by hand", tool_call_id="1"))
    assert answers(await graph(echo).ainvoke(state)) == ["by hand", "2"]


@pytest.mark.parametrize("policy", [False, True])
async def test_what_is_no_json_is_told_the_model_or_the_caller(policy: bool) -> None:
    @tool
    async def odd() -> Any:
        """Odd."""
        return {"a": object()}

    compiled: Callable[..., Any] = graph(odd, handle_tool_errors=policy).ainvoke
    if policy:
        assert "no JSON stands for" in answers(await compiled(said(call("odd"))))[0]
    else:
        with pytest.raises(ToolResultError, match="a dict that no JSON stands for"):
            await compiled(said(call("odd")))


async def test_the_same_call_in_one_node_is_carried_out_each_time_it_is_made() -> None:
    runs: list[int] = []

    @tool
    async def count() -> int:
        """Counts."""
        runs.append(1)
        return len(runs)

    tools = ToolNode([count])

    async def node(state: State) -> dict[str, Any]:
        return {
            "messages": [*await tools.ainvoke(state["messages"]), *await tools.ainvoke(state["messages"])]
        }

    compiled: Any = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    assert answers(await compiled.ainvoke(said(call("count")))) == ["1", "2"]


def test_a_synchronous_node_may_invoke_tools() -> None:
    tools = ToolNode([ask])

    def node(state: State) -> dict[str, Any]:
        return {"messages": tools.invoke(state["messages"])}

    builder = StateGraph(State).add_node("node", node).add_edge(START, "node")
    compiled: Any = builder.compile(checkpointer=InMemorySaver())
    compiled.invoke(said(call("ask", question="?")), THREAD)
    assert answers(compiled.invoke(Command(resume="!"), THREAD)) == ["?: !"]


async def test_tools_are_counted_by_their_names() -> None:
    compiled = graph(echo, stats=True)
    await compiled.ainvoke(said(call("echo", "1", x=1), call("echo", "2", x=1)))
    nodes = compiled.stats.totals.nodes
    assert (nodes["tools"].tasks, nodes["echo"].tasks) == (1, 2)


async def test_other_answers_go_along_with_a_command_for_the_graph_around() -> None:
    @tool
    async def transfer(call: Annotated[str, InjectedToolCallId]) -> Command[Any]:
        """Transfers."""
        message = ToolMessage("transferred", tool_call_id=call)
        return Command(graph=Command.PARENT, goto="other", update={"messages": [message]})

    outer = StateGraph(State).add_node("agent", graph(transfer, echo), destinations=("other",))
    compiled: Any = outer.add_node("other", lambda state: {}).add_edge(START, "agent").compile()
    result = await compiled.ainvoke(said(call("transfer"), call("echo", x=1)))
    assert answers(result) == ["transferred", "1"]


async def test_what_runs_inside_a_tool_is_told_of_its_node_and_shown_when_it_has_finished() -> None:
    @tool
    async def where(config: RunnableConfig) -> str:
        """Where."""
        return str(config["metadata"]["langgraph_node"])

    shown = [each async for each in graph(where).astream(said(call("where")), stream_mode="messages")]
    ((message, metadata),) = shown
    assert (message.content, metadata["langgraph_node"]) == ("tools", "tools")


async def test_a_node_that_gives_up_on_its_tools_has_them_cancelled() -> None:
    ended: list[str] = []

    @tool
    async def hang(mark: str) -> None:
        """Hangs."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(mark)

    tools = ToolNode([hang])

    async def node(state: State) -> dict[str, Any]:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await tools.ainvoke(state)
        return {"note": "gone on"}

    compiled: Any = StateGraph(State).add_node("node", node).add_edge(START, "node").compile()
    result = await compiled.ainvoke(said(call("hang", "1", mark="a"), call("hang", "2", mark="b")))
    assert (result["note"], sorted(ended)) == ("gone on", ["a", "b"])


async def test_a_timeout_of_the_node_gives_up_on_synchronous_tools() -> None:
    released = threading.Event()

    @tool
    def hang() -> None:
        """Hangs."""
        released.wait(10)

    builder = StateGraph(State).add_node(ToolNode([hang]), timeout=0.02).add_edge(START, "tools")
    compiled: Any = builder.compile()
    with pytest.raises(NodeTimeoutError):
        await compiled.ainvoke(said(call("hang", "1"), call("hang", "2")))
    released.set()


async def test_commands_are_kept_while_others_ask() -> None:
    compiled = graph(ask, take_note, checkpointer=InMemorySaver())
    await compiled.ainvoke(said(call("take_note", text="x"), call("ask", question="?")), THREAD)
    result = await compiled.ainvoke(Command(resume="!"), THREAD)
    assert (answers(result), result["note"]) == (["noted", "?: !"], "x")


async def test_messages_are_shown_with_the_ids_that_they_have_in_the_state() -> None:
    builder = StateGraph(MessagesState).add_node(ToolNode([echo, ask])).add_edge(START, "tools")
    compiled: Any = builder.compile(checkpointer=InMemorySaver())
    calls = said(call("echo", x=1), call("ask", question="?"))
    shown = [message async for message, _ in compiled.astream(calls, THREAD, stream_mode="messages")]
    resumed = compiled.astream(Command(resume="!"), THREAD, stream_mode="messages")
    shown += [message async for message, _ in resumed]
    state = (await compiled.aget_state(THREAD)).values["messages"]
    assert {each.id for each in shown} == {each.id for each in state if each.type == "tool"}
