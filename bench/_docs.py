"""Fills what was measured into the page of the documentation, between marks that stand in it."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench import _plots, _profile
from bench._measure import Effort, Result
from bench._report import document, markdown, notes, slower, summary
from bench.cases import topics

PAGE = "benchmarks.md"
PROFILED = (
    "loop_1000",
    "loop_1000_memory_sync",
    "loop_1000_postgres_sync",
    "fanout_send_1000",
    "agent_100_memory",
)
"""Cases whose profiles the page shows."""


PARTS = ("conditions", "goals", "slower", "results", "profiles")
"""Of the page, which are filled in."""


def check(folder: Path) -> None:
    """Finds out before the measurement what would fail after it.

    Raises:
        FileNotFoundError: There is no page.
        ValueError: The page has no marks for a part.
        ImportError: There is nothing to draw plots with.
    """
    filled((folder / PAGE).read_text(encoding="utf-8"), dict.fromkeys(PARTS, ""))
    _plots.draw(folder, {})


def write(folder: Path, results: Sequence[Result], conditions: Mapping[str, Any]) -> list[Path]:
    """Fills the page, and writes what was measured and the plots beside it; the files written."""
    page, beside = folder / PAGE, folder / Path(PAGE).stem
    beside.mkdir(exist_ok=True)
    data = beside / "results.json"
    data.write_text(json.dumps(document(results, conditions), indent=1), encoding="utf-8")
    by_topic = _by_topic(results)
    texts = {
        "conditions": _conditions(conditions),
        "goals": f"```text\n{summary(results)}\n```",
        "slower": slower(results) or "None.",
        "results": "\n\n".join(f"### {topic}\n\n{_table(rows)}" for topic, rows in by_topic.items()),
        "profiles": _profiles(results),
    }
    page.write_text(filled(page.read_text(encoding="utf-8"), texts), encoding="utf-8")
    return [page, data, *_plots.draw(beside, by_topic)]


def filled(page: str, texts: Mapping[str, str]) -> str:
    """The page with new text between `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: The page has no such marks.
    """
    for name, text in texts.items():
        marked = re.compile(rf"(<!-- {name} -->\n).*(<!-- /{name} -->)", re.DOTALL)
        if not marked.search(page):
            raise ValueError(f"the page has no part between <!-- {name} --> and <!-- /{name} -->")
        page = marked.sub(lambda match, text=text: f"{match[1]}\n{text}\n\n{match[2]}", page)  # type: ignore[misc]
    return page


def _by_topic(results: Sequence[Result]) -> dict[str, list[Result]]:
    found = {
        topic: [result for result in results if result.case in cases] for topic, cases in topics().items()
    }
    return {topic: rows for topic, rows in found.items() if rows}


def _table(rows: Sequence[Result]) -> str:
    told = notes(rows).items()
    listed = "\n".join(f"- {', '.join(f'`{name}`' for name in names)}: {note}" for note, names in told)
    return f"{markdown(rows)}\n\n{listed}".rstrip()


def _conditions(conditions: Mapping[str, Any]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in conditions.items())


def _profiles(results: Sequence[Result]) -> str:
    """Measured anew: what a run writes down has no profiles."""
    cases = {result.case.name: result.case for result in results if result.case.name in PROFILED}
    found = [each for name in PROFILED if name in cases for each in _profile.profiles(cases[name], Effort())]
    return "\n\n".join(_profile.markdown(each) for each in found)
