"""Where the time of a case goes, by part of each package.

A profiler slows short functions down more than long ones, so its figures are shares: they are applied to
what the same work took without it. Functions written in C count as their caller, and so does the garbage
collector as whoever happened to allocate. Only the thread of the loop is seen.
"""

import asyncio
import cProfile
import os
import pstats
import sysconfig
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from bench._case import FLOOR, Case, Work
from bench._measure import Effort, call, contenders, prepared
from bench._packages import OURS, RIVAL

PARTS_SHOWN = 14

LONGER = 5
"""How much longer than a sample: the profiler reads the time that passes, in which others run too."""


class Part(NamedTuple):
    """A module, or a package that is not looked into any further."""

    name: str
    share: float
    microseconds: float
    """Of processor time, per unit of the case."""
    calls: float
    """Of Python functions, per unit."""


class Profile(NamedTuple):
    """What one contender does with its time."""

    case: Case
    contender: str
    microseconds: float
    calls: float
    parts: list[Part]
    """The largest first."""


def profiles(case: Case, effort: Effort) -> list[Profile]:
    """One for aiograph and one for LangGraph, where it can run the case."""
    names = [name for name in contenders(case, effort.with_rival) if name != FLOOR]
    return [profile(case, name, effort) for name in names]


def profile(case: Case, contender: str, effort: Effort) -> Profile:
    """Does the work for a while without and then with the profiler."""
    prepare = contenders(case, effort.with_rival)[contender]
    # reading the processor's time slows down what is profiled, so only where a case waits
    profiler = cProfile.Profile(time.thread_time) if case.clock == "wall" else cProfile.Profile()
    with asyncio.Runner() as runner, prepared(runner, case, prepare, effort.scale) as (setup, work):
        call(runner, work, 1)
        repeats = max(1, round(effort.seconds * LONGER / max(_seconds(runner, work, 1), 1e-9)))
        seconds = _seconds(runner, work, repeats)
        with profiler:
            call(runner, work, repeats)
    units = setup.size * repeats
    return _summed(case, contender, profiler, seconds / units * 1e6, units)


def _seconds(runner: asyncio.Runner, work: Work, repeats: int) -> float:
    start = time.thread_time()
    call(runner, work, repeats)
    return time.thread_time() - start


Function: TypeAlias = tuple[str, int, str]
"""File, line and name; a file named `~` is C."""


def _summed(
    case: Case, contender: str, profiler: cProfile.Profile, microseconds: float, units: int
) -> Profile:
    own: dict[str, float] = defaultdict(float)
    calls: dict[str, float] = defaultdict(float)
    stats: dict[Function, Any] = pstats.Stats(profiler).stats  # type: ignore[attr-defined]  # in no stub
    for function, (_, count, seconds, _, callers) in stats.items():
        if not _is_c(function):
            own[part_of(function[0])] += seconds
            calls[part_of(function[0])] += count
        for caller, (_, _, of_caller, _) in callers.items() if _is_c(function) else ():
            own["interpreter" if _is_c(caller) else part_of(caller[0])] += of_caller
    total = sum(own.values())
    parts = [
        Part(name, seconds / total, microseconds * seconds / total, calls[name] / units)
        for name, seconds in own.items()
    ]
    parts.sort(key=lambda part: part.share, reverse=True)
    return Profile(case, contender, microseconds, sum(calls.values()) / units, parts)


def _is_c(function: Function) -> bool:
    return function[0] == "~"


_HOME = f"{Path(__file__).parent.parent}{os.sep}"
_LIBRARY = f"{sysconfig.get_path('stdlib')}{os.sep}"


def part_of(file: str) -> str:
    """What a file belongs to, as a reader would name it.

    >>> part_of("/venv/site-packages/langgraph/pregel/main.py")
    'langgraph.pregel.main'
    >>> part_of("<string>")
    'generated code'
    """
    if file.startswith("<"):
        return "generated code"
    if "site-packages" in file:
        return _dotted(file.rpartition("site-packages")[2])
    if file.startswith(_HOME):
        name = _dotted(file.removeprefix(_HOME))
        return "the user's code" if name.startswith("bench.cases") else name
    if file.startswith(_LIBRARY):
        name = _dotted(file.removeprefix(_LIBRARY))
        return "asyncio" if name.startswith(("asyncio", "selectors")) else f"standard library: {name}"
    return _dotted("/".join(Path(file).parts[-3:]))


def _dotted(path: str) -> str:
    return path.removesuffix(".py").strip("/\\").replace(os.sep, ".").replace("/", ".")


def report(case: Case, effort: Effort) -> str:
    """Both profiles as text."""
    return "\n\n".join(_text(each) for each in profiles(case, effort))


def _text(profile: Profile) -> str:
    case, shown = profile.case, profile.parts[:PARTS_SHOWN]
    rest = 1 - sum(part.share for part in shown)
    title = (
        f"{case.name} on {profile.contender}: {profile.microseconds:,.1f} µs and "
        f"{profile.calls:,.0f} calls of Python functions per {case.unit}"
    )
    lines = [
        f"{part.share:6.1%} {part.microseconds:9.2f} µs {part.calls:8.1f} calls  {part.name}"
        for part in shown
    ]
    return "\n".join([title, *lines, f"{rest:6.1%}  the other {len(profile.parts) - len(shown)} parts"])


def gathered(profile: Profile) -> Profile:
    """The same, with modules taken together: to packages of LangGraph's, and to all of anything else's."""
    found: dict[str, list[Part]] = defaultdict(list)
    for part in profile.parts:
        found[_gathered_name(part.name)].append(part)
    parts = [_joined(name, those) for name, those in found.items()]
    return profile._replace(parts=sorted(parts, key=lambda part: part.share, reverse=True))


def _gathered_name(name: str) -> str:
    words = name.partition(":")[0].split(".")
    depth = {OURS.name: len(words), RIVAL.name: 2, "langchain_core": 2}.get(words[0], 1)
    return ".".join(words[:depth])


def _joined(name: str, parts: Sequence[Part]) -> Part:
    return Part(
        name,
        sum(part.share for part in parts),
        sum(part.microseconds for part in parts),
        sum(part.calls for part in parts),
    )


def markdown(profile: Profile, shown: int = 9) -> str:
    """A table for a page."""
    parts = gathered(profile).parts
    rows = parts[:shown]
    if parts[shown:]:
        rows.append(_joined(f"{len(parts[shown:])} others", parts[shown:]))
    lines = [
        f"**{profile.contender}**, `{profile.case.name}`: {profile.microseconds:,.1f} µs and "
        f"{profile.calls:,.0f} calls per {profile.case.unit}\n",
        "| part | share | µs | calls |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {part.name} | {part.share:.0%} | {part.microseconds:.1f} | {part.calls:.1f} |"
            for part in rows
        ),
    ]
    return "\n".join(lines)
