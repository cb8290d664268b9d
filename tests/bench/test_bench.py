"""The benchmarks run, agree with hand-written code about the answer, and report ratios."""

import json
import os
from pathlib import Path

import psycopg
import pytest

import bench.__main__
from aiograph.testing.postgres import PostgresServer
from bench import _postgres
from bench.__main__ import main
from bench._case import FLOOR, Case, Goal, Setup, Work
from bench._measure import DifferentAnswers, Effort, Result, measure
from bench._packages import OURS, Package
from bench._report import slower, summary, table
from bench.cases import ORDER, all_cases, topics

DURABLE = ("fsync", "synchronous_commit", "full_page_writes")
ONCE = Effort(rounds=1, seconds=0, scale=0.002)
CASES = all_cases()
ON_POSTGRES = [case for case in CASES if case.needs == "checkpoint.postgres"]
ELSEWHERE = [case for case in CASES if case not in ON_POSTGRES]


@pytest.fixture
def server(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the benchmarks use the server of the tests."""
    monkeypatch.setattr(_postgres, "server", lambda: postgres)


# LangGraph takes part where it is installed
@pytest.mark.filterwarnings("ignore:::langgraph", "ignore:::langchain_core")
@pytest.mark.parametrize("case", ELSEWHERE, ids=[case.name for case in ELSEWHERE])
def test_a_case_does_the_same_work_for_all_contenders(case: Case) -> None:
    assert_that_it_measures(case)


@pytest.mark.usefixtures("server")
@pytest.mark.filterwarnings("ignore:::langgraph", "ignore:::langchain_core")
@pytest.mark.parametrize("case", ON_POSTGRES, ids=[case.name for case in ON_POSTGRES])
def test_a_case_on_postgres_does_the_same_work_for_all_contenders(case: Case) -> None:
    assert_that_it_measures(case)


def assert_that_it_measures(case: Case) -> None:
    for result in measure(case, ONCE):
        assert case.name in table([result])
        ours = result.cost(OURS.name)
        assert ours is not None
        assert ours > 0 or result.measure == "stored"  # as long as it fits into pages that are there


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
    assert main(["seq_100", "seq_1000", *options]) == 0
    small, large = json.loads(file.read_text(encoding="utf-8"))["cases"]
    assert (small["name"], large["name"]) == ("seq_100", "seq_1000")
    assert len(small["per_unit"]) == 2
    assert small["ratio"]["langgraph"] is None
    assert "seq_100" in capsys.readouterr().out


def test_what_was_written_can_be_shown_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "results.json")
    main(["seq_100", "--rounds", "1", "--seconds", "0", "--scale", "0.01", "--alone", "--json", file])
    shown = capsys.readouterr().out
    assert main(["--load", file]) == 0
    assert capsys.readouterr().out == shown


def test_goals_are_met_or_missed() -> None:
    goals = (Goal(0.5), Goal(50, over=FLOOR))
    case = Case(name="case", unit="run", size=1, subject=two, goals=goals)
    met = Result(case, "cpu", [{"floor": 0.01, "aiograph": 0.4, "langgraph": 1.0}])
    missed = Result(case, "cpu", [{"floor": 0.01, "aiograph": 0.6, "langgraph": 1.0}])
    assert "met" in table([met])
    assert "missed" not in summary([met])
    assert summary([met, missed]).splitlines() == [
        "2 of 4 goals met",
        "  missed: case (cpu) 0.6 of langgraph, goal 0.5",
        "  missed: case (cpu) 60 of floor, goal 50",
    ]


def test_whatever_langgraph_does_in_less_time_is_told_the_worst_first() -> None:
    def result(name: str, ours: float) -> Result:
        case = Case(name=name, unit="run", size=1, subject=two)
        return Result(case, "cpu", [{"aiograph": ours, "langgraph": 1.0}])

    results = [result("bad", 2.0), result("good", 0.5), result("worse", 3.0)]
    assert slower(results).splitlines() == ["- `worse` (cpu): 3 times", "- `bad` (cpu): 2 times"]


def test_goals_are_for_one_measure_each() -> None:
    goals = (Goal(0.1), Goal(0.2, measure="wall"))
    case = Case(name="case", unit="run", size=1, subject=two, also=("wall", "WAL"), goals=goals)
    assert [case.goal(measure, "langgraph") for measure in case.measures] == [0.1, 0.2, None]


async def broken(package: Package, setup: Setup) -> Work:
    raise RuntimeError("no such luck")


def test_a_case_that_fails_costs_no_other_its_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    cases = [
        Case(name="broken", unit="run", size=1, subject=broken),
        Case(name="sound", unit="run", size=1, subject=two),
    ]
    monkeypatch.setattr(bench.__main__, "all_cases", lambda: cases)
    assert main(["--rounds", "1", "--seconds", "0", "--alone"]) == 1
    printed = capsys.readouterr()
    assert "sound" in printed.out
    assert "no such luck" in printed.err


async def impatient(package: Package, setup: Setup) -> Work:
    raise KeyboardInterrupt


def test_ctrl_c_costs_only_what_follows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    subjects = {"sound": two, "long": impatient, "late": two}
    cases = [Case(name=name, unit="run", size=1, subject=subject) for name, subject in subjects.items()]
    monkeypatch.setattr(bench.__main__, "all_cases", lambda: cases)
    assert main(["--rounds", "1", "--seconds", "0", "--alone"]) == 1
    printed = capsys.readouterr()
    assert "sound" in printed.out
    assert "late" not in printed.out
    assert "long and what follows: interrupted" in printed.err


def test_every_case_stands_under_a_topic_that_has_a_place() -> None:
    assert tuple(topics()) == ORDER


def test_the_table_can_be_had_as_markdown(capsys: pytest.CaptureFixture[str]) -> None:
    main(["seq_100", "--rounds", "1", "--seconds", "0", "--scale", "0.01", "--alone", "--markdown"])
    heading, marks, row = capsys.readouterr().out.splitlines()
    assert row.startswith("| `seq_100` | superstep | ")
    assert heading.count("|") == marks.count("|") == row.count("|")


def test_an_unknown_case_is_refused_with_the_list_of_cases() -> None:
    with pytest.raises(SystemExit, match="there is no case nope; there are "):
        main(["nope"])


def test_a_case_that_has_taken_long_enough_begins_no_further_round() -> None:
    case = Case(name="case", unit="run", size=1, subject=two)
    (result,) = measure(case, Effort(rounds=5, seconds=0, with_rival=False, enough=0))
    assert len(result.rounds) == 1


async def weighed(setup: Setup) -> Work:
    read: list[int] = []
    setup.meters["bound"] = lambda: 100 * len(read)

    async def work() -> None:
        read.append(1)

    return work


async def weighed_too(package: Package, setup: Setup) -> Work:
    return await weighed(setup)


def test_bytes_are_read_once_from_the_meter_of_each_contender() -> None:
    case = Case(
        name="meter", unit="run", size=4, floor=weighed, subject=weighed_too, clock="bound", also=("wall",)
    )
    bound, wall = measure(case, Effort(rounds=3, with_rival=False))
    assert (bound.cost(OURS.name), len(bound.rounds)) == (25, 1)
    assert wall.measure == "wall"


@pytest.mark.postgres
@pytest.mark.skipif("AIOGRAPH_TEST_PG_URL" in os.environ, reason="that server has settings of its own")
def test_commits_wait_for_the_disk_where_they_are_measured() -> None:
    with psycopg.connect(_postgres.server().conninfo()) as connection:
        settings = [connection.execute(f"SHOW {name}".encode()).fetchone() for name in DURABLE]
    assert settings == [("on",)] * len(DURABLE)
