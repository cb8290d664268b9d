"""Tables, profiles and plots find their way onto the page."""

import asyncio
import json
from pathlib import Path

import pytest

from bench import _docs, _plots, _profile
from bench.__main__ import main
from bench._case import FLOOR, Case, Goal, Point, Setup, Work
from bench._measure import Effort, Result
from bench._packages import Package
from bench._profile import part_of
from bench.cases import all_cases

PAGE = Path(__file__).parent.parent.parent / "docs" / "benchmarks.md"
ROUNDS = [{"floor": 0.01, "aiograph": 0.1, "langgraph": 1.0}]


async def nothing(package: Package, setup: Setup) -> Work:
    return lambda: None


def result(name: str, point: Point | None = None) -> Result:
    case = Case(name=name, unit="run", size=1, subject=nothing, goals=(Goal(0.5),), point=point)
    return Result(case, "cpu", ROUNDS)


def test_parts_of_the_page_are_replaced_and_the_rest_is_kept() -> None:
    page = "before\n<!-- a -->\nold\n<!-- /a -->\nbetween\n<!-- b -->\n<!-- /b -->\nafter\n"
    filled = _docs.filled(page, {"a": r"new \1", "b": "text"})
    assert "old" not in filled
    assert filled.split() == page.replace("old", r"new \1").replace("<!-- b -->", "<!-- b --> text").split()
    assert _docs.filled(filled, {"a": r"new \1", "b": "text"}) == filled


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="no part between <!-- results -->"):
        _docs.filled("a page", {"results": ""})


def test_the_page_of_the_documentation_can_be_filled(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / PAGE.name).write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    case = next(case for case in all_cases() if case.name == "loop_1000_command")
    written = _docs.write(tmp_path, [Result(case, "cpu", ROUNDS)], {"python": "4.0"})
    names = [str(path.relative_to(tmp_path)) for path in written]
    stem = "benchmarks"
    assert names == [f"{stem}.md", f"{stem}/results.json", f"{stem}/ratios.svg", f"{stem}/ratios.png"]
    page = written[0].read_text(encoding="utf-8")
    assert "### Supersteps" in page
    assert "| `loop_1000_command` | superstep | 10 |" in page
    assert "- python: 4.0" in page


def test_what_would_fail_after_the_measurement_fails_before_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        main(["loop_1000", "--docs", str(tmp_path)])
    (tmp_path / PAGE.name).write_text("no marks", encoding="utf-8")
    with pytest.raises(ValueError, match="no part between"):
        main(["loop_1000", "--docs", str(tmp_path)])


def test_bars_and_curves_are_drawn(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    points = [result(f"point_{at}", Point("nodes", at)) for at in (10, 100)]
    written = _plots.draw(tmp_path, {"Supersteps": [result("loop")], "Growth": points})
    assert sorted(path.name for path in written) == ["growth.png", "growth.svg", "ratios.png", "ratios.svg"]
    assert "loop" in (tmp_path / "ratios.svg").read_text(encoding="utf-8")
    assert "nodes" in (tmp_path / "growth.svg").read_text(encoding="utf-8")
    assert (tmp_path / "ratios.png").read_bytes().startswith(b"\x89PNG")


def test_the_same_results_are_drawn_the_same(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawn = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        drawn.append([path.read_bytes() for path in _plots.draw(tmp_path / name, {"A": [result("loop")]})])
    assert drawn[0] == drawn[1]


def test_a_profile_tells_the_parts_of_the_engine_and_the_user() -> None:
    case = next(case for case in all_cases() if case.name == "loop_1000")
    found = _profile.profile(case, "aiograph", Effort(seconds=0.01, scale=0.1))
    names = {part.name for part in found.parts}
    assert {"aiograph.pregel._loop", "the user's code"} <= names
    assert sum(part.share for part in found.parts) == pytest.approx(1)
    assert sum(part.microseconds for part in found.parts) == pytest.approx(found.microseconds)
    assert "aiograph.pregel._loop" in _profile.markdown(found, shown=100)


def test_a_profile_leaves_the_floor_out() -> None:
    case = next(case for case in all_cases() if case.name == "loop_1000")
    shown = _profile.report(case, Effort(seconds=0, scale=0.01, with_rival=False))
    assert shown.startswith("loop_1000 on aiograph")
    assert f"on {FLOOR}" not in shown


@pytest.mark.parametrize(
    ("file", "part"),
    [
        ("/venv/lib/python3.11/site-packages/langgraph/pregel/main.py", "langgraph.pregel.main"),
        (asyncio.events.__file__, "asyncio"),
        (json.decoder.__file__, "standard library: json.decoder"),
        ("<string>", "generated code"),
    ],
)
def test_a_file_is_part_of_something_that_a_reader_knows(file: str, part: str) -> None:
    assert part_of(file) == part
