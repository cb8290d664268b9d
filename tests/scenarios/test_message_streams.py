"""What models say inside nodes, shown token by token as `stream_mode="messages"`."""

import operator
from typing import Annotated, Any, TypedDict

from aiograph import START, InMemorySaver, StateGraph
from aiograph.config import get_message_stream
from aiograph.messages import AIMessage, AIMessageChunk
from aiograph.types import RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    messages: Annotated[list[AIMessage], operator.add]
    note: Any


def say(*words: str, id: str | None = None, **told: Any) -> AIMessage:
    """What a model does: shows piece after piece, and returns the whole."""
    stream = get_message_stream()
    for word in words:
        if stream is not None:
            stream.emit(AIMessageChunk(word, id=id), **told)
    return AIMessage("".join(words), id=id)


def graph_of(node: Any, **options: Any) -> Any:
    return (
        StateGraph(State).add_node("talk", node, **options).add_edge(START, "talk").compile(InMemorySaver())
    )


def texts(chunks: Any) -> list[str]:
    return [message.content for message, _ in chunks]


def test_tokens_are_shown_and_the_whole_message_is_not_shown_again() -> None:
    graph = graph_of(lambda state: {"messages": [say("Good ", "morning", id="m")]})
    assert texts(graph.stream({}, THREAD, stream_mode="messages")) == ["Good ", "morning"]


def test_where_nobody_listens_a_model_finds_no_stream() -> None:
    found: list[Any] = []
    graph = graph_of(lambda state: found.append(get_message_stream()))
    graph.invoke({}, THREAD)
    list(graph.stream({}, THREAD, stream_mode=["updates", "custom"]))
    assert found == [None, None]
    assert get_message_stream() is None


def test_what_a_node_writes_and_no_model_has_said_is_shown_whole() -> None:
    graph = graph_of(lambda state: {"messages": [AIMessage("Hello", id="h")]})
    [(message, metadata)] = graph.invoke({}, THREAD, stream_mode="messages")
    assert message == AIMessage("Hello", id="h")
    assert metadata["langgraph_node"] == "talk"
