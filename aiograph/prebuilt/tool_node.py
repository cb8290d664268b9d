"""`ToolNode`, a node that carries out what a model calls; and the condition that leads to it.

Inside a run each call is a task of its own, as if a node had called it by `aiograph.func.task`: begun at
once, counted by `max_concurrency`, cancelled with the node. What it answers is stored when it ends, under an
id that the call itself makes. So when the node runs again, as another call has asked or failed, or after a
crash, a call that was answered is not carried out again; and each has questions of its own.
"""

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal, NamedTuple, TypeAlias

from aiograph import bridge
from aiograph._context import TaskScope, current_task
from aiograph.bridge import blocking
from aiograph.constants import PUSH, RETURN
from aiograph.messages import ToolCall
from aiograph.prebuilt._conversation import is_of_model
from aiograph.prebuilt._tool_answers import Answers, Output, combined
from aiograph.prebuilt._tool_errors import HandleToolErrors, tell_faults, told_by
from aiograph.prebuilt._tool_input import Asked, Request, messages_in, read_input
from aiograph.pregel._callable import settled
from aiograph.pregel._plan import Call, PlannedNode
from aiograph.runtime import Runtime
from aiograph.tools import (
    InjectedState,
    InjectedStore,
    InjectedToolCallId,
    Tool,
    ToolCallError,
    ToolInvocationError,
    ToolResultError,
    ToolRuntime,
    ToolTimeoutError,
    as_tool,
)
from aiograph.tools._runtime import give_ups_here, runtime_by_hand
from aiograph.types import RunnableConfig

__all__ = [
    "AsyncToolCallWrapper",
    "InjectedState",
    "InjectedStore",
    "InjectedToolCallId",
    "ToolCallError",
    "ToolCallRequest",
    "ToolCallWrapper",
    "ToolInvocationError",
    "ToolNode",
    "ToolResultError",
    "ToolRuntime",
    "ToolTimeoutError",
    "tools_condition",
]


@dataclass(frozen=True, slots=True)
class ToolCallRequest:
    """A call, on its way to the tool. Wrappers see it, and may hand on another one."""

    tool_call: ToolCall
    tool: Any
    """The tool that is called; `None` if there is none of that name."""
    state: Any
    """What the tools' node was called with."""
    runtime: ToolRuntime[Any, Any]

    def override(self, **changes: Any) -> "ToolCallRequest":
        """The same request with other values for some fields.

        Raises:
            TypeError: There is no such field.
        """
        return replace(self, **changes)


ToolCallWrapper: TypeAlias = Callable[[ToolCallRequest, Callable[[ToolCallRequest], Any]], Any]
"""Called in place of the tool with the request and what carries it out; returns the answer."""

AsyncToolCallWrapper: TypeAlias = Callable[
    [ToolCallRequest, Callable[[ToolCallRequest], Awaitable[Any]]], Awaitable[Any]
]
"""The same, asynchronous."""


class _Round(NamedTuple):
    """One run of a tools' node."""

    request: Request
    answers: Answers
    config: RunnableConfig | None
    runtime: Runtime[Any] | None


