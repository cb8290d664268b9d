"""The in-memory saver passes the contract, and never waits."""

from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, config_for
from aiograph.checkpoint.memory import InMemorySaver, MemorySaver
from aiograph.testing.savers import SaverContract, make_checkpoint


class TestInMemorySaver(SaverContract):
    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        yield InMemorySaver()


def run_through(operation: Coroutine[Any, Any, Any]) -> Any:
    """Runs a coroutine that never waits."""
    try:
        operation.send(None)
    except StopIteration as end:
        return end.value
    pytest.fail("it waited")


def test_no_verb_ever_waits() -> None:
    saver = InMemorySaver()
    assert saver.never_suspends
    config = run_through(saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1}))
    run_through(saver.aput_writes(config, [("a", 1)], "task"))
    assert run_through(saver.aget_tuple(config)).pending_writes == [("task", "a", 1)]
    run_through(saver.awithdraw_writes(config, ["task"]))
    assert run_through(saver.aget_tuple(config)).pending_writes == []
    run_through(saver.adelete_thread("t"))
    assert run_through(saver.aget_tuple(config)) is None


def test_an_unchanged_value_is_kept_once() -> None:
    saver, config = InMemorySaver(), config_for("t", "")
    for step in range(10):
        versions: Any = {"large": 1, "n": step + 1}
        checkpoint = make_checkpoint({"large": "x" * 1000, "n": step}, versions=versions)
        changed = {"n": step + 1} if step else versions
        config = run_through(saver.aput(config, checkpoint, {}, changed))
    blobs = saver._threads["t"][""].blobs
    assert sum(len(data) for each in blobs.values() for _, data in each.values()) < 1100


async def test_it_can_be_entered_like_other_savers() -> None:
    with MemorySaver() as saver:
        await saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1})
    async with saver:
        assert await saver.aget(config_for("t", "")) is not None
