"""Runs on PostgreSQL that are killed again and again: nothing is lost, doubled, or taken back.

As in `test_kills`, but with a server that goes on when the process dies: what a dead process has sent may
still be carried out while the next one starts.
"""

import itertools
import os
import random
from pathlib import Path

import pytest

from aiograph.checkpoint.postgres import PostgresSaver
from aiograph.testing.postgres import PostgresServer
from aiograph.types import Durability
from tests.faults.kill_chain import Chain, Tale, kill_until_done
from tests.faults.kill_target import Database, Orders


def chain_on_server(
    address: str, folder: Path, durability: Durability, rounds: int, *, synchronously: bool = False
) -> Chain:
    with PostgresSaver(address) as saver:
        saver.setup()
    orders = Orders(
        database=Database("postgres", address),
        log=str(folder / "log"),
        rounds=rounds,
        durability=durability,
        synchronously=synchronously,
        shows=not synchronously,
    )
    return Chain(orders)


@pytest.mark.parametrize(
    ("durability", "synchronously"), [("sync", False), ("async", False), ("sync", True)], ids=str
)
def test_a_run_that_is_killed_goes_on(
    durability: Durability, synchronously: bool, postgres_database: str, tmp_path: Path
) -> None:
    # a round takes one call at least, so that two deaths after 40 calls each come before the end
    chain = chain_on_server(postgres_database, tmp_path, durability, 100, synchronously=synchronously)
    tale = kill_until_done(chain, random.Random(7), seconds=0.4, calls=40)
    assert tale.kills >= 2
    assert tale.reruns <= tale.kills * (3 if durability == "sync" else 6)


@pytest.mark.long
@pytest.mark.parametrize(
    ("durability", "synchronously"), [("sync", False), ("async", False), ("sync", True)], ids=str
)
def test_runs_that_are_killed_a_thousand_times(
    durability: Durability, synchronously: bool, postgres: PostgresServer, tmp_path: Path
) -> None:
    """AIOGRAPH_KILLS sets another number of kills; AIOGRAPH_SEED replays a sequence."""
    wanted = int(os.environ.get("AIOGRAPH_KILLS", "300" if synchronously else "1000"))
    seed = int(os.environ.get("AIOGRAPH_SEED", random.randrange(10**6)))
    print(f"AIOGRAPH_SEED={seed}")
    chance, total = random.Random(seed), Tale()
    for number in itertools.takewhile(lambda _: total.kills < wanted, itertools.count()):
        folder = tmp_path / str(number)
        folder.mkdir()
        with postgres.create_database() as address:
            chain = chain_on_server(address, folder, durability, 200, synchronously=synchronously)
            tale = kill_until_done(chain, chance, seconds=1.0, calls=120)
        total.kills += tale.kills
        total.reruns += tale.reruns
    mean = total.reruns / total.kills
    print(f"{durability}: {total.kills} kills, {mean:.2f} reruns per kill")
    assert mean <= (0.8 if durability == "sync" else 4.0)
