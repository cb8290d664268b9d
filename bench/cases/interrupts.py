"""A run that stops to ask, and goes on with the answer."""

from typing import Any, TypedDict

from bench._case import Case, Setup, Work
from bench._packages import END, START, Package
from bench._savers import memory, new_thread

TOPIC = "Interrupts and looking at state"


class State(TypedDict):
    answer: int


async def pairs(package: Package, setup: Setup) -> Work:
    interrupt, command = package.find("types", "interrupt"), package.command

    async def ask(state: State) -> dict[str, int]:
        return {"answer": interrupt("how many?")}

    saver = await memory(package, setup)
    builder = package.builder(State).add_node("ask", ask).add_edge(START, "ask").add_edge("ask", END)
    graph = builder.compile(checkpointer=saver)

    async def work() -> Any:
        for number in range(setup.size):
            thread = new_thread()
            await graph.ainvoke({"answer": -1}, thread)
            state = await graph.ainvoke(command(resume=number), thread)
        return state

    return work


CASES = [
    Case(
        name="interrupt_resume",
        unit="pair",
        size=20,
        subject=pairs,
        note="a run that is interrupted, and the one that resumes it; in-memory saver",
    )
]
