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

from bench._case import Case, Clock, Setup, Work
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
    """What came of one case."""

    case: Case
    rounds: Sequence[Mapping[str, Seconds]]
    """Per round, the seconds per unit of each contender."""

    def microseconds(self, name: str) -> float | None:
        if name not in self.rounds[0]:
            return None
        return median(each[name] for each in self.rounds) * 1e6

    def ratio(self, over: str) -> Spread | None:
        """aiograph's share of another contender's time."""
        if over not in self.rounds[0]:
            return None
        ratios = [each[OURS.name] / each[over] for each in self.rounds]
        return Spread(median(ratios), min(ratios), max(ratios))


class DifferentAnswers(Exception):
    """The contenders did not do the same work."""


def measure(case: Case, effort: Effort) -> Result:
    """Runs one case.

    Raises:
        DifferentAnswers: The contenders did not do the same work.
    """
    size = max(1, round(case.size * effort.scale))
    contenders = _contenders(case, effort)
    rounds: list[dict[str, Seconds]] = []
    with asyncio.Runner() as runner:
        _compare_answers(runner, contenders, size)
        for number in range(effort.rounds):
            names = list(contenders) if number % 2 == 0 else list(reversed(contenders))
            rounds.append(
                {name: _sample(runner, case.clock, contenders[name], size, effort) for name in names}
            )
    return Result(case, rounds)


Prepare: TypeAlias = Callable[[Setup], Any]


def _contenders(case: Case, effort: Effort) -> dict[str, Prepare]:
    contenders: dict[str, Prepare] = {FLOOR: case.floor, OURS.name: partial(case.subject, OURS)}
    if effort.with_rival and case.has_rival and RIVAL.is_installed:
        contenders[RIVAL.name] = partial(case.subject, RIVAL)
    return contenders


def _compare_answers(runner: asyncio.Runner, contenders: Mapping[str, Prepare], size: int) -> None:
    """Runs each contender once, which warms it up as well."""
    answers = {}
    for name, prepare in contenders.items():
        with _prepared(runner, prepare, size) as work:
            answers[name] = _call(runner, work, 1)
    if any(answer != answers[FLOOR] for answer in answers.values()):
        shown = ", ".join(f"{name}: {str(answer)[:200]}" for name, answer in answers.items())
        raise DifferentAnswers(f"the contenders did not do the same work: {shown}")


def _sample(runner: asyncio.Runner, clock: Clock, prepare: Prepare, size: int, effort: Effort) -> Seconds:
    """Seconds per unit, each sample on a graph and a saver of its own."""
    now = CLOCKS[clock]
    with _prepared(runner, prepare, size) as work:
        once = _timed(now, runner, work, 1)
        repeats = max(1, round(effort.seconds / max(once, 1e-9)))
        gc.collect()
        return _timed(now, runner, work, repeats) / repeats / size


def _timed(now: Callable[[], Seconds], runner: asyncio.Runner, work: Work, repeats: int) -> Seconds:
    start = now()
    _call(runner, work, repeats)
    return now() - start


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
def _prepared(runner: asyncio.Runner, prepare: Prepare, size: int) -> Iterator[Work]:
    """A contender's work; what it opened on the loop is closed on leaving."""
    resources = AsyncExitStack()
    try:
        yield runner.run(_awaited(prepare(Setup(size, resources))))
    finally:
        runner.run(_awaited(resources.aclose()))


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


CLOCKS: Mapping[Clock, Callable[[], Seconds]] = {
    "cpu": time.process_time,
    "wall": time.perf_counter,
    "child": _child_time,
}
