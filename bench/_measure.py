"""The runner: contenders in turn, round after round, each long enough for its clock.

A ratio is taken within a round, so whatever else the machine does meanwhile hits both sides. Every
other round goes backwards, so that no contender always profits from running after another.
"""

import asyncio
import gc
import inspect
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from statistics import median
from typing import Any, NamedTuple, TypeAlias

from bench._case import FLOOR, Case, Measure, Setup, Work
from bench._packages import OURS, RIVAL

Seconds: TypeAlias = float


class Effort(NamedTuple):
    """How much to measure."""

    rounds: int = 5
    seconds: Seconds = 0.1
    """A sample repeats its work until it has taken about this long."""
    scale: float = 1.0
    """Multiplies the sizes of all cases; below 1 it says whether they run, not what they cost."""
    with_rival: bool = True
    enough: Seconds = 60
    """A case that has taken so long begins no further round."""


class Spread(NamedTuple):
    """A figure over all rounds."""

    median: float
    low: float
    high: float


class Result(NamedTuple):
    """What came of one case, by one measure."""

    case: Case
    measure: Measure
    rounds: Sequence[Mapping[str, float]]
    """Per round, the seconds or bytes per unit of each contender."""

    def cost(self, name: str) -> float | None:
        """Microseconds or bytes per unit."""
        if name not in self.rounds[0]:
            return None
        return median(each[name] for each in self.rounds) * (1e6 if self.measure in CLOCKS else 1)

    def ratio(self, over: str) -> Spread | None:
        """aiograph's share of what another contender takes; none if that takes nothing."""
        if not all(each.get(over) for each in self.rounds):
            return None
        ratios = [each[OURS.name] / each[over] for each in self.rounds]
        return Spread(median(ratios), min(ratios), max(ratios))


class DifferentAnswers(Exception):
    """The contenders did not do the same work."""


def measure(case: Case, effort: Effort) -> list[Result]:
    """Runs one case; there is a result for each measure.

    Raises:
        DifferentAnswers: The contenders did not do the same work.
    """
    with asyncio.Runner() as runner:
        rounds = _weighed(runner, case, effort) if case.counts_bytes else _timed(runner, case, effort)
    return [
        Result(case, measure, [{name: costs[measure] for name, costs in each.items()} for each in rounds])
        for measure in case.measures
    ]


Prepare: TypeAlias = Callable[[Setup], Any]

Costs: TypeAlias = dict[Measure, float]
"""Per unit."""

Round: TypeAlias = dict[str, Costs]


def contenders(case: Case, with_rival: bool) -> dict[str, Prepare]:
    """Who can run a case here, by name."""
    found: dict[str, Prepare] = {FLOOR: case.floor} if case.floor else {}
    found[OURS.name] = partial(case.subject, OURS)
    if with_rival and case.has_rival and RIVAL.offers(case.needs):
        found[RIVAL.name] = partial(case.subject, RIVAL)
    return found


def _weighed(runner: asyncio.Runner, case: Case, effort: Effort) -> list[Round]:
    """One round, each contender once: bytes hardly vary."""
    answers: dict[str, Any] = {}
    costs: Round = {}
    for name, prepare in contenders(case, effort.with_rival).items():
        with prepared(runner, case, prepare, effort.scale) as (setup, work):
            answers[name], spent = _spent(case, setup, runner, work, 1)
            costs[name] = {measure: cost / setup.size for measure, cost in spent.items()}
    _compare(answers)
    return [costs]


def _timed(runner: asyncio.Runner, case: Case, effort: Effort) -> list[Round]:
    prepares = contenders(case, effort.with_rival)
    repeats = _rehearsed(runner, case, prepares, effort)
    rounds: list[Round] = []
    end = time.perf_counter() + effort.enough
    for number in range(effort.rounds):
        if rounds and time.perf_counter() > end:
            break  # a sample of many seconds says more than many short ones
        names = list(prepares) if number % 2 == 0 else list(reversed(prepares))
        rounds.append({name: _sample(runner, case, prepares[name], effort, repeats[name]) for name in names})
    return rounds


def _rehearsed(
    runner: asyncio.Runner, case: Case, prepares: Mapping[str, Prepare], effort: Effort
) -> dict[str, int]:
    """How often each contender does its work in a sample. Warms everything up, and compares the answers."""
    answers, repeats = {}, {}
    for name, prepare in prepares.items():
        with prepared(runner, case, prepare, effort.scale) as (setup, work):
            answers[name], spent = _spent(case, setup, runner, work, 1)
            if spent[case.clock] < LONG:  # or it was the first call that took so long
                _, spent = _spent(case, setup, runner, work, 1)
        repeats[name] = max(1, round(effort.seconds / max(spent[case.clock], 1e-9)))
    _compare(answers)
    return repeats


LONG: Seconds = 1.0


def _compare(answers: Mapping[str, Any]) -> None:
    if any(answer != answers[OURS.name] for answer in answers.values()):
        shown = ", ".join(f"{name}: {str(answer)[:200]}" for name, answer in answers.items())
        raise DifferentAnswers(f"the contenders did not do the same work: {shown}")


def _sample(runner: asyncio.Runner, case: Case, prepare: Prepare, effort: Effort, repeats: int) -> Costs:
    """Costs per unit, each sample on a graph and a saver of its own."""
    with prepared(runner, case, prepare, effort.scale) as (setup, work):
        if repeats > 1:
            call(runner, work, 1)
        gc.collect()
        _, costs = _spent(case, setup, runner, work, repeats)
    return {measure: cost / repeats / setup.size for measure, cost in costs.items()}


def _spent(case: Case, setup: Setup, runner: asyncio.Runner, work: Work, repeats: int) -> tuple[Any, Costs]:
    """The work's answer, and what it took."""
    readers = CLOCKS | setup.meters
    start = {measure: readers[measure]() for measure in case.measures}
    answer = call(runner, work, repeats)
    return answer, {measure: readers[measure]() - start[measure] for measure in case.measures}


def call(runner: asyncio.Runner, work: Work, repeats: int) -> Any:
    """Does the work some times; the last answer."""
    if inspect.iscoroutinefunction(work):
        # not runner.run(), which takes as long as a small run to watch for Ctrl-C
        return runner.get_loop().run_until_complete(_repeated(work, repeats))
    for _ in range(repeats):
        answer = work()
    return answer


async def _repeated(work: Work, repeats: int) -> Any:
    for _ in range(repeats):
        answer = await work()
    return answer


@contextmanager
def prepared(
    runner: asyncio.Runner, case: Case, prepare: Prepare, scale: float
) -> Iterator[tuple[Setup, Work]]:
    """A contender's work; what it opened on the loop is closed on leaving."""
    size = max(1, round(case.size * scale))
    setup = Setup(size, AsyncExitStack(), scale=scale, counts_bytes=case.counts_bytes)
    try:
        yield setup, runner.run(_awaited(prepare(setup)))
    finally:
        runner.run(_awaited(setup.resources.aclose()))


async def _awaited(awaitable: Any) -> Any:
    return await awaitable


def _child_time() -> Seconds:
    """Processor time of child processes that have ended; on Windows, which does not count it, wall time."""
    try:
        import resource
    except ImportError:
        return time.perf_counter()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


CLOCKS: dict[Measure, Callable[[], float]] = {
    "cpu": time.process_time,
    "wall": time.perf_counter,
    "child": _child_time,
}
