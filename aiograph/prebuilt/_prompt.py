"""What a model is told besides the conversation: `prompt=` in all its forms, as messages."""

import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias

from aiograph._context import require_task
from aiograph.bridge import off_loop
from aiograph.messages import SystemMessage, coerce_messages
from aiograph.messages._duck import is_message
from aiograph.messages._langchain import to_langchain
from aiograph.models._langchain import is_runnable
from aiograph.prebuilt._agent_state import messages_in, with_messages
from aiograph.pregel._callable import bind, settled
from aiograph.pregel._plan import Call

Speech: TypeAlias = Callable[[Any], Awaitable[Sequence[Any]]]
"""Makes of the state what the model is told."""


def speech_of(prompt: Any) -> Speech:
    """What an agent with this prompt tells its model.

    Raises:
        TypeError: It is no prompt.
        ValueError: It is a function that requires what a run cannot pass.
    """
    if prompt is None or isinstance(prompt, str | Sequence) or is_message(prompt):
        return _after(opening(prompt))
    call = bind(prompt, "prompt")
    is_langchains = is_runnable(prompt)

    async def speak(state: Any) -> Sequence[Any]:
        if is_langchains:  # a template, which knows no messages of ours
            state = with_messages(state, to_langchain(messages_in(state)))
        return said(await called(call, state))

    return speak


def opening(prompt: Any) -> Sequence[Any]:
    """The messages that a prompt puts in front of a conversation, if it is no function."""
    if prompt is None:
        return []
    if isinstance(prompt, str):
        return [SystemMessage(prompt)]
    return coerce_messages([prompt] if is_message(prompt) else prompt)


def _after(prefix: Sequence[Any]) -> Speech:
    async def speak(state: Any) -> Sequence[Any]:
        return [*prefix, *messages_in(state)]

    return speak


def said(value: Any) -> Sequence[Any]:
    """What a prompt function has returned, as messages: text, messages, or a prompt value of LangChain's."""
    return value.to_messages() if hasattr(value, "to_messages") else coerce_messages(value)


async def called(call: Call, input: Any) -> Any:
    """What user code returns that a node calls. Synchronous code runs on a thread, as a node would."""
    scope = require_task("an agent")
    if call.is_async:
        return await call.fn(input, scope)
    return await settled(await off_loop(functools.partial(call.fn, input, scope), give_ups=scope.give_ups))
