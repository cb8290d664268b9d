"""Runs that are killed again and again, like `kill -9`, and go on: nothing is lost, nothing happens twice.

One run of many rounds is killed at random moments, or inside its saver just before or just after a call
took effect, and started anew each time, until it comes to its end. After each death, what is stored is
compared with what the nodes have done, and with what they do from then on.
"""

import asyncio
import itertools
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.constants import ERROR
from aiograph.types import Durability
from tests.faults.kill_target import CONFIG, NAMES, Orders

HOME = Path(__file__).parent.parent.parent
KILLED = (-9, 15)
"""What a killed process returns, here and on Windows."""

PATIENCE = 60
"""Seconds after which a process counts as stuck."""


class Piece(NamedTuple):
    """A node's work in one round."""

    round: int
    name: str


@dataclass
class Tale:
    """What has been seen of one run so far."""

    kills: int = 0
    reruns: int = 0
    """Pieces of work that were done more than once."""
    durable: set[Piece] = field(default_factory=set)
    """What was stored at the last death."""
    lines_read: int = 0


class Chain:
    """One run, and the processes that carry it on."""

    def __init__(
        self, folder: Path, durability: Durability, rounds: int, synchronously: bool = False
    ) -> None:
        self.database, self.log = folder / "checkpoints.db", folder / "log"
        self.log.touch()
        self.durability: Durability = durability
        self.rounds = rounds
        self.synchronously = synchronously
        self.tale = Tale()

    def carry_on(self, **death: Any) -> bool:
        """Starts a process that dies as ordered; says whether it came to the end of the run first."""
        orders = Orders(
            database=str(self.database),
            log=str(self.log),
            rounds=self.rounds,
            durability=self.durability,
            synchronously=self.synchronously,
            **death,
        )
        command = [sys.executable, "-m", "tests.faults.kill_target", orders.as_text()]
        ended = subprocess.run(
            command,
            cwd=HOME,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            capture_output=True,
            timeout=PATIENCE,
        )
        assert ended.returncode in (0, *KILLED), f"{orders}: {ended.stderr.decode()}"
        self.tale.kills += ended.returncode != 0
        asyncio.run(self._examine(str(orders)))
        return ended.returncode == 0

    async def _examine(self, at: str) -> None:
        tale = self.tale
        lines = self._lines()
        new = lines[tale.lines_read :]
        tale.lines_read = len(lines)
        again = {piece for _, piece, _ in new} & tale.durable
        assert not again, f"{at}: {sorted(again)} ran again although their end was stored"
        rounds, pending = await self._stored()
        ids = {task_id: piece for _, piece, task_id in lines}
        tale.durable = {Piece(number, name) for number in range(rounds) for name in NAMES}
        tale.durable |= {ids[task_id] for task_id in pending if task_id in ids}
        self._check_nothing_is_lost(at, lines, rounds)
        ends = Counter(piece for verb, piece, _ in lines if verb == "end")
        tale.reruns = sum(times - 1 for times in ends.values())

    def _check_nothing_is_lost(self, at: str, lines: list[tuple[str, Piece, str]], stored: int) -> None:
        """What a round starts from was acknowledged; under async, all but one round."""
        if self.durability == "exit":
            return
        ends = Counter(piece.round for verb, piece, _ in lines if verb == "end")
        begun = max((piece.round for _, piece, _ in lines), default=0)
        done = begun + (len({piece for _, piece, _ in lines if piece.round == begun}) == 3 <= ends[begun])
        at_risk = {"sync": (0, 1), "async": (1, 2)}[self.durability]
        assert begun - stored <= at_risk[0], f"{at}: round {begun} began, only {stored} are stored"
        assert done - stored <= at_risk[1], f"{at}: {done} rounds were done, only {stored} are stored"

    def _lines(self) -> list[tuple[str, Piece, str]]:
        split = (line.split() for line in self.log.read_text().splitlines())
        return [(verb, Piece(int(number), name), task_id) for verb, number, name, task_id in split]

    async def _stored(self) -> tuple[int, set[str]]:
        """How many rounds are stored, and the ids of tasks that have finished since."""
        async with AsyncSqliteSaver(self.database) as saver:
            found = await saver.aget_tuple(CONFIG)
            if found is None:
                return 0, set()
            pending = {task_id for task_id, channel, _ in found.pending_writes or () if channel != ERROR}
            return found.checkpoint["channel_values"].get("rounds", 0), pending

    def check_the_end(self) -> None:
        """The state is that of a run which nothing has happened to."""

        async def read() -> dict[str, Any]:
            async with AsyncSqliteSaver(self.database) as saver:
                found = await saver.aget(CONFIG)
                assert found is not None
                return found["channel_values"]

        values = asyncio.run(read())
        assert values["count"] == 3 * self.rounds
        assert values["trail"] == [f"{number}{name}" for number in range(self.rounds) for name in NAMES]


