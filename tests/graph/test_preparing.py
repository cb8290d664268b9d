"""Reducers that want writes prepared before anybody sees them."""

from typing import Annotated, Any, TypedDict

from pydantic import BaseModel

from aiograph import END, START, InMemorySaver, StateGraph
from aiograph.types import Overwrite, RunnableConfig

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class Joined:
    """Joins text, all of it in lower case; counts what it has prepared."""

    def __init__(self) -> None:
        self.prepared: list[str] = []

    def __call__(self, left: str, right: str) -> str:
        return left + right

    def prepare_write(self, write: str) -> str:
        self.prepared.append(write)
        return write.lower()


joined = Joined()


class State(TypedDict, total=False):
    text: Annotated[str, joined]
    other: str


def graph_of(node: Any, schema: Any = State) -> Any:
    builder = StateGraph(schema).add_node("say", node).add_edge(START, "say")
    return builder.add_conditional_edges("say", lambda state: END, [END]).compile(InMemorySaver())


def test_a_write_is_prepared_once_and_all_see_what_comes_of_it() -> None:
    joined.prepared.clear()
    graph = graph_of(lambda state: {"text": "B", "other": "C"})
    assert graph.invoke({"text": "A"}, THREAD, stream_mode="updates") == [
        {"say": {"text": "b", "other": "C"}}
    ]
    assert graph.get_state(THREAD).values == {"text": "ab", "other": "C"}
    assert joined.prepared == ["A", "B"]


def test_updates_from_outside_are_prepared() -> None:
    graph = graph_of(lambda state: None)
    graph.invoke({"text": "A"}, THREAD)
    graph.update_state(THREAD, {"text": "B"}, as_node="say")
    assert graph.get_state(THREAD).values["text"] == "ab"


def test_what_overwrites_is_taken_as_it_is() -> None:
    graph = graph_of(lambda state: {"text": Overwrite("B")})
    assert graph.invoke({"text": "A"}, THREAD)["text"] == "B"


def test_fields_of_a_pydantic_model_are_prepared_too() -> None:
    class Model(BaseModel):
        text: Annotated[str, joined] = ""

    graph = graph_of(lambda state: {"text": "B"}, Model)
    assert graph.invoke({"text": "A"}, THREAD) == {"text": "ab"}
