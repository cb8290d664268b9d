"""A workflow that is killed at each call to its saver goes on: no task whose result is stored runs again."""

import asyncio
import multiprocessing
import sys
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Literal

import pytest

from aiograph.types import Durability
from tests.faults.task_kill_target import RESULT, Orders, main, run, stored

PROCESSES: Any = multiprocessing.get_context("spawn" if sys.platform == "win32" else "forkserver")
PATIENCE = 60
"""Seconds after which a process counts as stuck."""


def dies(orders: Orders) -> bool:
    """Runs the workflow in a process of its own; says whether that was killed as ordered."""
    process = PROCESSES.Process(target=main, args=(orders,))
    process.start()
    process.join(PATIENCE)
    code: int | None = process.exitcode
    process.close()
    assert code in (0, -9, 15), f"{orders}: exit code {code}"
    return code != 0


def begun(orders: Orders) -> list[str]:
    """The tasks that have begun since this was last asked."""
    lines = orders.log.read_text().split() if orders.log.exists() else []
    orders.log.unlink(missing_ok=True)
    return lines


@pytest.mark.parametrize("side", ["before", "after"])
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_no_stored_task_runs_again_wherever_the_run_was_killed(
    durability: Durability, side: Literal["before", "after"], tmp_path: Path
) -> None:
    for call in count(1):
        orders = Orders(tmp_path / str(call), durability, call, side)
        orders.folder.mkdir()
        if not dies(orders):
            break
        before = begun(orders)
        kept = asyncio.run(stored(orders))
        if durability == "sync":
            assert kept >= {*what_had_to_be_stored(before)}, f"{orders}: begun {before}, stored {kept}"
        assert asyncio.run(run(replace(orders, call=None))) == RESULT
        again = begun(orders)
        assert kept.isdisjoint(again), f"{orders}: stored {kept}, and begun again {again}"
        assert {*before, *again} == {*RESULT}
    assert call > 3


def what_had_to_be_stored(names: list[str]) -> str:
    """The tasks whose results were used before the last of `names` began."""
    if "e" in names:
        return "abcd"
    if "d" in names:
        return "abc"
    return "a" if {"b", "c"} & {*names} else ""
