"""Siblings of a failed task are cancelled once, whatever else happens, so that their clean-up is whole."""

import asyncio
from typing import Any, TypedDict

import pytest

from aiograph.graph import START, StateGraph


class Box(TypedDict, total=False):
    value: int


async def test_a_cancellation_after_a_failure_does_not_break_off_the_clean_up_of_siblings() -> None:
    log: list[str] = []
    cleaning = asyncio.Event()

    async def beside(state: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaning.set()
            for _ in range(5):
                await asyncio.sleep(0)
            log.append("cleaned up")

    async def failing(state: Any) -> None:
        raise ValueError("no")

    graph = StateGraph(Box).add_node("beside", beside).add_node("failing", failing)
    graph.add_edge(START, "beside").add_edge(START, "failing")
    run = asyncio.create_task(graph.compile().ainvoke({"value": 0}))
    await cleaning.wait()
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert log == ["cleaned up"]


async def test_two_failures_cancel_a_sibling_once() -> None:
    log: list[str] = []

    async def beside(state: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            log.append("cleaned up")

    async def failing(state: Any) -> None:
        raise ValueError("no")

    async def failing_late(state: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            raise KeyError("late") from None

    graph = StateGraph(Box).add_node("beside", beside).add_node("failing", failing)
    graph.add_node("failing_late", failing_late)
    for name in ("beside", "failing", "failing_late"):
        graph.add_edge(START, name)
    with pytest.raises(ValueError, match="no"):
        await graph.compile().ainvoke({"value": 0})
    assert log == ["cleaned up"]