class ToolNode:
    """A node that carries out the tool calls of a model's last message, at once, and answers each.

    It is called with a state that has messages, or with a list of them, and returns the answers in the same
    form and in the order of the calls; with a list of calls, or with one call and the state that it was made
    in, it returns a state. If a tool returns a `Command`, a list of commands and states is returned.

    Synchronous tools run in worker threads. If one fails and the model is not told, the others are cancelled,
    or finish, as `on_error` of the graph says; if one asks by `interrupt`, the others finish. What was
    answered by then is kept, and not carried out again when the node runs again.

    A model is told what it did wrong: a tool that does not exist, arguments that are no JSON or do not fit,
    an id that it gave twice. A call that was answered already, after the message that made it, is left out.

    Args:
        tools: Functions, `Tool`s, tools of LangChain; those that run at the model's provider are left out.
        name: Of the node.
        tags: For what runs inside.
        handle_tool_errors: Of which other errors a model is told: of all (`True`), by this text, by what this
            function returns for exceptions of the type that its parameter is annotated with, or of exceptions
            of these types. By default of wrong arguments and exceeded timeouts; `False` raises these as well.
            Questions, and whatever else is for those who run the graph, always pass.
        messages_key: Where a state has its messages.
        wrap_tool_call: Called in place of each tool, in a worker thread, with the request and a function that
            carries it out.
        awrap_tool_call: The same, asynchronous; it is preferred.

    Raises:
        TypeError: Something is not a tool.
        ValueError: Two tools have the same name.

    Examples:
        >>> from aiograph.messages import AIMessage
        >>> def add(a: int, b: int) -> int:
        ...     '''Adds.'''
        ...     return a + b
        >>> said = AIMessage(tool_calls=[{"name": "add", "args": {"a": 1, "b": 2}, "id": "call-1"}])
        >>> ToolNode([add]).invoke([said])[0].content
        '3'
    """

    def __init__(
        self,
        tools: Sequence[Any],
        *,
        name: str = "tools",
        tags: Sequence[str] | None = None,
        handle_tool_errors: HandleToolErrors = tell_faults,
        messages_key: str = "messages",
        wrap_tool_call: ToolCallWrapper | None = None,
        awrap_tool_call: AsyncToolCallWrapper | None = None,
    ) -> None:
        self.name = name
        self.tags = tuple(tags or ())
        self.messages_key = messages_key
        self.tools_by_name: Mapping[str, Tool] = _by_name(tools)
        """The tools that are called here."""
        self._told = told_by(handle_tool_errors)
        self._wrap = wrap_tool_call
        self._awrap = awrap_tool_call

    async def ainvoke(
        self, input: Any, config: RunnableConfig | None = None, *, runtime: Runtime[Any] | None = None
    ) -> Any:
        """Carries out the calls and returns the answers; see `ToolNode`.

        Cancelling it cancels the tools, and waits for their end.

        Args:
            input: A state, a list of messages, or calls.
            config: For tools that ask for it; inside a run, that of the task by default.
            runtime: Context, store and writer for tools that ask for them; inside a run, from the task by
                default.

        Raises:
            ToolCallError: There is no message of a model, or a call without an id.
            ToolResultError: A tool returned what is no answer, and the model is not told.
            Exception: Whatever a tool raised and the model is not told.
        """
        request = read_input(input, self.messages_key)
        todo = _Round(request, Answers(request, self.messages_key), config, runtime)
        scope = current_task.get()
        if scope is None or scope.run.desk is None:
            answered = await self._by_hand(todo)
        else:
            answered = await self._as_tasks(todo, scope)
        outputs = [output for each in answered for output in each]
        return combined(outputs, request, self.messages_key)

    invoke = blocking(ainvoke)

    def looks_at_state(self, name: str) -> bool:
        """Whether the state matters to calls of that tool: it is injected something, or a wrapper sees it."""
        if self._wrap is not None or self._awrap is not None:
            return True
        return name in self.tools_by_name and bool(self.tools_by_name[name].injected)

    # -- all calls of a round --------------------------------------------------------------------------

    async def _by_hand(self, todo: _Round) -> list[list[Output]]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._answer(todo, each)) for each in todo.request.calls]
        except BaseExceptionGroup as failures:
            first = failures.exceptions[0]
            raise first from first.__cause__
        return [task.result() for task in tasks]

    async def _as_tasks(self, todo: _Round, scope: TaskScope) -> list[list[Output]]:
        desk = scope.run.desk
        assert desk is not None
        calls = todo.request.calls
        futures = [
            desk.call(scope, self._node(todo, each, scope.name), each.call, _key(each.call)) for each in calls
        ]
        if len(futures) < 2:
            return [await future for future in futures]
        return await _all_of([asyncio.wrap_future(future) for future in futures])

    def _node(self, todo: _Round, asked: Asked, part_of: str) -> PlannedNode:
        """A call, described as nodes are."""
        called = asked.call["name"]
        name = _label(called) if called in self.tools_by_name else "tool"

        async def answer(call: ToolCall, scope: TaskScope) -> list[Output]:
            return await self._answer(todo, asked)

        return PlannedNode(
            name=name,
            triggers=(PUSH,),
            read=lambda values, remaining: None,
            call=Call(answer, is_async=True),
            write=lambda outputs: [(RETURN, [name, outputs])],
            tags=self.tags,
            part_of=part_of,
        )

    # -- one call --------------------------------------------------------------------------------------

    async def _answer(self, todo: _Round, asked: Asked) -> list[Output]:
        call, answers = asked.call, todo.answers
        if asked.refusal is not None:
            return [answers.error(call, asked.refusal)]
        state = todo.request.state
        runtime = runtime_by_hand(
            todo.config,
            todo.runtime,
            state=state,
            call_id=call["id"],
            tools=[*self.tools_by_name.values()],
            messages_key=self.messages_key,
        )
        request = ToolCallRequest(call, self.tools_by_name.get(call["name"]), state, runtime)
        carry_out = partial(self._carry_out, answers)
        try:
            return answers.checked(await self._wrapped(request, carry_out), call)
        except Exception as error:
            if (text := self._told(error)) is None:
                raise
            return [answers.error(call, text)]

    async def _wrapped(
        self, request: ToolCallRequest, carry_out: Callable[[ToolCallRequest], Awaitable[Output]]
    ) -> Output:
        if self._awrap is not None:
            return await self._awrap(request, carry_out)
        if self._wrap is None:
            return await carry_out(request)

        def execute(changed: ToolCallRequest) -> Output:
            return bridge.run(lambda: carry_out(changed), verb="execute")

        work = partial(self._wrap, request, execute)
        return await settled(await bridge.off_loop(work, give_ups=give_ups_here()))

    async def _carry_out(self, answers: Answers, request: ToolCallRequest) -> Output:
        call = request.tool_call
        if request.tool is None:
            return answers.error(call, self._unknown(call["name"]))
        tool = as_tool(request.tool)
        try:
            if not isinstance(call["args"], Mapping):
                raise ToolInvocationError(tool.name, {}, ["the arguments are no JSON object"])
            runtime = replace(request.runtime, state=request.state, tool_call_id=call["id"])
            result = await tool.carry(tool.bind(call["args"], runtime))
            return answers.of(result, call, tool)
        except Exception as error:
            if (text := self._told(error)) is None:
                raise
            return answers.error(call, text)

    def _unknown(self, name: str) -> str:
        known = ", ".join(self.tools_by_name)
        return f"Error: {name} is not a valid tool, try one of [{known}]."


