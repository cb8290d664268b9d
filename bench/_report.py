"""Results as a table for people and as JSON for programs."""

import platform
from collections.abc import Sequence
from typing import Any

from aiograph.bridge import bridge_loop
from bench._measure import CLOCKS, FLOOR, Effort, Result, Spread
from bench._packages import OURS, RIVAL

HEADINGS = ("case", "per", "x floor", "spread", "/ LangGraph", "spread", "ours", "floor", "of")


def conditions(effort: Effort) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        OURS.name: OURS.version,
        RIVAL.name: RIVAL.version if RIVAL.is_installed else None,
        "bridge loop": type(bridge_loop()).__module__.partition(".")[0],
        "rounds": effort.rounds,
        "scale": effort.scale,
    }


def table(results: Sequence[Result]) -> str:
    """Aligned columns, and what has to be known about some rows."""
    rows = [HEADINGS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [_line(row, widths) for row in rows]
    notes = dict.fromkeys(f"{each.case.name}: {each.case.note}" for each in results if each.case.note)
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:], "", *notes])


def markdown(results: Sequence[Result]) -> str:
    """The same as a table for `docs/concepts/performance.md`."""
    rows = [_row(result) for result in results]
    marks = ["---" if column < 2 else "---:" for column in range(len(HEADINGS))]
    named = [(f"`{row[0]}`", *row[1:]) for row in rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (HEADINGS, marks, *named))


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
        _number(result.cost(OURS.name)),
        _number(result.cost(FLOOR)),
        f"µs {result.measure}" if result.measure in CLOCKS else f"bytes {result.measure}",
    )


def _cells(spread: Spread | None) -> tuple[str, str]:
    if spread is None:
        return "-", ""
    return _number(spread.median), f"{_number(spread.low)}..{_number(spread.high)}"


def _number(value: float | None) -> str:
    """Three figures."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def document(results: Sequence[Result], effort: Effort) -> dict[str, Any]:
    """Everything that was measured, ready for JSON."""
    return {"conditions": conditions(effort), "cases": [_entry(result) for result in results]}


def _entry(result: Result) -> dict[str, Any]:
    spreads = {"floor": result.ratio(FLOOR), RIVAL.name: result.ratio(RIVAL.name)}
    return {
        "name": result.case.name,
        "unit": result.case.unit,
        "measure": result.measure,
        "note": result.case.note,
        "ratio": {name: spread and spread._asdict() for name, spread in spreads.items()},
        "per_unit": [dict(each) for each in result.rounds],
    }
