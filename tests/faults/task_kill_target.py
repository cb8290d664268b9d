"""A process that runs a workflow of five tasks, two of them side by side, and dies where it is told to."""

import asyncio
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.constants import RETURN
from aiograph.func import entrypoint, task
from aiograph.testing.faults import FaultySaver, kill_at
from aiograph.types import Durability, RunnableConfig

CONFIG: RunnableConfig = {"configurable": {"thread_id": "t"}}
RESULT = ["a", "b", "c", "d", "e"]


@dataclass(frozen=True)
class Orders:
    """What the process shall do."""

    folder: Path
    durability: Durability
    call: int | None = None
    """Die at this call to the saver,"""
    side: Literal["before", "after"] = "before"
    """before or after it took effect."""

    @property
    def log(self) -> Path:
        """A line for each task that has begun."""
        return self.folder / "log"

    def open(self) -> Any:
        return AsyncSqliteSaver.from_conn_string(str(self.folder / "checkpoints.db"))


def workflow(orders: Orders, saver: BaseCheckpointSaver) -> Any:
    log = os.open(orders.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    @task
    async def later(name: str) -> str:
        os.write(log, f"{name}\n".encode())
        await asyncio.sleep(0)
        return name

    @task
    def now(name: str) -> str:
        os.write(log, f"{name}\n".encode())
        return name

    @entrypoint(saver, durability=orders.durability)
    async def work(x: int) -> list[str]:
        first = await later("a")
        both = await asyncio.gather(later("b"), now("c"))
        return [first, *both, await later("d"), await now("e")]

    return work


async def run(orders: Orders) -> Any:
    """Begins, or goes on; returns the result."""
    async with orders.open() as saver:
        given = 1 if await saver.aget(CONFIG) is None else None
        mishaps: Any = {} if orders.call is None else {orders.side: kill_at(orders.call)}
        deadly = FaultySaver(saver, **mishaps) if mishaps else saver
        return await workflow(orders, deadly).ainvoke(given, CONFIG)


async def stored(orders: Orders) -> set[str]:
    """The names of the tasks whose results are stored."""
    async with orders.open() as saver:
        found = await saver.aget_tuple(CONFIG)
    if found is None:
        return set()
    if "__end__" in found.checkpoint["channel_values"]:
        return {*RESULT}
    return {value[1] for _, channel, value in found.pending_writes or () if channel == RETURN}


def main(orders: Orders) -> None:
    asyncio.run(run(orders))
