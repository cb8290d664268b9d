"""Everything at once, at random, from a seed: a failing, lagging saver, nodes that fail, cancellations.

A run is resumed until it comes to its end, whatever happens to it on the way. The end must be exact, no
task may run again once its end was stored, and nothing may be left running in between. A seed that fails
fails each time.
"""

import asyncio
import os
import random
from contextlib import aclosing
from typing import Any

import anyio
import pytest

from aiograph.constants import ERROR
from aiograph.errors import CheckpointStorageError
from aiograph.testing.faults import FaultySaver, SaverCall
from aiograph.types import Durability, OnError
from tests.faults.rig import CONFIG, INPUT, BeginningSaver, Diary, Graph, final_state, outer_graph, turns

ROUNDS = 3
EXPECTED = (CheckpointStorageError, ConnectionResetError, ValueError, type(None))
WRITES = ("acommit", "arecord", "awithdraw_writes")


class Weather:
    """What goes wrong, and how often; bad at first, and ever better, so that every run comes to its end."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.failures = self.chance.choice((0, 0.02, 0.1))
        self.lag = self.chance.choice((0, 1, 5))
        self.cancels = self.chance.choice((0, 0.5, 0.9))
        self.mistakes = self.chance.choice((0, 0.05, 0.2))

    def clear_up(self) -> None:
        self.failures *= 0.9
        self.cancels *= 0.95
        self.mistakes *= 0.9

    def trouble(self) -> None:
        """In the middle of a node."""
        if self.chance.random() < self.mistakes:
            raise ValueError("a mistake")

    async def mishap(self, call: SaverCall) -> None:
        """Before, during and after each call: some delay, and maybe a failure."""
        await turns(self.chance.randint(0, self.lag))
        if self.chance.random() < self.failures:
            broken_off = asyncio.CancelledError if call.verb in WRITES else ConnectionResetError
            raise self.chance.choice((CheckpointStorageError, ConnectionResetError, broken_off))


class Story:
    """One run from a seed."""

    def __init__(self, seed: int) -> None:
        self.at = f"seed {seed}"
        self.weather = Weather(seed)
        self.chance = self.weather.chance
        self.inner = BeginningSaver()
        mishap, begins = self.weather.mishap, self.chance.random() < 0.7
        self.saver = FaultySaver(self.inner, before=mishap, during=mishap, after=mishap, begins=begins)
        self.diary = Diary(self.weather.trouble)
        self.graph: Graph = outer_graph(self.diary, self.saver, rounds=ROUNDS)
        self.durable: set[str] = set()
        self.others = asyncio.all_tasks()

    async def tell(self) -> None:
        for _ in range(200):
            output = await self._attempt()
            await self._examine()
            if output is not None:
                assert output == final_state(ROUNDS), self.at
                return
            self.weather.clear_up()
        raise AssertionError(f"{self.at}: no attempt succeeded")

    async def _attempt(self) -> Any:
        """The output, or nothing if the run failed or was cancelled."""
        scope = anyio.CancelScope()
        run = asyncio.ensure_future(self._run(scope))
        if self.chance.random() < self.weather.cancels:
            await turns(self.chance.randint(0, 80))
            cancel = self.chance.choice((run.cancel, scope.cancel))
            cancel()
            while self.chance.random() < 0.5:
                await turns(self.chance.randint(1, 3))
                cancel()
        await asyncio.wait([run])
        if run.cancelled():
            return None
        error = run.exception()
        assert error is None or isinstance(
            error, CheckpointStorageError | ConnectionResetError | ValueError
        ), self.at
        return run.result() if error is None else None

    async def _run(self, scope: anyio.CancelScope) -> Any:
        with scope:
            return await self._call()
        return None

    async def _call(self) -> Any:
        durability: Durability = self.chance.choice(("sync", "async", "exit"))
        on_error: OnError = self.chance.choice(("cancel", "finish"))
        is_new = await self.inner.aget(CONFIG) is None
        options: Any = {"durability": durability, "on_error": on_error}
        if self.chance.random() < 0.5:
            return await self.graph.ainvoke(INPUT if is_new else None, CONFIG, **options)
        return await self._stream(INPUT if is_new else None, options)

    async def _stream(self, input: Any, options: Any) -> Any:
        output = None
        async with aclosing(self.graph.astream(input, CONFIG, stream_mode="values", **options)) as chunks:
            async for chunk in chunks:
                output = chunk
                await turns(self.chance.randint(0, 2))
        return output

    async def _examine(self) -> None:
        assert asyncio.all_tasks() == self.others, self.at
        assert self.saver.in_flight == [], self.at
        again = [task_id for task_id in self.durable if self.diary.ended.count(task_id) > 1]
        assert not again, f"{self.at}: {[self.diary.names[task_id] for task_id in again]} ran again"
        stored = [saved.pending_writes or () async for saved in self.inner.alist(None)]
        ids = {task_id for writes in stored for task_id, channel, _ in writes if channel != ERROR}
        # those that were run twice before they were stored have been counted already
        self.durable = {task_id for task_id in ids if self.diary.ended.count(task_id) == 1}


async def test_some_stories() -> None:
    for seed in range(60):
        await Story(seed).tell()


@pytest.mark.long
async def test_many_stories() -> None:
    """AIOGRAPH_SEED is the first of AIOGRAPH_STORIES seeds."""
    first = int(os.environ.get("AIOGRAPH_SEED", "1000"))
    for seed in range(first, first + int(os.environ.get("AIOGRAPH_STORIES", "20000"))):
        await Story(seed).tell()
