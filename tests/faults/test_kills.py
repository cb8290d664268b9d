"""Runs that are killed again and again, like `kill -9`, and go on: nothing is lost, nothing happens twice.

One run of many rounds is killed at random moments, or inside its saver just before or just after a call
took effect, or while something is being stored behind its back, and started anew each time, until it comes to
its end. After each death, what is stored is compared with what the nodes have done, and with what they do
from then on.
"""

import itertools
import os
import random
from pathlib import Path

import pytest

from aiograph.types import Durability
from tests.faults.kill_chain import Chain, Tale, deaths, kill_until_done
from tests.faults.kill_target import Database, Orders


def chain_on_file(
    folder: Path, durability: Durability, rounds: int, synchronously: bool = False, *, shows: bool = False
) -> Chain:
    orders = Orders(
        database=Database("sqlite", str(folder / "checkpoints.db")),
        log=str(folder / "log"),
        rounds=rounds,
        durability=durability,
        synchronously=synchronously,
        shows=shows,
    )
    return Chain(orders)


# -- the short form --------------------------------------------------------------------------------


@pytest.mark.parametrize("synchronously", [False, True], ids=["ainvoke", "invoke"])
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_run_that_is_killed_goes_on(durability: Durability, synchronously: bool, tmp_path: Path) -> None:
    chain = chain_on_file(tmp_path, durability, 60, synchronously)
    tale = kill_until_done(chain, random.Random(7), seconds=0.1, calls=40)
    assert tale.kills >= 2
    assert tale.reruns <= tale.kills * (3 if durability == "sync" else 6)


def test_what_was_shown_before_a_death_is_stored(tmp_path: Path) -> None:
    chain = chain_on_file(tmp_path, "sync", 60, shows=True)
    assert kill_until_done(chain, random.Random(3), seconds=0.1, calls=40).kills >= 2


def test_a_run_that_stores_at_its_exit_starts_over(tmp_path: Path) -> None:
    chain = chain_on_file(tmp_path, "exit", 30)
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
            tale = killed_once(chain_on_file(folder, durability, 20, synchronously), chance)
        else:
            chain = chain_on_file(folder, durability, 200, synchronously)
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
