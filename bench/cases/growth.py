"""What a superstep costs as a thread gets longer, and as its state does: flat where it can be.

The curves over nodes and channels are made of the cases in `sequence`, `fanout_join` and `channels`.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from bench._case import Case, Point, Setup, Work
from bench._packages import END, START, Package
from bench._savers import OpenSaver, memory, new_thread, sqlite
from bench._tables import memory_table
from bench.cases.conversation import State, answer, message
from bench.cases.loop import loop
from bench.cases.saved_loop import committed_loop

TOPIC = "Growth"


def more_steps(messages: int, open_saver: OpenSaver) -> Callable[[Package, Setup], Awaitable[Work]]:
    """Goes on from the same checkpoint each time, so that the state stays as long as it is meant to be."""

    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        stored = setup.scaled(messages)

        async def route(state: State) -> str:
            return END if len(state["messages"]) >= stored + setup.size else "answer"

        builder = package.builder(State).add_node("answer", answer).add_edge(START, "answer")
        builder.add_conditional_edges("answer", route, ["answer", END])
        graph = builder.compile(checkpointer=saver)
        config = new_thread()
        start = [message(number) for number in range(stored)]
        await graph.aupdate_state(config, {"messages": start}, as_node=START)
        origin = (await graph.aget_state(config)).config

        async def work() -> int:
            state: Any = await graph.ainvoke({"messages": []}, origin, durability="sync")
            return len(state["messages"]) - stored

        return work

    return subject


def bare_more_steps(messages: int) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        start = [message(number) for number in range(setup.scaled(messages))]

        async def work() -> int:
            state: State = {"messages": start}
            for _ in range(setup.size):
                state["messages"] = state["messages"] + (await answer(state))["messages"]
            return len(state["messages"]) - len(start)

        return work

    return floor


CASES = [
    *(
        Case(
            name=f"growth_history_{length}",
            unit="superstep",
            size=length,
            floor=committed_loop(memory_table, each_step=True),
            subject=loop(open_saver=memory),
            point=Point("supersteps in the thread", length),
            note="one run, in-memory saver",
        )
        for length in (30, 300, 3000)
    ),
    *(
        Case(
            name=f"growth_messages_{messages}_{name}",
            unit="superstep",
            size=10,
            floor=bare_more_steps(messages),
            subject=more_steps(messages, open_saver),
            point=Point(f"messages in the state ({name})", messages),
            needs=f"checkpoint.{name}",
            note="runs that read so many messages of 1 kB, and add ten; the floor stores nothing",
        )
        for name, open_saver in (("memory", memory), ("sqlite", sqlite))
        for messages in (10, 100, 1000)
    ),
]
