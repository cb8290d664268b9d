"""Fails if a case has become more than twice as slow.

What is compared is the ratio to hand-written code, which hardly depends on the machine, with the one that
was recorded in `floors.json`. On a busy machine every sample is too slow, some more and some less, so both
sides are taken at their best of many short samples, in turn, and whoever seems to have lost is looked at
again before that is believed. Nothing is compared with LangGraph, and no absolute time with another.

After a change that makes a case faster, or slower on purpose: `python -m bench --record`, on a quiet machine.
The ratios of Python 3.11, 3.12 and 3.13 lie within a quarter of each other, so any of them will do.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, TypeAlias

from bench._case import FLOOR, Case
from bench._measure import Seconds, call, contenders, prepared
from bench._packages import OURS
from bench.cases import all_cases

FILE = Path(__file__).with_name("floors.json")

WATCHED: Mapping[str, float] = {
    "loop_1000": 0.1,
    "loop_1000_command": 0.1,
    "loop_1000_memory_sync": 0.1,
    "seq_100": 0.5,
    "small_ainvoke": 0.1,
    "fanout_join_100": 0.3,
    "fanout_send_100": 0.3,
    "stream_updates_1000": 0.1,
    "channels_1000": 0.1,
    "agent_100": 0.1,
    "agent_100_memory": 0.1,
    "growth_messages_100_memory": 0.5,
    "functional_100": 0.3,
    "dumps_rich": 0.05,
    "loads_rich": 0.05,
}
"""Cases by name, with what their sizes are multiplied with to be short."""

LIMIT = 2.0
"""The loss that is one. Below it, machines and Python versions differ too much to blame a change."""

TRIES = 4
SAMPLES = 15
SAMPLE: Seconds = 0.003

Ratios: TypeAlias = dict[str, float]


class Loss(NamedTuple):
    """A case that has become slower."""

    name: str
    now: float
    recorded: float

    def __str__(self) -> str:
        times = self.now / self.recorded
        return f"{self.name}: {self.now:.3g} x floor, {times:.1f} times the recorded {self.recorded:.3g}"


def run(names: Sequence[str], *, record: bool) -> int:
    """Compares, or records; an exit code."""
    cases = [case for case in all_cases() if case.name in WATCHED and (not names or case.name in names)]
    if record:
        write_recorded({case.name: best_ratio(case, TRIES) for case in cases})
        print(f"recorded {len(cases)} ratios in {FILE}")
        return 0
    lost = losses(cases, recorded_ratios(), report=True)
    for each in lost:
        print(each, file=sys.stderr)
    print(f"{len(cases) - len(lost)} of {len(cases)} cases are at most {LIMIT:g} times slower than recorded")
    return 1 if lost else 0


def losses(cases: Iterable[Case], recorded: Mapping[str, float], *, report: bool = False) -> list[Loss]:
    """The cases that stay too slow however often one looks."""
    found = []
    for case in cases:
        allowed = recorded[case.name] * LIMIT
        now = best_ratio(case, TRIES, good_enough=allowed)
        if report:
            print(f"{case.name:24} {now:8.3g} x floor, recorded {recorded[case.name]:8.3g}")
        if now > allowed:
            found.append(Loss(case.name, now, recorded[case.name]))
    return found


def best_ratio(case: Case, tries: int, good_enough: float = 0.0) -> float:
    """The ratio of the least that both sides took, over as many tries as it takes to be good enough."""
    least: dict[str, Seconds] = {}
    for _ in range(tries):
        for name, seconds in _least_costs(case).items():
            least[name] = min(seconds, least.get(name, seconds))
        ratio = least[OURS.name] / least[FLOOR]
        if ratio <= good_enough:
            break
    return ratio


def _least_costs(case: Case) -> dict[str, Seconds]:
    """Processor time of one call of the work of each side, at its best."""
    with asyncio.Runner() as runner, ExitStack() as stack:
        sides = {
            name: stack.enter_context(prepared(runner, case, prepare, WATCHED.get(case.name, 1.0)))[1]
            for name, prepare in contenders(case, with_rival=False).items()
        }
        for work in sides.values():
            call(runner, work, 1)
        repeats = {name: max(1, round(SAMPLE / _seconds(runner, work, 1))) for name, work in sides.items()}
        gc.collect()
        samples: list[dict[str, Seconds]] = [
            {name: _seconds(runner, work, repeats[name]) for name, work in sides.items()}
            for _ in range(SAMPLES)
        ]
    return {name: min(sample[name] for sample in samples) for name in sides}


def _seconds(runner: asyncio.Runner, work: object, repeats: int) -> Seconds:
    start = time.process_time()
    call(runner, work, repeats)  # type: ignore[arg-type]
    return (time.process_time() - start) / repeats


# -- what was recorded -----------------------------------------------------------------------------


def recorded_ratios() -> Ratios:
    ratios: Ratios = json.loads(FILE.read_text(encoding="utf-8"))
    return ratios


def write_recorded(ratios: Ratios) -> None:
    """Replaces these ratios; others stay as they are."""
    rounded = {name: float(f"{ratio:.3g}") for name, ratio in ratios.items()}
    kept = recorded_ratios() if FILE.exists() else {}
    FILE.write_text(json.dumps(kept | rounded, indent=2, sort_keys=True) + "\n", encoding="utf-8")
