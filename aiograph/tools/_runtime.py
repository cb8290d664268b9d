"""The runtime of a tool's call: of the task that calls it, or made by hand."""

from collections.abc import Sequence
from typing import Any

from aiograph._context import current_task
from aiograph._threads import GiveUp
from aiograph.config import config_of
from aiograph.runtime import Runtime, runtime_of
from aiograph.tools._injected import ToolRuntime
from aiograph.types import RunnableConfig


def give_ups_here() -> Sequence[GiveUp]:
    """What ends the wait for synchronous code of the task whose code calls."""
    scope = current_task.get()
    return () if scope is None else scope.give_ups


def runtime_by_hand(
    config: RunnableConfig | None = None,
    runtime: Runtime[Any] | None = None,
    *,
    state: Any = None,
    call_id: str | None = None,
    tools: Sequence[Any] = (),
    messages_key: str = "messages",
) -> ToolRuntime[Any, Any]:
    """What a tool can get hold of: from the task whose code calls, as far as nothing else is passed."""
    scope = current_task.get()
    if runtime is None:
        runtime = Runtime() if scope is None else runtime_of(scope)
    if config is None:
        config = {} if scope is None else config_of(scope)
    return ToolRuntime(
        state=state,
        context=runtime.context,
        config=config,
        stream_writer=runtime.stream_writer,
        tool_call_id=call_id,
        store=runtime.store,
        tools=tools,
        execution_info=runtime.execution_info,
        server_info=runtime.server_info,
        runtime=runtime,
        messages_key=messages_key,
    )
