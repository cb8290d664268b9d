"""Synchronous verbs: the parameters of their asynchronous twins, and `timeout=`."""

# pyright: strict

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import TypedDict, assert_type

from aiograph.bridge import BlockingIterator, blocking, blocking_cm, blocking_iter
from aiograph.graph import END, START, StateGraph


class State(TypedDict):
    n: int


def count(state: State) -> State:
    return {"n": state["n"] + 1}


graph = StateGraph(State).add_node("count", count).add_edge(START, "count").add_edge("count", END).compile()

graph.invoke({"n": 1})
graph.invoke({"n": 1}, {"recursion_limit": 5}, durability="sync")
graph.invoke({"n": 1}, timeout=1)
graph.invoke({"n": 1}, {"recursion_limit": 5}, timeout=0.5)
graph.invoke({"n": 1}, timeout=None)
graph.invoke({"n": "one"})  # rejected
graph.invoke({"n": 1}, durability="now and then")  # rejected
graph.invoke({"n": 1}, no_such_option=True)  # rejected
graph.invoke({"n": 1}, timeout="soon")  # rejected
graph.invoke()  # rejected

for chunk in graph.stream({"n": 1}, stream_mode="updates", timeout=1):
    print(chunk)
graph.stream({"n": 1}, timeout="soon")  # rejected
with graph.stream({"n": 1}) as chunks:
    next(chunks)


class Library:
    async def abook(self, title: str, *, copies: int = 1) -> list[str]:
        return [title] * copies

    async def atitles(self, shelf: int) -> AsyncIterator[str]:
        yield str(shelf)

    book = blocking(abook)
    titles = blocking_iter(atitles)

    def plain(self) -> int:
        return 1

    wrong = blocking(plain)  # rejected
    wrong_too = blocking_iter(abook)  # rejected


library = Library()
assert_type(library.book("Dune"), list[str])
assert_type(library.book("Dune", copies=2, timeout=1), list[str])
assert_type(library.titles(1), BlockingIterator[str])
library.book(1)  # rejected
library.book("Dune", copies="two")  # rejected
library.titles("first")  # rejected


@asynccontextmanager
async def aopened(shelf: int) -> AsyncGenerator[Library, None]:
    yield library


with blocking_cm(aopened)(1) as opened:
    assert_type(opened, Library)
blocking_cm(aopened)("first")  # rejected