def _by_name(tools: Sequence[Any]) -> dict[str, Tool]:
    named: dict[str, Tool] = {}
    for tool in map(as_tool, tools):
        if tool.name in named:
            raise ValueError(f"two tools have the name {tool.name!r}: a model could not tell them apart")
        if tool.is_called_here:
            named[tool.name] = tool
    return named


async def _all_of(waited_for: "Sequence[asyncio.Future[list[Output]]]") -> list[list[Output]]:
    """The results of calls, as soon as one has failed or asked, or all have ended.

    What has not ended by then is left to the task that all of them belong to. A cancellation cancels them.
    """
    for future in waited_for:
        future.add_done_callback(_take_note)
    try:
        await asyncio.wait(waited_for, return_when=asyncio.FIRST_EXCEPTION)
    except asyncio.CancelledError:
        for future in waited_for:
            future.cancel()
        raise
    for future in waited_for:
        if future.done() and not future.cancelled() and (error := future.exception()) is not None:
            raise error
    return [future.result() for future in waited_for]


def _take_note(future: "asyncio.Future[list[Output]]") -> None:
    """Somebody knows of its failure, even if another one is raised."""
    if not future.cancelled():
        future.exception()


def _key(call: ToolCall) -> str:
    """By what a call is found again: if a model's message is changed meanwhile, it is another one."""
    return json.dumps([call["id"], call["name"], call["args"]], sort_keys=True, default=repr)


def _label(name: str) -> str:
    """A name for a task, in which what separates names of tasks has no place."""
    return re.sub(r"[|:]", "_", name)


def tools_condition(state: Any, messages_key: str = "messages") -> Literal["tools", "__end__"]:
    """Where a graph goes from its model: to the tools if the last message calls any, else to its end.

    A call with malformed arguments is one for the tools as well: the model is told.

    Args:
        state: A list of messages, or a mapping or an object that has one.
        messages_key: Where it has it.

    Raises:
        ToolCallError: There is no message.
    """
    messages = messages_in(state, messages_key)
    if not messages:
        raise ToolCallError(f"there are no messages in {messages_key!r} to tell where to go on")
    last = messages[-1]
    calls = is_of_model(last) and (last.tool_calls or getattr(last, "invalid_tool_calls", None))
    return "tools" if calls else "__end__"
