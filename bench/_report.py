"""Results as a table for people and as JSON for programs."""

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aiograph.bridge import bridge_loop
from bench._case import FLOOR, Case
from bench._measure import CLOCKS, Effort, Result, Spread
from bench._packages import OURS, RIVAL

HEADINGS = ("case", "per", "x floor", "spread", "/ LangGraph", "spread", "goal", "", "ours", "floor", "of")


def conditions(effort: Effort) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} processors, {_processor()}",
        OURS.name: OURS.version,
        RIVAL.name: RIVAL.version if RIVAL.is_installed else None,
        "bridge loop": type(bridge_loop()).__module__.partition(".")[0],
        "rounds": effort.rounds,
        "scale": effort.scale,
    }


def _processor() -> str:
    """Its name, where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "unknown"


# -- for people ------------------------------------------------------------------------------------


def table(results: Sequence[Result]) -> str:
    """Aligned columns, and what has to be known about some rows."""
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    told = [f"{', '.join(names)}: {note}" for note, names in notes(results).items()]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", *told])


def notes(results: Sequence[Result]) -> dict[str, list[str]]:
    """What has to be known, and about which cases."""
    found: dict[str, list[str]] = {}
    for case in dict.fromkeys(result.case for result in results):
        if case.note:
            found.setdefault(case.note, []).append(case.name)
    return found


def markdown(results: Sequence[Result]) -> str:
    """The same for a page."""
    rows = [_row(result) for result in results]
    marks = ["---" if column < 2 else "---:" for column in range(len(HEADINGS))]
    named = [(f"`{row[0]}`", *row[1:]) for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADINGS, marks, *named))


def summary(results: Sequence[Result]) -> str:
    """How many goals were met, and by how much the others were missed."""
    verdicts = [(result, *goal) for result in results for goal in goals_of(result)]
    missed = [(result, over, most, ratio) for result, over, most, ratio in verdicts if ratio > most]
    if not verdicts:
        return "no goals were set"
    lines = [f"{len(verdicts) - len(missed)} of {len(verdicts)} goals met"]
    lines += [
        f"  missed: {result.case.name} ({result.measure}) {number(ratio)} of {over}, goal {number(most)}"
        for result, over, most, ratio in missed
    ]
    return "\n".join(lines)


def slower(results: Sequence[Result]) -> str:
    """The rows in which LangGraph takes less, the worst first."""
    lost = [
        (spread.median, each) for each in results if (spread := each.ratio(RIVAL.name)) and spread.median > 1
    ]
    lost.sort(key=lambda row: row[0], reverse=True)
    return "\n".join(f"- `{each.case.name}` ({each.measure}): {number(ratio)} times" for ratio, each in lost)


def goals_of(result: Result) -> list[tuple[str, float, float]]:
    """Over whom, the ratio to stay at or below, and the ratio that was measured."""
    return [
        (over, most, spread.median)
        for over in (RIVAL.name, FLOOR)
        if (most := result.case.goal(result.measure, over)) and (spread := result.ratio(over))
    ]


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if index < 2 else cell.rjust(width)
        for index, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _row(result: Result) -> tuple[str, ...]:
    return (
        result.case.name,
        result.case.unit,
        *_cells(result.ratio(FLOOR)),
        *_cells(result.ratio(RIVAL.name)),
        *_verdict(result),
        number(result.cost(OURS.name)),
        number(result.cost(FLOOR)),
        f"µs {result.measure}" if result.measure in CLOCKS else f"bytes {result.measure}",
    )


def _cells(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "-", ""
    return number(spread.median), f"{number(spread.low)}..{number(spread.high)}"


def _verdict(result: Result) -> tuple[str, str]:
    goals = goals_of(result)
    if not goals:
        return "", ""
    texts = [f"≤ {number(most)}{' x floor' if over == FLOOR else ''}" for over, most, _ in goals]
    return ", ".join(texts), "met" if all(ratio <= most for _, most, ratio in goals) else "missed"


def number(value: float | None) -> str:
    """Three figures."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# -- for programs ----------------------------------------------------------------------------------


def document(results: Sequence[Result], conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    return {"conditions": dict(conditions), "cases": [_entry(result) for result in results]}


def _entry(result: Result) -> dict[str, Any]:
    spreads = {"floor": result.ratio(FLOOR), RIVAL.name: result.ratio(RIVAL.name)}
    return {
        "name": result.case.name,
        "unit": result.case.unit,
        "measure": result.measure,
        "note": result.case.note,
        "ratio": {name: spread and spread._asdict() for name, spread in spreads.items()},
        "goals": [
            {"over": over, "most": most, "met": ratio <= most} for over, most, ratio in goals_of(result)
        ],
        "per_unit": [dict(each) for each in result.rounds],
    }


def results_in(document: Mapping[str, Any], cases: Iterable[Case]) -> list[Result]:
    """What a document says about cases that there still are."""
    known = {case.name: case for case in cases}
    return [
        Result(known[entry["name"]], entry["measure"], entry["per_unit"])
        for entry in document["cases"]
        if entry["name"] in known
    ]
