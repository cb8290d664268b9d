"""The in-memory saver passes the contract, and never waits."""

import os
import signal
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, config_for, empty_checkpoint
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
    assert sum(len(cell.data) for cell in saver._threads["t"].cells.values()) < 1100


async def test_it_can_be_entered_like_other_savers() -> None:
    with MemorySaver() as saver:
        await saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1})
    async with saver:
        assert await saver.aget(config_for("t", "")) is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_other_threads_use_the_saver_can_use_it() -> None:
    saver, stop = InMemorySaver(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            run_through(saver.aput(config_for("busy", ""), empty_checkpoint(), {"step": 0}, {}))

    writer = threading.Thread(target=write)
    writer.start()
    try:
        assert [_ends_well(saver) for _ in range(10)] == [True] * 10
    finally:
        stop.set()
        writer.join()


def _ends_well(saver: InMemorySaver) -> bool:
    """Whether a forked child can ask the saver something within some seconds."""
    if (child := os.fork()) == 0:
        signal.alarm(20)
        run_through(saver.aget_tuple(config_for("quiet", "")))
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0
