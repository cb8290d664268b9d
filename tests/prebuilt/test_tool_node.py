"""The tools' node by itself: forms of input and output, policies for errors, wrappers."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from aiograph.errors import OutsideRunError
from aiograph.messages import AIMessage, HumanMessage, RemoveMessage, ToolCall, ToolMessage
from aiograph.prebuilt import InjectedState, ToolNode, ToolRuntime, tools_condition
from aiograph.prebuilt.tool_node import ToolCallRequest
from aiograph.runtime import Runtime
from aiograph.store.memory import InMemoryStore
from aiograph.tools import ToolCallError, ToolInvocationError, ToolResultError, tool
from aiograph.types import Command, Send, interrupt


@tool
async def echo(x: Any) -> Any:
    """Echoes."""
    return x


@tool
async def fail(x: str = "bad") -> None:
    """Fails."""
    raise ValueError(x)


def call(name: str, id: str = "1", **args: Any) -> ToolCall:
    return ToolCall(name=name, args=args, id=id, type="tool_call")


def said(*calls: ToolCall) -> list[Any]:
    return [HumanMessage("please"), AIMessage(tool_calls=[*calls])]


ONE = ToolMessage("1", name="echo", tool_call_id="1")


@dataclass
class Record:
    messages: list[Any] = field(default_factory=list)


class Model(BaseModel):
    messages: list[Any]


# -- forms ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [dict, Record, Model])
async def test_a_state_is_answered_with_an_update(make: Callable[..., Any]) -> None:
    assert await ToolNode([echo]).ainvoke(make(messages=said(call("echo", x=1)))) == {"messages": [ONE]}


async def test_a_list_of_messages_is_answered_with_one() -> None:
    assert await ToolNode([echo]).ainvoke(said(call("echo", x=1))) == [ONE]


async def test_calls_by_themselves_are_answered_with_an_update() -> None:
    assert await ToolNode([echo]).ainvoke([call("echo", x=1)]) == {"messages": [ONE]}


async def test_messages_may_be_kept_under_another_key() -> None:
    node = ToolNode([echo], messages_key="talk")
    assert await node.ainvoke({"talk": said(call("echo", x=1))}) == {"talk": [ONE]}


async def test_a_call_may_come_with_the_state_that_it_was_made_in() -> None:
    @tool
    async def look(messages: Annotated[list[Any], InjectedState("messages")]) -> int:
        """Looks."""
        return len(messages)

    state = {"messages": said(call("look"))}
    sent = {"__type": "tool_call_with_context", "tool_call": call("look"), "state": state}
    answers = await ToolNode([look]).ainvoke(sent)
    assert answers["messages"][0].content == "2"


@pytest.mark.parametrize("input", [{"messages": []}, {}, [], [HumanMessage("x")], Record()])
async def test_without_a_message_of_a_model_there_is_nothing_to_answer(input: Any) -> None:
    with pytest.raises(ToolCallError, match="there is none among"):
        await ToolNode([echo]).ainvoke(input)


async def test_a_message_without_calls_has_no_answers() -> None:
    assert await ToolNode([echo]).ainvoke(said()) == []


def test_it_can_be_invoked_synchronously_outside_of_a_run() -> None:
    assert ToolNode([echo]).invoke(said(call("echo", x=1))) == [ONE]


async def test_outside_of_a_run_calls_are_carried_out_at_once_as_well() -> None:
    met = threading.Barrier(2, timeout=10)

    @tool
    def meet() -> None:
        """Meets."""
        met.wait()

    answers = await ToolNode([meet]).ainvoke(said(call("meet", "1"), call("meet", "2")))
    assert [each.tool_call_id for each in answers] == ["1", "2"]


async def test_outside_of_a_run_the_first_failure_is_raised_and_the_others_are_cancelled() -> None:
    ended = asyncio.Event()

    @tool
    async def hang() -> None:
        """Hangs."""
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    with pytest.raises(ValueError, match="bad"):
        await ToolNode([hang, fail]).ainvoke(said(call("hang", "1"), call("fail", "2")))
    assert ended.is_set()


async def test_outside_of_a_run_nobody_can_be_asked() -> None:
    @tool
    async def ask() -> str:
        """Asks."""
        return str(interrupt("?"))

    with pytest.raises(OutsideRunError):
        await ToolNode([ask]).ainvoke(said(call("ask")))


async def test_what_tools_are_given_can_be_passed_by_hand() -> None:
    @tool
    async def look(runtime: ToolRuntime[Any, Any]) -> str:
        """Looks."""
        has_store = runtime.store is not None
        return f"{runtime.context} {has_store} {runtime.config} {[each.name for each in runtime.tools]}"

    runtime = Runtime(context=7, store=InMemoryStore())
    (answer,) = await ToolNode([look]).ainvoke(said(call("look")), {"tags": ["x"]}, runtime=runtime)
    assert answer.content == "7 True {'tags': ['x']} ['look']"


def test_two_tools_must_not_have_one_name() -> None:
    with pytest.raises(ValueError, match="two tools have the name 'echo'"):
        ToolNode([echo, echo])


async def test_tools_of_the_provider_are_left_to_it() -> None:
    node = ToolNode([{"type": "web_search"}, echo])
    assert list(node.tools_by_name) == ["echo"]


# -- what tools return ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("text", "text"),
        (None, "null"),
        ({"ä": [1.5, None]}, '{"ä":[1.5,null]}'),
        ([{"type": "text", "text": "x"}, "y"], [{"type": "text", "text": "x"}, "y"]),
        ([], "[]"),
        ("file\udcff", "file\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        (["file\udcff"], '["file\ufffd"]'),
        (["a.txt", "b.txt"], '["a.txt","b.txt"]'),
        ([{"type": "invoice", "id": 3}], '[{"type":"invoice","id":3}]'),
        ([{"type": ["odd"]}], '[{"type":["odd"]}]'),
        (10**30, "1" + "0" * 30),
        ((1, 2), "[1,2]"),
        ({3}, "[3]"),
        (Record([1]), '{"messages":[1]}'),
        (Model(messages=["x"]), '{"messages":["x"]}'),
        (Decimal("1.50"), '"1.50"'),
    ],
)
async def test_what_a_tool_returns_is_shown_as_text_or_json(value: Any, content: Any) -> None:
    @tool
    async def give() -> Any:
        """Gives."""
        return value

    (answer,) = await ToolNode([give]).ainvoke(said(call("give")))
    assert answer.content == content


@pytest.mark.parametrize("value", [object(), b"bytes", {"a": {"b": object()}}, "x\ud800" and [object]])
async def test_what_is_no_json_is_refused(value: Any) -> None:
    @tool
    async def give() -> Any:
        """Gives."""
        return value

    with pytest.raises(ToolResultError, match=r"'give' returned a .* that no JSON stands for"):
        await ToolNode([give]).ainvoke(said(call("give")))


@pytest.mark.parametrize("wrap", [lambda command: command, lambda command: [command]])
async def test_a_command_of_another_library_is_refused(wrap: Any) -> None:
    @dataclass
    class Command:
        update: Any

    @tool
    async def give() -> Any:
        """Gives."""
        return wrap(Command({"messages": []}))

    with pytest.raises(ToolResultError, match=r"import it from aiograph\.types"):
        await ToolNode([give]).ainvoke(said(call("give")))


async def test_what_goes_in_circles_is_refused() -> None:
    circle: list[Any] = []
    circle.append(circle)

    @tool
    async def give() -> Any:
        """Gives."""
        return circle

    with pytest.raises(ToolResultError):
        await ToolNode([give]).ainvoke(said(call("give")))


async def test_an_artifact_is_kept_from_the_model() -> None:
    @tool(response_format="content_and_artifact")
    async def draw() -> Any:
        """Draws."""
        return "a dot", b"."

    (answer,) = await ToolNode([draw]).ainvoke(said(call("draw")))
    assert (answer.content, answer.artifact) == ("a dot", b".")


async def test_a_tool_with_artifacts_has_to_return_a_pair() -> None:
    @tool(response_format="content_and_artifact")
    async def draw() -> Any:
        """Draws."""
        return "a dot"

    with pytest.raises(ToolResultError, match="no pair"):
        await ToolNode([draw]).ainvoke(said(call("draw")))


async def returned(value: Any, *, form: str = "dict") -> Any:
    @tool
    async def give() -> Any:
        """Gives."""
        return value

    messages = said(call("give"))
    return await ToolNode([give]).ainvoke({"messages": messages} if form == "dict" else messages)


MESSAGE = ToolMessage("done", tool_call_id="1")


async def test_a_tool_may_make_its_message_itself() -> None:
    named = ToolMessage("done", name="give", tool_call_id="1")
    assert await returned(ToolMessage("done", tool_call_id="")) == {"messages": [named]}
    assert await returned([MESSAGE]) == {"messages": [named]}


async def test_a_command_comes_in_a_list() -> None:
    (command,) = await returned(Command(update={"messages": [MESSAGE, HumanMessage("x")], "a": 1}, goto="b"))
    assert (command.goto, command.update["a"]) == ("b", 1)
    assert [each.content for each in command.update["messages"]] == ["done", "x"]


@pytest.mark.parametrize("update", [[("messages", [MESSAGE]), ("a", 1)], Record([MESSAGE])])
async def test_a_command_may_have_any_form_of_update(update: Any) -> None:
    assert await returned(Command(update=update)) == [Command(update=update)]


async def test_commands_and_a_message_may_come_together() -> None:
    command, update = await returned([Command(update={"a": 1}), MESSAGE])
    assert command == Command(update={"a": 1})
    assert update["messages"][0].content == "done"


async def test_a_command_may_remove_all_messages() -> None:
    gone: Any = Command(update={"messages": [RemoveMessage("__remove_all__")]})
    assert await returned(gone) == [gone]


async def test_a_command_for_the_graph_around_needs_no_message() -> None:
    away = Command(graph=Command.PARENT, goto="other")
    assert await returned(away) == [away]


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (Command(update={"a": 1}), "0 messages"),
        (Command(goto="x"), "0 messages"),
        ([Command(update={"a": 1}), Command(update={"b": 1})], "0 messages"),
        (Command(update={"messages": [MESSAGE, MESSAGE]}), "2 messages"),
        ([MESSAGE, MESSAGE], "2 messages"),
        (ToolMessage("x", tool_call_id="other"), r"answers to \['other'\], but was called as '1'"),
        (Command(update=[MESSAGE]), "has to be no list"),
    ],
)
async def test_a_call_gets_exactly_one_answer(value: Any, what: str) -> None:
    with pytest.raises(ToolResultError, match=f"'give' returned .*{what}"):
        await returned(value)


async def test_with_a_list_of_messages_a_command_has_to_have_one_too() -> None:
    (command,) = await returned(Command(update=[MESSAGE]), form="list")
    assert command.update[0].content == "done"
    with pytest.raises(ToolResultError, match="has to be a list of messages"):
        await returned(Command(update={"messages": [MESSAGE]}), form="list")


async def test_sends_to_the_graph_around_are_merged() -> None:
    @tool
    async def send(to: str) -> Any:
        """Sends."""
        return Command(graph=Command.PARENT, goto=[Send(to, None)])

    commands = await ToolNode([send]).ainvoke(said(call("send", "1", to="a"), call("send", "2", to="b")))
    assert commands == [Command(graph=Command.PARENT, goto=[Send("a", None), Send("b", None)])]


# -- errors --------------------------------------------------------------------------------------------


def only_keys(error: KeyError) -> str:
    return f"no key {error}"


def values_or_keys(error: ValueError | KeyError) -> str:
    return f"told {error}"


@pytest.mark.parametrize(
    ("policy", "content"),
    [
        (True, "Error: ValueError('bad')\n Please fix your mistakes."),
        ("try later", "try later"),
        (ValueError, "Error: ValueError('bad')\n Please fix your mistakes."),
        ((KeyError, ValueError), "Error: ValueError('bad')\n Please fix your mistakes."),
        (lambda error: f"so: {error}", "so: bad"),
        (values_or_keys, "told bad"),
    ],
)
async def test_a_model_is_told_of_errors_as_the_policy_says(policy: Any, content: str) -> None:
    (answer,) = await ToolNode([fail], handle_tool_errors=policy).ainvoke(said(call("fail")))
    assert (answer.content, answer.status, answer.tool_call_id) == (content, "error", "1")


async def test_what_a_policy_returns_is_shown_as_a_result_would_be() -> None:
    node = ToolNode([fail], handle_tool_errors=lambda error: {"wrong": str(error)})  # type: ignore[arg-type, return-value]  # no text
    (answer,) = await node.ainvoke(said(call("fail")))
    assert (answer.content, answer.status) == ('{"wrong":"bad"}', "error")


@pytest.mark.parametrize("policy", [False, None, KeyError, (KeyError,), (), only_keys])
async def test_other_errors_are_raised(policy: Any) -> None:
    with pytest.raises(ValueError, match="bad"):
        await ToolNode([fail], handle_tool_errors=policy).ainvoke(said(call("fail")))


async def test_by_default_a_model_is_told_of_wrong_arguments_and_of_no_other_errors() -> None:
    (answer,) = await ToolNode([fail]).ainvoke(said(call("fail", y=1)))
    assert answer.status == "error"
    with pytest.raises(ValueError, match="bad"):
        await ToolNode([fail]).ainvoke(said(call("fail")))


async def test_wrong_arguments_can_be_raised_as_well() -> None:
    with pytest.raises(ToolInvocationError):
        await ToolNode([fail], handle_tool_errors=False).ainvoke(said(call("fail", y=1)))


async def test_arguments_that_are_no_object_are_wrong() -> None:
    odd: Any = {"name": "echo", "args": "text", "id": "1"}
    (answer,) = await ToolNode([echo]).ainvoke(said(odd))
    assert "no JSON object" in answer.content


async def test_a_tool_that_is_slow_is_told_the_model() -> None:
    @tool(timeout=0.01)
    async def hang() -> None:
        """Hangs."""
        await asyncio.Event().wait()

    (answer,) = await ToolNode([hang]).ainvoke(said(call("hang")))
    assert answer.content == "tool 'hang' did not finish within its timeout of 0.01 s"


def test_a_policy_for_something_that_is_no_error_is_refused() -> None:
    def odd(error: int) -> str:
        return ""

    with pytest.raises(ValueError, match="which is no exception type"):
        ToolNode([echo], handle_tool_errors=odd)


def test_a_policy_that_says_nothing_is_refused() -> None:
    policy: Any = 3
    with pytest.raises(TypeError, match="not 3"):
        ToolNode([echo], handle_tool_errors=policy)


# -- wrappers ------------------------------------------------------------------------------------------

Execute = Callable[[ToolCallRequest], Awaitable[Any]]


async def test_a_wrapper_sees_the_call_and_may_change_it() -> None:
    async def double(request: ToolCallRequest, execute: Execute) -> Any:
        assert (request.tool.name, request.runtime.tool_call_id) == ("echo", "1")
        args = {"x": request.tool_call["args"]["x"] * 2}
        return await execute(request.override(tool_call={**request.tool_call, "args": args}))

    (answer,) = await ToolNode([echo], awrap_tool_call=double).ainvoke(said(call("echo", x=2)))
    assert answer.content == "4"


@pytest.mark.parametrize("is_async", [True, False])
async def test_a_wrapper_may_try_again(is_async: bool) -> None:
    tries: list[int] = []

    @tool
    async def flaky() -> str:
        """Flaky."""
        tries.append(1)
        if len(tries) < 3:
            raise OSError("down")
        return "up"

    async def again(request: ToolCallRequest, execute: Execute) -> Any:
        for _ in range(5):
            try:
                return await execute(request)
            except OSError:
                continue

    def again_sync(request: ToolCallRequest, execute: Callable[[ToolCallRequest], Any]) -> Any:
        for _ in range(5):
            try:
                return execute(request)
            except OSError:
                continue

    options: Any = {"awrap_tool_call": again} if is_async else {"wrap_tool_call": again_sync}
    (answer,) = await ToolNode([flaky], **options).ainvoke(said(call("flaky")))
    assert (answer.content, len(tries)) == ("up", 3)


async def test_a_wrapper_may_answer_itself() -> None:
    async def refuse(request: ToolCallRequest, execute: Execute) -> Any:
        return ToolMessage("not allowed", tool_call_id=request.tool_call["id"] or "", status="error")

    (answer,) = await ToolNode([fail], awrap_tool_call=refuse).ainvoke(said(call("fail")))
    assert answer.content == "not allowed"


async def test_a_wrapper_may_bring_a_tool_that_the_node_does_not_have() -> None:
    async def bring(request: ToolCallRequest, execute: Execute) -> Any:
        assert request.tool is None
        return await execute(request.override(tool=echo))

    (answer,) = await ToolNode([], awrap_tool_call=bring).ainvoke(said(call("other", x=1)))
    assert answer.content == "1"


async def test_what_a_wrapper_raises_is_told_as_what_a_tool_raises() -> None:
    async def broken(request: ToolCallRequest, execute: Execute) -> Any:
        raise RuntimeError("wrapper")

    node = ToolNode([echo], awrap_tool_call=broken, handle_tool_errors=True)
    (answer,) = await node.ainvoke(said(call("echo", x=1)))
    assert "RuntimeError('wrapper')" in answer.content


async def test_a_wrapper_has_to_return_an_answer() -> None:
    async def forget(request: ToolCallRequest, execute: Execute) -> Any:
        await execute(request)

    with pytest.raises(ToolResultError, match="by way of a wrapper"):
        await ToolNode([echo], awrap_tool_call=forget).ainvoke(said(call("echo", x=1)))


async def test_a_wrapper_cannot_answer_another_call() -> None:
    async def swap(request: ToolCallRequest, execute: Execute) -> Any:
        return await execute(request.override(tool_call={**request.tool_call, "id": "2"}))

    with pytest.raises(ToolResultError, match=r"answers to \['2'\]"):
        await ToolNode([echo], awrap_tool_call=swap).ainvoke(said(call("echo", x=1)))


# -- the condition -------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [dict, Record, Model])
def test_the_condition_leads_to_the_tools_if_any_are_called(make: Callable[..., Any]) -> None:
    assert tools_condition(make(messages=said(call("echo")))) == "tools"
    assert tools_condition(make(messages=said())) == "__end__"


def test_the_condition_takes_lists_and_other_keys() -> None:
    assert tools_condition(said(call("echo"))) == "tools"
    assert tools_condition({"talk": said(call("echo"))}, messages_key="talk") == "tools"
    assert tools_condition([*said(call("echo")), HumanMessage("x")]) == "__end__"


def test_a_call_that_cannot_be_read_is_for_the_tools_to_refuse() -> None:
    torn: Any = {"name": "echo", "args": "{", "id": "1", "error": None}
    assert tools_condition([AIMessage(invalid_tool_calls=[torn])]) == "tools"


def test_without_messages_the_condition_cannot_tell() -> None:
    with pytest.raises(ToolCallError, match="no messages in 'messages'"):
        tools_condition({"messages": []})
