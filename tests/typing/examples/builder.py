"""The builder: which nodes and routers type checkers accept for a state, and what they know of the graph."""

# pyright: strict

import functools
from dataclasses import dataclass
from typing import Any, Literal, TypedDict, assert_type

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.graph import END, START, CompiledStateGraph, StateGraph
from aiograph.runtime import Runtime
from aiograph.types import Command, RetryPolicy, RunnableConfig, Send, StreamWriter


class State(TypedDict):
    text: str
    count: int


class Part(TypedDict):
    text: str


class Other(TypedDict):
    number: float


class Answer(TypedDict):
    count: int


@dataclass
class User:
    name: str


# -- nodes ---------------------------------------------------------------------------------------------


async def asynchronous(state: State) -> dict[str, Any]:
    return {"count": state["count"] + 1}


def synchronous(state: State) -> State:
    return state


def part(state: Part) -> Part:
    return state


def anything(state: Any) -> None: ...


def asks(state: State, config: RunnableConfig, store: Any, *, writer: StreamWriter) -> None: ...


async def asks_runtime(state: State, runtime: Runtime[User], verbose: bool = False) -> None: ...


def commands(state: State) -> Command[Literal["part", "__end__"]] | list[Send]:
    return Command(goto="part")


def other(state: Other) -> None: ...


def wrong_element(state: int) -> None: ...


def takes_nothing() -> None: ...


def takes_by_name_only(*, state: State) -> None: ...


def bound(prefix: str, state: State) -> None: ...


class Callables:
    def method(self, state: State) -> None: ...

    async def __call__(self, state: State) -> None: ...


class Runnable:
    async def ainvoke(self, input: State, config: RunnableConfig | None = None, **rest: Any) -> Any: ...


class SyncRunnable:
    def invoke(self, input: State, config: RunnableConfig | None = None) -> Any: ...


class WrongRunnable:
    async def ainvoke(self, input: Other) -> Any: ...


builder = StateGraph(State)
assert_type(builder, StateGraph[State])
assert_type(builder, StateGraph[State, None, State, State])

builder.add_node(asynchronous)
builder.add_node("again", asynchronous, metadata={"team": "red"}, retry_policy=RetryPolicy())
builder.add_node(synchronous, inline=True, retry_policy=[RetryPolicy(), RetryPolicy()], priority=1)
builder.add_node(part).add_node(anything).add_node(asks).add_node(asks_runtime, timeout=3, defer=True)
builder.add_node(commands, destinations=("part",)).add_node("sends", commands, destinations={"part": "label"})
builder.add_node("lambda", lambda state: {"count": state["count"] + 1})
builder.add_node("method", Callables().method).add_node("object", Callables())
builder.add_node("partial", functools.partial(bound, "x"))
builder.add_node("runnable", Runnable()).add_node("sync runnable", SyncRunnable())
builder.add_node("narrow", other, input_schema=Other).add_node(other, input_schema=Other)

builder.add_node(other)  # rejected
builder.add_node("other", other)  # rejected
builder.add_node("other", other, input_schema=Part)  # rejected
builder.add_node(wrong_element)  # rejected
builder.add_node(takes_nothing)  # rejected
builder.add_node(takes_by_name_only)  # rejected
builder.add_node("runnable", WrongRunnable())  # rejected
builder.add_node("nothing")  # rejected
builder.add_node("number", 5)  # rejected
builder.add_node(5, asynchronous)  # rejected
builder.add_node(asynchronous, input_schema=5)  # rejected
builder.add_node(asynchronous, retry_policy=3)  # rejected
builder.add_node(asynchronous, priority="high")  # rejected
builder.add_node(asynchronous, cash=True)  # rejected


# -- edges ---------------------------------------------------------------------------------------------


def route(state: State) -> Literal["part", "asks"]:
    return "part"


async def route_async(state: State, config: RunnableConfig) -> list[str | Send]:
    return [Send("part", {"text": "x"}), END]


assert_type(builder.add_edge(START, "part"), StateGraph[State])
builder.add_edge(["part", "asks"], "again").set_entry_point("part").set_finish_point("again")
builder.add_conditional_edges("part", route).add_conditional_edges("part", route_async, ["part", END])
builder.add_conditional_edges("part", lambda state: state["count"] > 3, {True: "part", False: END})
builder.add_conditional_edges("part", "count > 3", {True: "part", False: END}, then="asks")
bools = {True: "part", False: "asks"}
builder.add_conditional_edges("part", "count > 3", bools)
builder.set_conditional_entry_point(route).add_sequence([synchronous, ("named", asynchronous)])

builder.add_edge("part", 5)  # rejected
builder.add_edge(START)  # rejected
builder.add_conditional_edges("part", 5)  # rejected
builder.add_conditional_edges("part", route, 5)  # rejected


# -- graphs --------------------------------------------------------------------------------------------

graph = builder.compile(InMemorySaver(), strict=True, on_error="finish", durability="exit")
assert_type(graph, CompiledStateGraph[State, None, State, State])
builder.add_node("graph", graph)
builder.add_node("any graph", StateGraph(Other).compile())

builder.compile(InMemorySaver)  # rejected
builder.compile(on_error="ignore")  # rejected
builder.compile(durability="never")  # rejected

whole = StateGraph(State, User, input_schema=Part, output_schema=Answer)
assert_type(whole, StateGraph[State, User, Part, Answer])
narrowed = whole.add_node(synchronous).compile()
assert_type(narrowed, CompiledStateGraph[State, User, Part, Answer])
assert_type(narrowed.with_config(tags=["x"]), CompiledStateGraph[State, User, Part, Answer])


async def use() -> None:
    await narrowed.ainvoke({"text": "x"}, context=User("ada"))
    await narrowed.ainvoke(None, {"configurable": {"thread_id": "1"}})
    narrowed.invoke({"text": "x"}, stream_mode=["values", "custom"], output_keys="count", timeout=3)
    async for _ in narrowed.astream({"text": "x"}, stream_mode="updates", durability="sync"):
        pass
    for _ in narrowed.stream({"text": "x"}):
        pass

    await narrowed.ainvoke({"count": 1})  # rejected
    await narrowed.ainvoke({"text": 1})  # rejected
    await narrowed.ainvoke({"text": "x"}, context=3)  # rejected
    await narrowed.ainvoke({"text": "x"}, {"threads": 3})  # rejected
    await narrowed.ainvoke({"text": "x"}, stream_mode="nothing")  # rejected
    narrowed.invoke({"count": 1})  # rejected
    narrowed.invoke({"text": "x"}, on_error="ignore")  # rejected
