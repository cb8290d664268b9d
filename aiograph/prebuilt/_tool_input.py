"""What a tools' node is called with: which calls there are to answer, and in what form. Pure.

Calls come from the last message of a model, as LangChain's or ours, or are passed by themselves. A call that
has been answered after that message is left alone; one that cannot be carried out is refused here.
"""

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from aiograph.messages import ToolCall
from aiograph.prebuilt._conversation import last_turn
from aiograph.tools import ToolCallError

WITH_CONTEXT = "tool_call_with_context"
"""The `__type` of an input that is one call with the state that it was made in, as a `Send` carries it."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A call to be answered."""

    call: ToolCall
    refusal: str | None = None
    """Why it is not carried out; the model is told."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a tools' node is to do."""

    calls: Sequence[Asked]
    state: Any
    """What tools see as the state."""
    is_list: bool
    """Whether messages are passed as a list, and so returned as one."""
    kin: Any
    """The message with the calls; answers are of the same library. `None` where there is no message."""


def read_input(input: Any, messages_key: str) -> Request:
    """What an input asks for.

    Raises:
        ToolCallError: It has no message of a model, or a call has no id by which it could be answered.
    """
    if isinstance(input, Mapping) and input.get("__type") == WITH_CONTEXT:
        state = input["state"]
        kin = last_turn(messages_in(state, messages_key)).said
        call = input["tool_call"]
        good, bad = ([call], []) if isinstance(call["args"], Mapping) else ([], [call])
        return Request(_asked(good, bad), state, False, kin)
    if isinstance(input, list) and input and _is_call(input[-1]):
        return Request(_asked(input), input, False, None)
    messages = messages_in(input, messages_key)
    turn = last_turn(messages)
    message = turn.said
    if message is None:
        raise ToolCallError(
            f"a tools' node answers the calls of a model's message, but there is none among the "
            f"{len(messages)} messages that it was called with"
        )
    answered = frozenset(answer.tool_call_id for answer in turn.answers)
    calls = _asked(message.tool_calls, getattr(message, "invalid_tool_calls", ()), answered)
    return Request(calls, input, isinstance(input, list), message)


def messages_in(state: Any, messages_key: str) -> Sequence[Any]:
    """The messages of a state: a list of them, or a mapping or an object that has such a list."""
    if isinstance(state, list):
        return state
    found = state.get(messages_key) if isinstance(state, Mapping) else getattr(state, messages_key, None)
    return found if isinstance(found, list | tuple) else ()


def _is_call(value: Any) -> bool:
    return isinstance(value, Mapping) and value.get("type") == "tool_call"


def _asked(
    calls: Sequence[Any], invalid: Sequence[Any] = (), answered: Set[Any] = frozenset()
) -> list[Asked]:
    wanted = [Asked(call) for call in calls] + [Asked(*_refused(call)) for call in invalid or ()]
    if nameless := [each.call["name"] for each in wanted if not each.call.get("id")]:
        raise ToolCallError(f"calls of {nameless} have no id, so that no answer could be told to be theirs")
    times = Counter(each.call["id"] for each in wanted)
    first = {each.call["id"]: each for each in reversed(wanted)}
    return [
        each if times[id] == 1 else Asked(each.call, _ambiguous(id, times[id]))
        for id, each in reversed(first.items())
        if id not in answered
    ]


def _refused(call: Any) -> tuple[ToolCall, str]:
    name = call.get("name") or ""
    text = f"Error: the arguments of the call of '{name}' are no JSON object: {call.get('args')}"
    if call.get("error"):
        text += f"\n {call['error']}"
    valid = ToolCall(name=name, args={}, id=call.get("id"), type="tool_call")
    return valid, f"{text}\n Please fix the error and try again."


def _ambiguous(id: str | None, times: int) -> str:
    return (
        f"Error: {times} calls have the id {id!r}, so none of them was carried out. "
        "Please make them again, each with an id of its own."
    )
