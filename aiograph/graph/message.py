"""Conversations as a state: `add_messages`, the reducer, and the schema and builder that use it."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Annotated, Any, Literal, TypeAlias, TypedDict, overload

from aiograph import _context
from aiograph.config import get_message_stream
from aiograph.graph.state import StateGraph
from aiograph.messages import (
    REMOVE_ALL_MESSAGES,
    AnyMessage,
    MessageLike,
    coerce_message,
    merge_messages,
)
from aiograph.messages._merge import prepare_messages
from aiograph.messages._shape import in_openai_shape

__all__ = [
    "REMOVE_ALL_MESSAGES",
    "MessageGraph",
    "Messages",
    "MessagesState",
    "add_messages",
    "push_message",
]

Messages: TypeAlias = Sequence[MessageLike] | MessageLike
"""What `add_messages` takes on either side: messages, or what stands for them."""

Format: TypeAlias = Literal["langchain-openai"]

Reducer: TypeAlias = Callable[[Any, Any], list[Any]]


@overload
def add_messages(left: Messages, right: Messages, *, format: Format | None = None) -> list[Any]: ...


@overload
def add_messages(*, format: Format | None = None) -> Reducer: ...


def add_messages(left: Any = None, right: Any = None, *, format: Format | None = None) -> Any:
    """Adds messages to a conversation.

    A message whose id is there already takes the place of that message; a `RemoveMessage` removes the
    one with its id, or all so far with `REMOVE_ALL_MESSAGES` as its id; others are added at the end, in
    order. Who has no id is given one. Pieces that follow each other are joined to messages. Messages of
    aiograph and of LangChain may be mixed. Neither lists nor messages are changed: what gets an id is a
    copy.

    Args:
        left: The conversation.
        right: One or more messages, or what stands for them: text that the user says, pairs of role and
            content, dicts.
        format: With `"langchain-openai"`, contents have the shape that OpenAI's chat completions have.

    Returns:
        The conversation as it is now; without `left` and `right`, a reducer with that `format`.

    Raises:
        TypeError: Something does not stand for a message.
        ValueError: Something stands for one in a wrong way; a message is to be removed that is not
            there; or `format` is not known.

    Examples:
        >>> from aiograph.messages import AIMessage, HumanMessage, RemoveMessage
        >>> said = add_messages([HumanMessage("Hi", id="1")], AIMessage("Hello", id="2"))
        >>> add_messages(said, [HumanMessage("Hey", id="1"), RemoveMessage("2")])
        [HumanMessage('Hey', id='1')]
    """
    if format not in (None, "langchain-openai"):
        raise ValueError(f"format={format!r} is neither None nor 'langchain-openai'")
    if left is None and right is None:
        reducer = partial(add_messages, format=format)
        reducer.prepare_write = prepare_messages  # type: ignore[attr-defined]  # see BinaryOperatorAggregate
        return reducer
    if left is None or right is None:
        raise ValueError("add_messages takes two lists of messages, or none to get a reducer with a format")
    merged = merge_messages(left, right)
    return merged if format is None else in_openai_shape(merged)


add_messages.prepare_write = prepare_messages  # type: ignore[attr-defined]  # see BinaryOperatorAggregate


def push_message(message: MessageLike, *, state_key: str | None = "messages") -> Any:
    """Shows a message to those who listen to `"messages"`, and adds it to the state, while a node runs.

    It is written before what the node returns, and together with that: if the node fails or asks, it is
    not. In functions that are tasks or entrypoints, it is shown and no more. Pieces of a message that follow
    each other are written as one message.

    Args:
        message: A message with an id, or what stands for one.
        state_key: The key that it is added to; `None` to only show it.

    Returns:
        The message.

    Raises:
        OutsideRunError: Called outside of a run, or after the node has ended.
        ValueError: The message has no id.
        TypeError: It does not stand for a message.
    """
    scope = _context.require_task("push_message()")
    pushed = coerce_message(message)
    if pushed.id is None:
        raise ValueError("push_message() needs a message with an id, so that stream and state agree on it")
    if state_key is not None and not scope.task.is_call:
        scope.push(state_key, pushed)
    stream = get_message_stream()
    if stream is not None:
        stream.emit(pushed)
    return pushed


class MessagesState(TypedDict):
    """A state that is a conversation; subclass it to keep more."""

    messages: Annotated[list[AnyMessage], add_messages]


class MessageGraph(StateGraph[list[AnyMessage]]):
    """A `StateGraph` whose state is the conversation itself: nodes take the list, and return messages."""

    def __init__(self) -> None:
        schema: Any = Annotated[list[AnyMessage], add_messages]
        super().__init__(schema)
