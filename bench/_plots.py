"""Plots of results, as SVG for the page and as PNG for elsewhere. matplotlib comes with the `bench` extra."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from bench._case import FLOOR
from bench._measure import CLOCKS, Result
from bench._packages import OURS, RIVAL
from bench._report import goals_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREY, GREEN, RED = "#2a6fbb", "#c8702a", "#888888", "#2e8b57", "#c0392b"
COLORS = {FLOOR: GREY, OURS.name: BLUE, RIVAL.name: ORANGE}
LABELS = {FLOOR: "hand-written"}


def draw(folder: Path, topics: Mapping[str, Sequence[Result]]) -> list[Path]:
    """Writes every plot there is something for; the files written.

    Raises:
        ImportError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise ImportError("plots need matplotlib: pip install 'aiograph[bench]'")
    results = [result for each in topics.values() for result in each]
    figures = {"ratios": ratios(topics), "growth": growth(results)}
    return [path for name, figure in figures.items() if figure for path in _saved(folder / name, figure)]


def ratios(topics: Mapping[str, Sequence[Result]]) -> "Figure | None":
    """A bar per row: the share of LangGraph's cost, on a logarithmic scale, with the goals marked."""
    shown = {
        topic: rows
        for topic, results in topics.items()
        if (rows := [each for each in results if each.ratio(RIVAL.name)])
    }
    if not shown:
        return None
    heights = [len(rows) + 1.5 for rows in shown.values()]
    figure = _figure(9, 0.19 * sum(heights) + 1)
    grid = figure.subplots(len(shown), 1, sharex=True, squeeze=False, height_ratios=heights)
    for axes, (topic, rows) in zip(grid[:, 0], shown.items(), strict=True):
        _bars(axes, topic, rows)
    grid[-1, 0].set_xlabel("share of what LangGraph takes (logarithmic; shorter is better)")
    return figure


def _bars(axes: "Axes", topic: str, rows: Sequence[Result]) -> None:
    places = range(len(rows))
    spreads = [spread for row in rows if (spread := row.ratio(RIVAL.name))]
    axes.barh(places, [each.median for each in spreads], color=[_verdict_color(row) for row in rows])
    axes.hlines(
        places, [each.low for each in spreads], [each.high for each in spreads], color="black", lw=0.8
    )
    for place, row in zip(places, rows, strict=True):
        if goal := row.case.goal(row.measure, RIVAL.name):
            axes.plot([goal, goal], [place - 0.45, place + 0.45], color="black", lw=1.6)
    axes.axvline(1, color=ORANGE, lw=1)
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_yticks(places, [_label(row) for row in rows], fontsize=7)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(topic, fontsize=9, loc="left", fontweight="bold")
    axes.grid(axis="x", lw=0.3)


def _verdict_color(row: Result) -> str:
    verdicts = [ratio <= most for over, most, ratio in goals_of(row) if over == RIVAL.name]
    if not verdicts:
        return BLUE
    return GREEN if all(verdicts) else RED


def _label(row: Result) -> str:
    is_usual = row.measure == row.case.clock and row.measure in CLOCKS
    return row.case.name if is_usual else f"{row.case.name}, {row.measure}"


def growth(results: Sequence[Result]) -> "Figure | None":
    """A line per contender and curve: the cost of a unit, over hand-written code at the curve's start."""
    curves: dict[str, list[Result]] = {}
    for result in results:
        if result.case.point and result.measure == result.case.clock:
            curves.setdefault(result.case.point.curve, []).append(result)
    if not curves:
        return None
    columns = min(3, len(curves))
    rows = -(-len(curves) // columns)
    figure = _figure(4 * columns, 3.1 * rows)
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes, (curve, points) in zip(grid.flat, curves.items(), strict=False):
        _lines(axes, curve, points)
    for axes in grid.flat[len(curves) :]:
        axes.set_axis_off()
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=8)
    return figure


def _lines(axes: "Axes", curve: str, points: Sequence[Result]) -> None:
    ordered = sorted(points, key=_place)
    unit = ordered[0].cost(FLOOR) or ordered[0].cost(OURS.name) or 1.0
    for name, color in COLORS.items():
        known = [(_place(each), cost / unit) for each in ordered if (cost := each.cost(name))]
        if known:
            label = LABELS.get(name, name)
            axes.plot(*zip(*known, strict=True), "o-", ms=3, color=color, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel(curve, fontsize=8)
    per = "hand-written ones" if ordered[0].cost(FLOOR) else "times the first of ours"
    axes.set_ylabel(f"cost of a {ordered[0].case.unit}, in {per}", fontsize=7)
    axes.minorticks_off()
    axes.tick_params(labelsize=7)
    axes.grid(lw=0.3)


def _place(result: Result) -> int:
    return result.case.point.at if result.case.point else 0


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _saved(path: Path, figure: "Figure") -> list[Path]:
    """The same figure twice. Text stays text in SVG, and neither file tells when it was made."""
    from matplotlib import rc_context

    files = [path.with_suffix(suffix) for suffix in (".svg", ".png")]
    settings = {"svg.fonttype": "none", "svg.hashsalt": "aiograph"}
    with rc_context(settings):
        figure.savefig(files[0], metadata={"Date": None})
        figure.savefig(files[1], dpi=110)
    return files
