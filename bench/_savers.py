"""Savers that a case can run with, opened for one sample and gone after it."""

import uuid
from collections.abc import Awaitable, Callable
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

from bench._case import Setup
from bench._packages import RIVAL, Package

OpenSaver: TypeAlias = Callable[[Package, Setup], Awaitable[Any]]


async def no_saver(package: Package, setup: Setup) -> None:
    return None


async def memory(package: Package, setup: Setup) -> Any:
    return package.find("checkpoint.memory", "InMemorySaver")()


async def sqlite(package: Package, setup: Setup) -> Any:
    """A file in a temporary folder, for both as durable as aiograph has it: a power cut may undo a commit."""
    folder = setup.resources.enter_context(TemporaryDirectory())
    opened = package.find("checkpoint.sqlite.aio", "AsyncSqliteSaver").from_conn_string(f"{folder}/saved.db")
    saver = await setup.resources.enter_async_context(opened)
    if package == RIVAL:  # whose connections are the user's to set up
        await saver.conn.execute("PRAGMA synchronous=NORMAL")
    return saver


def options_of(saver: Any) -> dict[str, Any]:
    """Options of one run: with a saver a thread of its own, and each superstep stored before the next."""
    if saver is None:
        return {}
    return {"config": {"configurable": {"thread_id": uuid.uuid4().hex}}, "durability": "sync"}
