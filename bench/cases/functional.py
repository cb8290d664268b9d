"""A workflow that is a function and calls tasks, side by side: the cost of a call."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from bench._case import Case, Setup, Work
from bench._packages import Package
from bench._savers import OpenSaver, memory, no_saver, options_of

TOPIC = "Side by side"


async def add(number: int) -> int:
    return number + 1


def add_at_once(number: int) -> int:
    return number + 1


async def bare_calls(setup: Setup) -> Work:
    async def work() -> int:
        return sum(await asyncio.gather(*map(add, range(setup.size))))

    return work


async def bare_threads(setup: Setup) -> Work:
    async def work() -> int:
        return sum(
            await asyncio.gather(*(asyncio.to_thread(add_at_once, number) for number in range(setup.size)))
        )

    return work


def calls(open_saver: OpenSaver = no_saver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        called = package.find("func", "task")(add)

        async def total(count: int) -> int:
            return sum(await asyncio.gather(*map(called, range(count))))

        graph = package.find("func", "entrypoint")(saver)(total)

        async def work() -> Any:
            return await graph.ainvoke(setup.size, **options_of(saver, "async"))

        return work

    return subject


async def synchronous_calls(package: Package, setup: Setup) -> Work:
    called = package.find("func", "task")(add_at_once)

    def total(count: int) -> int:
        return sum(future.result() for future in [called(number) for number in range(count)])

    graph = package.find("func", "entrypoint")()(total)

    def work() -> Any:
        return graph.invoke(setup.size)

    return work


CASES = [
    Case(name="functional_100", unit="call", size=100, floor=bare_calls, subject=calls(), needs="func"),
    Case(
        name="functional_100_memory",
        unit="call",
        size=100,
        floor=bare_calls,
        subject=calls(memory),
        needs="func",
    ),
    Case(
        name="functional_100_sync",
        unit="call",
        size=100,
        floor=bare_threads,
        subject=synchronous_calls,
        needs="func",
        note="synchronous tasks, started together, under invoke",
    ),
]
