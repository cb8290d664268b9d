"""A run that gets killed: started as a process of its own, with its orders as JSON on the command line.

Three nodes side by side, round after round, on a database that outlives the process. What they do to the
outside world is a line in a log, appended in one write each, so that the log tells what happened up to the
moment of death.
"""

import asyncio
import json
import operator
import os
import random
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias, TypedDict

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.graph import END, START, StateGraph
from aiograph.graph.state import CompiledStateGraph
from aiograph.runtime import Runtime
from aiograph.testing.faults import FaultySaver, Mishap, SaverCall, kill_process
from aiograph.types import Durability, RunnableConfig

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}
NAMES = ("a", "b", "c")

Backend: TypeAlias = Literal["sqlite", "postgres"]
Side: TypeAlias = Literal["before", "during", "after"]


class Database(NamedTuple):
    """Where a run is stored."""

    backend: Backend
    address: str
    """A path, or a connection string."""

    def open(self) -> AsyncSqliteSaver | AsyncPostgresSaver:
        """A saver, to be entered in either colour."""
        if self.backend == "sqlite":
            return AsyncSqliteSaver(self.address)
        return AsyncPostgresSaver(self.address)


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a process shall do, and when it shall die."""

    database: Database
    log: str
    rounds: int
    durability: Durability
    synchronously: bool = False
    """Whether to call `invoke`, with nodes of which one is synchronous."""
    seconds: float | None = None
    """Die this long after the start of the run,"""
    call: int | None = None
    """or at this call to the saver,"""
    side: Side = "before"
    """before or after it took effect; or the first time, from this call on, that one is under way."""
    begins: bool = True
    """Whether the saver may be given a superstep while it stores the one before."""
    shows: bool = False
    """Whether somebody watches the updates, and what is shown is logged."""

    def as_text(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_text(cls, text: str) -> "Orders":
        given = json.loads(text)
        return cls(**{**given, "database": Database(*given["database"])})


class State(TypedDict, total=False):
    rounds: int
    count: Annotated[int, operator.add]
    trail: Annotated[list[str], operator.add]


class Log:
    """A file whose lines are `start` or `end`, round, name, and the task's id; or `shown`, round, name."""

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
    if orders.call is None and orders.begins:
        return saver
    mishaps = {} if orders.call is None else {orders.side: kill_from(orders.call)}
    return FaultySaver(saver, **mishaps, begins=orders.begins)


def kill_from(number: int) -> Mishap:
    """Ends the process at this call, or where it does not meet that one at the first that it meets."""

    async def kill(call: SaverCall) -> None:
        if call.number >= number:
            kill_process()

    return kill


def set_off_timer(orders: Orders) -> None:
    if orders.seconds is not None:
        timer = threading.Timer(orders.seconds, kill_process)
        timer.daemon = True
        timer.start()


async def run(orders: Orders) -> None:
    async with orders.database.open() as saver:
        graph = build(orders, deadly(orders, saver))
        set_off_timer(orders)
        given: Any = {"rounds": 0} if await saver.aget(CONFIG) is None else None
        if orders.shows:
            await show(
                orders, graph.astream(given, CONFIG, stream_mode="updates", durability=orders.durability)
            )
        else:
            await graph.ainvoke(given, CONFIG, durability=orders.durability)


async def show(orders: Orders, updates: AsyncIterator[dict[str, Any]]) -> None:
    """Logs what a consumer gets to see."""
    log = Log(orders.log)
    async for update in updates:
        for name in update.keys() & NAMES:
            (mark,) = update[name]["trail"]
            log.write("shown", mark.removesuffix(name), name)


def run_synchronously(orders: Orders) -> None:
    with orders.database.open() as saver:
        graph = build(orders, deadly(orders, saver))
        set_off_timer(orders)
        given: Any = {"rounds": 0} if saver.get(CONFIG) is None else None
        graph.invoke(given, CONFIG, durability=orders.durability)


if __name__ == "__main__":
    given = Orders.from_text(sys.argv[1])
    if given.synchronously:
        run_synchronously(given)
    else:
        asyncio.run(run(given))
