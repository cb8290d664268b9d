"""What a conversation tells: whose turn it is, and which tool calls nobody has answered. Pure.

Messages are told apart by their `type`, so LangChain's are read like ours.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import Any, NamedTuple
from uuid import uuid4

from aiograph.errors import InvalidChatHistoryError
from aiograph.messages._duck import changed

_AI = frozenset(("ai", "AIMessageChunk"))
_KINDS = ("tool_calls", "invalid_tool_calls")


def is_of_model(message: Any) -> bool:
    """Whether a model has said it."""
    return getattr(message, "type", None) in _AI


class Turn(NamedTuple):
    """What the model has said last, and what has come after it."""

    said: Any
    """The message; `None` if the model has not said anything yet."""
    since: Sequence[Any]

    @property
    def calls(self) -> list[Any]:
        """The tool calls that it makes."""
        return [] if self.said is None else calls_of(self.said)

    @property
    def open_calls(self) -> list[Any]:
        """Those that nobody has answered yet."""
        answered = {message.tool_call_id for message in self.answers}
        return [call for call in self.calls if call.get("id") not in answered]

    @property
    def answers(self) -> list[Any]:
        """The tools' answers."""
        return [message for message in self.since if getattr(message, "type", None) == "tool"]


def last_turn(messages: Sequence[Any]) -> Turn:
    """The end of a conversation, from what the model has said last."""
    since = [*takewhile(lambda message: not is_of_model(message), reversed(messages))][::-1]
    said = messages[-len(since) - 1] if len(since) < len(messages) else None
    return Turn(said, since)


def calls_of(message: Any) -> list[Any]:
    """The tool calls that a model's message makes, malformed ones last."""
    return [*message.tool_calls, *message.invalid_tool_calls]


def dangling_calls(messages: Sequence[Any]) -> list[Any]:
    """Tool calls that no later message answers, oldest first."""
    waiting: dict[Any, Any] = {}
    for message in messages:
        if message.type == "tool":
            waiting.pop(message.tool_call_id, None)
        elif is_of_model(message):
            for call in calls_of(message):
                waiting[call.get("id")] = call
    return [*waiting.values()]


def require_answers(messages: Sequence[Any]) -> None:
    """Refuses a conversation that no model would accept.

    Raises:
        InvalidChatHistoryError: It has tool calls that nobody answers.
    """
    if calls := dangling_calls(messages):
        raise InvalidChatHistoryError(calls)


def spoken(answer: Any) -> Any:
    """What a model has answered, which has to be a message of a model.

    Raises:
        TypeError: It is something else.
    """
    if not is_of_model(answer):
        raise TypeError(f"an agent's model has to answer with a message, as chat models do, not {answer!r}")
    return answer


def with_own_ids(message: Any) -> Any:
    """The message, each of whose calls has an id of its own, by which it can be answered.

    Some models leave ids out, or use one twice; of calls with one id, only one could be answered.
    """
    ids = [call.get("id") for call in calls_of(message)]
    if all(ids) and len(set(ids)) == len(ids):
        return message
    taken: set[str] = set()
    mended = {kind: [_with_own_id(call, taken) for call in getattr(message, kind)] for kind in _KINDS}
    return changed(message, **mended)


def _with_own_id(call: Any, taken: set[str]) -> Any:
    id = call.get("id")
    if not id or id in taken:
        id = f"call_{uuid4().hex}"
    taken.add(id)
    return {**call, "id": id}
