"""Carries on a run over many deaths, and compares after each what is stored with what the nodes have done."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from aiograph.constants import ERROR
from tests.faults.kill_target import CONFIG, NAMES, Orders, Side

HOME = Path(__file__).parent.parent.parent
KILLED = (-9, 15)
"""What a killed process returns, here and on Windows."""

PATIENCE = 60
"""Seconds after which a process counts as stuck."""


class Piece(NamedTuple):
    """A node's work in one round."""

    round: int
    name: str


class Line(NamedTuple):
    """What the log says of a piece."""

    verb: str
    piece: Piece
    task_id: str = ""


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

    def __init__(self, orders: Orders) -> None:
        self.orders = orders
        """What every process shall do; each dies in another way."""
        self.tale = Tale()
        self._log = Path(orders.log)
        self._log.touch()

    def carry_on(self, **death: Any) -> bool:
        """Starts a process that dies as ordered; says whether it came to the end of the run first."""
        orders = replace(self.orders, **death)
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
        again = {piece for verb, piece, _ in new if verb == "start"} & tale.durable
        assert not again, f"{at}: {sorted(again)} ran again although their end was stored"
        rounds, pending = await self._stored()
        ids = {task_id: piece for verb, piece, task_id in lines if verb == "start"}
        tale.durable = {Piece(number, name) for number in range(rounds) for name in NAMES}
        tale.durable |= {ids[task_id] for task_id in pending if task_id in ids}
        self._check_nothing_is_lost(at, lines, rounds)
        self._check_nothing_is_taken_back(at, lines)
        ends = Counter(piece for verb, piece, _ in lines if verb == "end")
        tale.reruns = sum(times - 1 for times in ends.values())

    def _check_nothing_is_lost(self, at: str, lines: list[Line], stored: int) -> None:
        """What a round starts from was acknowledged; under async, all but one round."""
        if self.orders.durability == "exit":
            return
        ends = Counter(piece.round for verb, piece, _ in lines if verb == "end")
        begun = max((piece.round for _, piece, _ in lines), default=0)
        done = begun + (len({piece for _, piece, _ in lines if piece.round == begun}) == 3 <= ends[begun])
        at_risk = {"sync": (0, 1), "async": (1, 2)}[self.orders.durability]
        assert begun - stored <= at_risk[0], f"{at}: round {begun} began, only {stored} are stored"
        assert done - stored <= at_risk[1], f"{at}: {done} rounds were done, only {stored} are stored"

    def _check_nothing_is_taken_back(self, at: str, lines: list[Line]) -> None:
        """What a consumer was shown under sync is stored."""
        taken_back = {line.piece for line in lines if line.verb == "shown"} - self.tale.durable
        assert not taken_back or self.orders.durability != "sync", f"{at}: {sorted(taken_back)} were shown"

    def _lines(self) -> list[Line]:
        split = (line.split() for line in self._log.read_text().splitlines())
        return [Line(verb, Piece(int(number), name), *task_id) for verb, number, name, *task_id in split]

    async def _stored(self) -> tuple[int, set[str]]:
        """How many rounds are stored, and the ids of tasks that have finished since."""
        async with self.orders.database.open() as saver:
            found = await saver.aget_tuple(CONFIG)
            if found is None:
                return 0, set()
            pending = {task_id for task_id, channel, _ in found.pending_writes or () if channel != ERROR}
            return found.checkpoint["channel_values"].get("rounds", 0), pending

    def check_the_end(self) -> None:
        """The state is that of a run which nothing has happened to."""

        async def read() -> dict[str, Any]:
            async with self.orders.database.open() as saver:
                found = await saver.aget(CONFIG)
                assert found is not None
                return found["channel_values"]

        values = asyncio.run(read())
        assert values["count"] == 3 * self.orders.rounds
        assert values["trail"] == [
            f"{number}{name}" for number in range(self.orders.rounds) for name in NAMES
        ]


def deaths(
    chance: random.Random, seconds: float, calls: int, *, sides: Sequence[Side] = ("before", "after")
) -> Iterator[dict[str, Any]]:
    """Ways to die, in turn: before some call, after some call, at a time, which a quick machine outruns."""
    while True:
        begins = chance.random() < 0.7
        for side in sides:
            yield {"call": chance.randint(1, calls), "side": side, "begins": begins or side == "during"}
        yield {"seconds": chance.uniform(0, seconds), "begins": begins}


def kill_until_done(chain: Chain, chance: random.Random, *, seconds: float, calls: int) -> Tale:
    is_behind = chain.orders.durability == "async"  # else nothing is begun that is not waited for
    sides: Sequence[Side] = ("before", "during", "after") if is_behind else ("before", "after")
    for death in deaths(chance, seconds, calls, sides=sides):
        if chain.carry_on(**death):
            chain.check_the_end()
            return chain.tale
    raise AssertionError
