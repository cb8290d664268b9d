"""Trees of tasks that call tasks, under limits, cancelled in part or as a whole: nothing hangs."""

import asyncio
import random
from typing import Any

import pytest

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.func import entrypoint, task
from tests.faults.rig import turns

PATIENCE = 60
"""Seconds after which a run counts as stuck."""


def branches(depth: int, seed: float) -> list[Any]:
    """Calls one to three trees, and cancels the first one now and then."""
    dice = random.Random(seed)
    kinds = [dice.choice((grow, grow_sync)) for _ in range(dice.randint(1, 3))]
    futures = [kind(depth - 1, dice.random()) for kind in kinds]
    if dice.random() < 0.2:
        futures[0].cancel()
    return futures


@task
async def grow(depth: int, seed: float) -> int:
    if depth == 0:
        await asyncio.sleep(0)
        return 1
    sizes = await asyncio.gather(*branches(depth, seed), return_exceptions=True)
    return 1 + sum(size for size in sizes if isinstance(size, int))


@task
def grow_sync(depth: int, seed: float) -> int:
    return 1 if depth == 0 else 1 + sum(future.result() for future in branches(depth, seed))


@entrypoint(InMemorySaver())
async def forest(seed: float) -> Any:
    return await asyncio.gather(grow(3, seed), return_exceptions=True)


@pytest.mark.parametrize("limit", [1, 2, None])
async def test_a_tree_ends_whatever_is_cancelled_and_nothing_is_left(limit: int | None) -> None:
    before = asyncio.all_tasks()
    for seed in range(40):
        config: Any = {"configurable": {"thread_id": f"{limit} {seed}"}, "max_concurrency": limit}
        run = asyncio.create_task(forest.ainvoke(seed, config))
        if seed % 2:
            await turns(seed)
            run.cancel()
        await asyncio.wait([run], timeout=PATIENCE)
        assert run.done(), f"seed {seed} is stuck"
        assert asyncio.all_tasks() == before
        assert run.cancelled() or run.exception() is None
