"""A run that gets killed: started as a process of its own, with its orders as JSON on the command line.

Three nodes side by side, round after round, on a SQLite file. What they do to the outside world is a line
in a log, appended in one write each, so that the log tells what happened up to the moment of death.
"""

import asyncio
import json
import operator
import os
import random
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, TypedDict

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.graph import END, START, StateGraph
from aiograph.graph.state import CompiledStateGraph
from aiograph.runtime import Runtime
from aiograph.testing.faults import FaultySaver, kill_at, kill_process
from aiograph.types import Durability, RunnableConfig

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}
NAMES = ("a", "b", "c")


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a process shall do, and when it shall die."""

    database: str
    log: str
    rounds: int
    durability: Durability
    synchronously: bool
    """Whether to call `invoke`, with nodes of which one is synchronous."""
    seconds: float | None = None
    """Die this long after the start of the run,"""
    call: int | None = None
    """or at this call to the saver,"""
    side: Literal["before", "after"] = "before"
    """before or after it took effect."""

    def as_text(self) -> str:
        return json.dumps(asdict(self))


class State(TypedDict, total=False):
    rounds: int
    count: Annotated[int, operator.add]
    trail: Annotated[list[str], operator.add]


class Log:
    """A file whose lines are `start` or `end`, round, name, and the task's id."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def write(self, *words: object) -> None:
        os.write(self._file, (" ".join(map(str, words)) + "\n").encode())


def build(orders: Orders, saver: BaseCheckpointSaver) -> CompiledStateGraph[Any, Any, Any, Any]:
    log, chance = Log(orders.log), random.Random()

    def begin(name: str, state: State, runtime: Runtime[Any]) -> tuple[object, ...]:
        entry = (state["rounds"], name, runtime.execution_info.task_id)
        log.write("start", *entry)
        return entry

    def finish(entry: tuple[object, ...]) -> State:
        log.write("end", *entry)
        update: State = {"count": 1, "trail": [f"{entry[0]}{entry[1]}"]}
        return {**update, "rounds": int(str(entry[0])) + 1} if entry[1] == "a" else update

    def asynchronous(name: str) -> Any:
        async def node(state: State, runtime: Runtime[Any]) -> State:
            entry = begin(name, state, runtime)
            await asyncio.sleep(chance.choice((0, 0, 0.001)))
            return finish(entry)

        return node

    def synchronous(name: str) -> Any:
        def node(state: State, runtime: Runtime[Any]) -> State:
            entry = begin(name, state, runtime)
            time.sleep(chance.choice((0, 0, 0.001)))
            return finish(entry)

        return node

    def again(state: State) -> list[str] | str:
        return [*NAMES] if state["rounds"] < orders.rounds else END

    builder = StateGraph(State)
    for name in NAMES:
        make = synchronous if orders.synchronously and name != "b" else asynchronous
        builder.add_node(name, make(name)).add_edge(START, name)
    builder.add_conditional_edges("a", again, [*NAMES, END])
    return builder.compile(checkpointer=saver)


def deadly(orders: Orders, saver: BaseCheckpointSaver) -> BaseCheckpointSaver:
    if orders.call is None:
        return saver
    mishap = kill_at(orders.call)
    return FaultySaver(saver, **{orders.side: mishap})


def set_off_timer(orders: Orders) -> None:
    if orders.seconds is not None:
        timer = threading.Timer(orders.seconds, kill_process)
        timer.daemon = True
        timer.start()


async def run(orders: Orders) -> None:
    async with AsyncSqliteSaver(orders.database) as saver:
        graph = build(orders, deadly(orders, saver))
        set_off_timer(orders)
        is_new = await saver.aget(CONFIG) is None
        await graph.ainvoke({"rounds": 0} if is_new else None, CONFIG, durability=orders.durability)


def run_synchronously(orders: Orders) -> None:
    with AsyncSqliteSaver(orders.database) as saver:
        graph = build(orders, deadly(orders, saver))
        set_off_timer(orders)
        is_new = saver.get(CONFIG) is None
        graph.invoke({"rounds": 0} if is_new else None, CONFIG, durability=orders.durability)


if __name__ == "__main__":
    given = Orders(**json.loads(sys.argv[1]))
    if given.synchronously:
        run_synchronously(given)
    else:
        asyncio.run(run(given))
