"""The benchmarks run, agree with hand-written code about the answer, and report ratios."""

import json
from pathlib import Path

import pytest

from bench.__main__ import main
from bench._case import Case, Setup, Work
from bench._measure import FLOOR, DifferentAnswers, Effort, measure
from bench._packages import Package
from bench._report import table
from bench.cases import all_cases

ONCE = Effort(rounds=1, seconds=0, scale=0.002, with_rival=False)
CASES = all_cases()


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_case_does_the_same_work_as_its_floor(case: Case) -> None:
    result = measure(case, ONCE)
    ratio = result.ratio(FLOOR)
    assert ratio is not None
    assert ratio.median > 0
    assert case.name in table([result])


def test_names_are_unique() -> None:
    assert len({case.name for case in CASES}) == len(CASES)


async def one(setup: Setup) -> Work:
    return lambda: 1


async def two(package: Package, setup: Setup) -> Work:
    return lambda: 2


def test_contenders_that_disagree_are_not_compared() -> None:
    cheat = Case(name="cheat", unit="run", size=1, floor=one, subject=two)
    with pytest.raises(DifferentAnswers, match="floor"):
        measure(cheat, ONCE)


def test_the_command_writes_a_table_and_a_document(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    options = ["--rounds", "2", "--seconds", "0", "--scale", "0.01", "--alone", "--json", str(file)]
    assert main(["seq_*", *options]) == 0
    entry = json.loads(file.read_text(encoding="utf-8"))["cases"][0]
    assert entry["name"] == "seq_100"
    assert len(entry["seconds_per_unit"]) == 2
    assert entry["ratio"]["langgraph"] is None
    assert "seq_100" in capsys.readouterr().out


def test_the_table_can_be_had_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["seq_100", "--rounds", "1", "--seconds", "0", "--scale", "0.01", "--alone", "--markdown"])
    heading, marks, row = capsys.readouterr().out.splitlines()
    assert row.startswith("| `seq_100` | superstep | ")
    assert heading.count("|") == marks.count("|") == row.count("|")


def test_an_unknown_case_is_refused_with_the_list_of_cases() -> None:
    with pytest.raises(SystemExit, match="there is no case nope; there are "):
        main(["nope"])
