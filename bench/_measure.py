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

from bench._case import Case, Measure, Setup, Work
from bench._packages import OURS, RIVAL

FLOOR = "floor"

Seconds: TypeAlias = float


class Effort(NamedTuple):
    """How much to measure."""

    rounds: int = 5
    seconds: Seconds = 0.1
    """A sample repeats its work until it has taken about this long."""
    scale: float = 1.0
    """Multiplies the sizes of all cases; below 1 it says whether they run, not what they cost."""
    with_rival: bool = True


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
    size = max(1, round(case.size * effort.scale))
    contenders = _contenders(case, effort)
    rounds: list[dict[str, Costs]] = []
    with asyncio.Runner() as runner:
        _compare_answers(runner, contenders, size)
        for number in range(1 if case.counts_bytes else effort.rounds):
            names = list(contenders) if number % 2 == 0 else list(reversed(contenders))
            rounds.append({name: _sample(runner, case, contenders[name], size, effort) for name in names})
    return [
        Result(case, measure, [{name: costs[measure] for name, costs in each.items()} for each in rounds])
        for measure in case.measures
    ]


Prepare: TypeAlias = Callable[[Setup], Any]

Costs: TypeAlias = dict[Measure, float]
"""Per unit."""


def _contenders(case: Case, effort: Effort) -> dict[str, Prepare]:
    contenders: dict[str, Prepare] = {FLOOR: case.floor, OURS.name: partial(case.subject, OURS)}
    if effort.with_rival and case.has_rival and RIVAL.offers(case.needs):
        contenders[RIVAL.name] = partial(case.subject, RIVAL)
    return contenders


def _compare_answers(runner: asyncio.Runner, contenders: Mapping[str, Prepare], size: int) -> None:
    """Runs each contender once, which warms it up as well."""
    answers = {}
    for name, prepare in contenders.items():
        with _prepared(runner, prepare, size) as (_, work):
            answers[name] = _call(runner, work, 1)
    if any(answer != answers[FLOOR] for answer in answers.values()):
        shown = ", ".join(f"{name}: {str(answer)[:200]}" for name, answer in answers.items())
        raise DifferentAnswers(f"the contenders did not do the same work: {shown}")


def _sample(runner: asyncio.Runner, case: Case, prepare: Prepare, size: int, effort: Effort) -> Costs:
    """Costs per unit, each sample on a graph and a saver of its own."""
    with _prepared(runner, prepare, size) as (setup, work):
        repeats = 1
        if not case.counts_bytes:
            once = _costs(case, setup, runner, work, 1)[case.clock]
            repeats = max(1, round(effort.seconds / max(once, 1e-9)))
        gc.collect()
        costs = _costs(case, setup, runner, work, repeats)
    return {measure: cost / repeats / size for measure, cost in costs.items()}


def _costs(case: Case, setup: Setup, runner: asyncio.Runner, work: Work, repeats: int) -> Costs:
    readers = CLOCKS | setup.meters
    start = {measure: readers[measure]() for measure in case.measures}
    _call(runner, work, repeats)
    return {measure: readers[measure]() - start[measure] for measure in case.measures}


def _call(runner: asyncio.Runner, work: Work, repeats: int) -> Any:
    if inspect.iscoroutinefunction(work):
        return runner.run(_repeated(work, repeats))
    for _ in range(repeats):
        answer = work()
    return answer


async def _repeated(work: Work, repeats: int) -> Any:
    for _ in range(repeats):
        answer = await work()
    return answer


@contextmanager
def _prepared(runner: asyncio.Runner, prepare: Prepare, size: int) -> Iterator[tuple[Setup, Work]]:
    """A contender's work; what it opened on the loop is closed on leaving."""
    setup = Setup(size, AsyncExitStack())
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