def deaths(chance: random.Random, seconds: float, calls: int) -> Iterator[dict[str, Any]]:
    """Ways to die, in turn: at some time, before some call, after some call."""
    while True:
        yield {"seconds": chance.uniform(0, seconds)}
        yield {"call": chance.randint(1, calls), "side": "before"}
        yield {"call": chance.randint(1, calls), "side": "after"}


def kill_until_done(chain: Chain, chance: random.Random, *, seconds: float, calls: int) -> Tale:
    for death in deaths(chance, seconds, calls):
        if chain.carry_on(**death):
            chain.check_the_end()
            return chain.tale
    raise AssertionError


# -- the short form --------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronously", [False, True], ids=["ainvoke", "invoke"])
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_run_that_is_killed_goes_on(durability: Durability, synchronously: bool, tmp_path: Path) -> None:
    chain = Chain(tmp_path, durability, 60, synchronously)
    tale = kill_until_done(chain, random.Random(7), seconds=0.1, calls=40)
    assert tale.kills >= 2
    assert tale.reruns <= tale.kills * (3 if durability == "sync" else 6)


def test_a_run_that_stores_at_its_exit_starts_over(tmp_path: Path) -> None:
    chain = Chain(tmp_path, "exit", 30)
    assert not chain.carry_on(seconds=0.02)
    assert not chain.carry_on(call=2, side="before")
    assert not chain.carry_on(call=2, side="after")  # this call stored everything
    assert chain.carry_on()
    chain.check_the_end()


# -- the long form ---------------------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("synchronously", [False, True], ids=["ainvoke", "invoke"])
@pytest.mark.parametrize("durability", ["sync", "async", "exit"])
def test_runs_that_are_killed_a_thousand_times(
    durability: Durability, synchronously: bool, tmp_path: Path
) -> None:
    """AIOGRAPH_KILLS sets another number of kills; AIOGRAPH_SEED replays a sequence."""
    wanted = int(os.environ.get("AIOGRAPH_KILLS", "300" if synchronously else "1000"))
    seed = int(os.environ.get("AIOGRAPH_SEED", random.randrange(10**6)))
    print(f"AIOGRAPH_SEED={seed}")
    chance, total = random.Random(seed), Tale()
    for number in itertools.takewhile(lambda _: total.kills < wanted, itertools.count()):
        folder = tmp_path / str(number)
        folder.mkdir()
        if durability == "exit":
            tale = killed_once(Chain(folder, durability, 20, synchronously), chance)
        else:
            chain = Chain(folder, durability, 200, synchronously)
            tale = kill_until_done(chain, chance, seconds=0.3, calls=120)
        total.kills += tale.kills
        total.reruns += tale.reruns
    mean = total.reruns / total.kills
    print(f"{durability}: {total.kills} kills, {mean:.2f} reruns per kill")
    assert mean <= {"sync": 0.8, "async": 4.0, "exit": 60.0}[durability]


def killed_once(chain: Chain, chance: random.Random) -> Tale:
    """A run that stores at its exit makes no progress by being killed."""
    chain.carry_on(**next(deaths(chance, 0.05, 2)))
    assert chain.carry_on()
    chain.check_the_end()
    return chain.tale
