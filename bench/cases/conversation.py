"""Conversations that grow, kept after each step: what is written for 1 kB of text more."""

import operator
from base64 import b64encode
from collections.abc import Awaitable, Callable
from random import Random
from typing import Annotated, TypedDict

import msgpack  # type: ignore[import-untyped]

from bench._case import Case, Goal, Measure, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, memory, new_thread, postgres, sqlite
from bench._tables import OpenTable, memory_table, postgres_table, sqlite_table

TOPIC = "What savers write"


Message = dict[str, str]


class State(TypedDict):
    messages: Annotated[list[Message], operator.add]


def message(number: int) -> Message:
    """1 kB. The text is random, as compression would flatter whoever compresses."""
    text = b64encode(Random(number).randbytes(720)).decode()
    return {"role": "user" if number % 2 == 0 else "assistant", "content": text, "id": f"{number:08}"}


async def answer(state: State) -> dict[str, list[Message]]:
    return {"messages": [message(len(state["messages"]))]}


# -- turns -----------------------------------------------------------------------------------------


def kept_turns(open_table: OpenTable) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        table = await open_table(setup)

        async def work() -> int:
            state: State = {"messages": []}
            for _ in range(setup.size):
                for new in ([message(len(state["messages"]))], (await answer(state))["messages"]):
                    await table.put(len(state["messages"]), msgpack.packb(new[0]))
                    state["messages"] = state["messages"] + new
            return len(state["messages"])

        return work

    return floor


def turns(open_saver: OpenSaver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        builder = package.builder(State).add_node("answer", answer)
        graph = builder.add_edge(START, "answer").add_edge("answer", END).compile(checkpointer=saver)

        async def work() -> int:
            thread = new_thread()
            for number in range(setup.size):
                question = {"messages": [message(2 * number)]}
                state = await graph.ainvoke(question, thread, durability="sync")
            return len(state["messages"])

        return work

    return subject


# -- supersteps ------------------------------------------------------------------------------------


def kept_steps(open_table: OpenTable) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        table = await open_table(setup)

        async def work() -> int:
            state: State = {"messages": []}
            while len(state["messages"]) < setup.size:
                new = (await answer(state))["messages"]
                await table.put(len(state["messages"]), msgpack.packb(new[0]))
                state["messages"] = state["messages"] + new
            return len(state["messages"])

        return work

    return floor


def steps(open_saver: OpenSaver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        async def route(state: State) -> str:
            return END if len(state["messages"]) >= setup.size else "answer"

        saver = await open_saver(package, setup)
        builder = package.builder(State).add_node("answer", answer).add_edge(START, "answer")
        builder.add_conditional_edges("answer", route, ["answer", END])
        graph = builder.compile(checkpointer=saver)

        async def work() -> int:
            config = {**new_thread(), "recursion_limit": setup.size + 10}
            state = await graph.ainvoke({"messages": []}, config, durability="sync")
            return len(state["messages"])

        return work

    return subject


GOALS = (Goal(0.015, measure="WAL"), Goal(0.10, measure="wall"))

SIZES: tuple[Measure, ...] = ("stored", "wall")

CASES = [
    *(
        Case(
            name=f"turns_500_{name}",
            unit="turn",
            size=500,
            floor=kept_turns(open_table),
            subject=turns(open_saver),
            clock="bound",
            also=also,
            needs=f"checkpoint.{name}",
            goals=GOALS if name == "postgres" else (),
            note="a message of 1 kB comes in, one goes out; the floor stores each message once",
        )
        for name, open_saver, open_table, also in (
            ("memory", memory, memory_table, ("wall",)),
            ("sqlite", sqlite, sqlite_table, SIZES),
            ("postgres", postgres, postgres_table, (*SIZES, "WAL")),
        )
    ),
    *(
        Case(
            name=f"messages_500_{name}",
            unit="superstep",
            size=500,
            floor=kept_steps(open_table),
            subject=steps(open_saver),
            clock="bound",
            also=also,
            needs=f"checkpoint.{name}",
            goals=GOALS if name == "postgres" else (),
            note="one run, in which each superstep adds a message of 1 kB",
        )
        for name, open_saver, open_table, also in (
            ("memory", memory, memory_table, ("wall",)),
            ("sqlite", sqlite, sqlite_table, SIZES),
            ("postgres", postgres, postgres_table, (*SIZES, "WAL")),
        )
    ),
]
