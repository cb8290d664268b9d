"""What has become more than twice as slow is noticed, and a busy machine is not taken for that."""

import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bench import _guard
from bench._case import Case, Setup, Work
from bench._guard import WATCHED, best_ratio, losses, recorded_ratios, write_recorded
from bench._packages import Package
from bench.cases import all_cases

HOME = Path(__file__).parent.parent.parent
LOOP = next(case for case in all_cases() if case.name == "loop_1000")


def test_no_case_has_become_twice_as_slow() -> None:
    # in a process of its own, without the memory and the hooks of a test session
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--guard"], cwd=HOME, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}"


def slowed(case: Case, times: float) -> Case:
    """The same case with an engine that takes so many times as long."""

    async def subject(package: Package, setup: Setup) -> Work:
        work = await case.subject(package, setup)

        async def slow_work() -> object:
            start = time.process_time()
            answer = await work()
            until = start + times * (time.process_time() - start)
            while time.process_time() < until:
                pass
            return answer

        return slow_work

    return replace(case, subject=subject)


def test_an_engine_that_takes_two_and_a_half_times_as_long_is_noticed() -> None:
    recorded = {LOOP.name: best_ratio(LOOP, tries=2)}
    assert losses([LOOP], recorded) == []
    (loss,) = losses([slowed(LOOP, 2.5)], recorded)
    assert loss.name == LOOP.name
    assert loss.now > 2 * loss.recorded


def test_whatever_is_watched_is_recorded() -> None:
    names = {case.name for case in all_cases() if case.floor}
    assert set(WATCHED) <= names
    assert set(recorded_ratios()) == set(WATCHED)


def test_recording_a_case_leaves_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_guard, "FILE", tmp_path / "floors.json")
    write_recorded({"a": 1.2345, "b": 5.0})
    write_recorded({"b": 6.0})
    assert recorded_ratios() == {"a": 1.23, "b": 6.0}
