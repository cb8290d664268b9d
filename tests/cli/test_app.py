"""Commands as they are typed, in this process."""

import json
import re
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner, Result

from aiograph.cli._app import app
from aiograph.types import Durability, StreamMode

RUN = ("run", "graphs:counting", "--thread", "t")


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def refused(*words: str) -> str:
    result = typed(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    return result.stderr


@pytest.fixture(autouse=True)
def here(folder: Path) -> Path:
    return folder


def test_run_prints_the_state_and_nothing_else_on_standard_output() -> None:
    result = typed(*RUN, "--input", '{"n": 1}')
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"n": 2, "seen": [1, 100]}
    assert "one speaks" in result.stderr


def test_progress_without_a_terminal_is_a_line_per_superstep() -> None:
    lines = typed(*RUN).stderr.splitlines()
    assert lines[0] == "starting thread 't', kept in aiograph.db"
    assert re.fullmatch(r"step 1  one  \d\.\d\d s", lines[2])
    assert re.fullmatch(r"step 2  two  \d\.\d\d s", lines[3])
    assert re.fullmatch(r"finished at step 2: 2 tasks in \d\.\d s", lines[4])


def test_the_same_command_shows_the_result_again() -> None:
    first, second = typed(*RUN), typed(*RUN)
    assert second.stdout == first.stdout
    assert second.stderr == "thread 't' is finished, at step 2; --again runs it anew\n"


def test_a_failing_node_is_told_with_its_notes_and_without_a_traceback(here: Path) -> None:
    (here / "broken").touch()
    result = typed(*RUN)
    assert result.exit_code == 1
    assert result.stdout == ""
    told = result.stderr.splitlines()
    assert re.fullmatch(r"step 2  two \(1 failed\)  \d\.\d\d s", told[-3])
    assert told[-2] == "error: ValueError: two is broken"
    assert told[-1].startswith("  in node 'two', step 2, task ")


def test_a_traceback_on_request(here: Path) -> None:
    (here / "broken").touch()
    assert 'raise ValueError("two is broken")' in typed(*RUN, "--traceback").stderr


def test_what_failed_goes_on_where_it_was(here: Path) -> None:
    (here / "broken").touch()
    typed(*RUN, "--input", '{"n": 1}')
    (here / "broken").unlink()
    result = typed("resume", "graphs:counting", "--thread", "t")
    assert result.stderr.startswith("going on with thread 't' at step 2\nstep 2  two")
    assert json.loads(result.stdout) == {"n": 2, "seen": [1, 100]}


def test_json_is_the_whole_state_on_one_line() -> None:
    result = typed(*RUN, "--json", "--input", json.dumps({"n": 1, "seen": list(range(50))}))
    assert json.loads(result.stdout)["seen"] == [*range(50), 1, 100]
    assert result.stdout.count("\n") == 1


def test_a_long_state_is_shortened_for_human_eyes() -> None:
    result = typed(*RUN, "--input", json.dumps({"seen": list(range(50))}))
    assert json.loads(result.stdout)["seen"][-1] == "… 42 more"


def test_chunks_of_a_stream_mode_are_lines_of_json() -> None:
    result = typed(*RUN, "--stream", "updates")
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"one": {"seen": [0]}},
        {"two": {"n": 1, "seen": [100]}},
    ]
    assert "step 1" not in result.stderr
    assert '"n": 1' in result.stderr


@pytest.mark.parametrize("mode", get_args(StreamMode))
def test_every_stream_mode_can_be_printed(mode: str) -> None:
    result = typed(*RUN, "--stream", mode)
    assert result.exit_code == 0
    assert all(json.loads(line) for line in result.stdout.splitlines())
    assert bool(result.stdout) == (mode not in ("custom", "messages"))


@pytest.mark.parametrize("mode", get_args(Durability))
def test_every_durability_can_be_asked_for(mode: str) -> None:
    assert typed(*RUN, "--durability", mode).exit_code == 0
    steps = re.findall(r"^ *(-?\d+)  ", typed("history", "graphs:counting", "-t", "t").stdout, re.MULTILINE)
    assert steps == (["2"] if mode == "exit" else ["2", "1", "0", "-1"])


def test_where_the_time_went_is_told_on_request() -> None:
    result = typed(*RUN, "--stats")
    told = [line.split() for line in result.stderr.splitlines()]
    stages = ("opening", "planning", "execution", "apply", "checkpoint", "output", "other")
    assert [words[0] for words in told[-12:-2]] == ["stage", *stages, "total", "node"]
    assert {words[0]: words[1:4] for words in told[-2:]} == {"one": ["1", "0", "0"], "two": ["1", "0", "0"]}
    assert json.loads(result.stdout) == {"n": 1, "seen": [0, 100]}


def test_where_the_time_went_is_told_of_a_run_that_failed(here: Path) -> None:
    (here / "broken").touch()
    told = [line.split() for line in typed(*RUN, "--stats").stderr.splitlines()]
    assert ["two", "1", "1", "0"] in [words[:4] for words in told]


def test_where_no_time_went_nothing_is_told() -> None:
    typed(*RUN)
    assert "stage" not in typed(*RUN, "--stats").stderr


def test_limits_reach_the_run() -> None:
    result = typed(*RUN, "--recursion-limit", "1", "--max-concurrency", "1")
    assert result.exit_code == 1
    assert "error: GraphRecursionError: " in result.stderr


def test_history_lists_checkpoints_newest_first() -> None:
    typed(*RUN)
    lines = typed("history", "graphs:counting", "--thread", "t").stdout.splitlines()
    assert lines[0].split() == ["step", "source", "checkpoint", "age", "next"]
    cells = [re.split(r"  +", line.strip()) for line in lines[1:]]
    assert [(row[0], row[1], row[-1]) for row in cells[1:]] == [
        ("1", "loop", "two"),
        ("0", "loop", "one"),
        ("-1", "input", "__start__"),
    ]
    assert all(re.fullmatch(r"[0-9a-f-]{36}", row[2]) for row in cells)


def test_history_can_be_cut() -> None:
    typed(*RUN)
    assert len(typed("history", "graphs:counting", "-t", "t", "--limit", "2").stdout.splitlines()) == 3


def test_state_shows_values_what_is_next_and_what_failed(here: Path) -> None:
    (here / "broken").touch()
    typed(*RUN, "--input", '{"n": 1}')
    shown = typed("state", "graphs:counting", "--thread", "t").stdout
    values, _, standing = shown.partition("\n\n")
    assert json.loads(values) == {"n": 1, "seen": [1]}
    lines = standing.splitlines()
    assert re.fullmatch(r"not finished, at step 1, \d s ago; next: two", lines[0])
    assert lines[1].split() == ["node", "tasks", "done", "last", "error"]
    assert lines[2].split(maxsplit=3) == ["two", "1", "0", "ValueError('two is broken')"]


def test_run_prints_the_output_and_state_the_whole_state(here: Path) -> None:
    (here / "broken").touch()
    words = ("graphs:narrow", "--thread", "t", "--json")
    typed("run", *words, "--input", '{"n": 1}')
    assert json.loads(typed("state", *words).stdout) == {"n": 1, "seen": [1]}
    (here / "broken").unlink()
    for _ in range(2):
        assert json.loads(typed("run", *words).stdout) == {"n": 2}
    assert json.loads(typed("state", *words).stdout) == {"n": 2, "seen": [1, 100]}


def test_state_of_a_finished_thread() -> None:
    typed(*RUN)
    shown = typed("state", "graphs:counting", "--thread", "t").stdout
    assert re.search(r"\n\nfinished, at step 2, \d s ago; next: nothing\n$", shown)
    assert json.loads(typed("state", "graphs:counting", "-t", "t", "--json").stdout)["n"] == 1


@pytest.mark.parametrize("command", ["history", "state", "resume"])
def test_only_run_starts_a_thread(command: str, here: Path) -> None:
    words = (command, "graphs:counting", "--thread")
    assert refused(*words, "t") == (
        "error: there is no database 'aiograph.db'; name one with --db, "
        "or start a thread with `aiograph run`\n"
    )
    assert not (here / "aiograph.db").exists()
    typed(*RUN)
    assert refused(*words, "u") == (
        "error: there is no thread 'u' in aiograph.db; `aiograph run` starts one\n"
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("run", "nowhere:graph", "-t", "t"), "error: there is no module 'nowhere'"),
        (("run", "graphs:nothing", "-t", "t"), "error: graphs has no 'nothing'"),
        (("run", "graphs:not_a_graph", "-t", "t"), "error: graphs:not_a_graph is of type list"),
        ((*RUN, "--input", "{"), "error: --input is not JSON"),
        ((*RUN, "--stream", "value"), "there is no 'value'; there are values, updates"),
        ((*RUN, "--durability", "never"), "there is no 'never'; there are sync, async, exit"),
        ((*RUN, "--recursion-limit", "0"), "--recursion-limit"),
        (("run", "graphs:counting"), "Missing option '--thread'"),
        (("walk",), "No such command 'walk'"),
    ],
)
def test_what_cannot_be_asked_for_is_refused_before_anything_is_made(
    words: tuple[str, ...], message: str, here: Path
) -> None:
    told = re.sub(r"[\s│]+", " ", refused(*words))
    assert message in told
    assert not (here / "aiograph.db").exists()


@pytest.mark.parametrize("command", ["run", "resume", "history", "state"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = typed(command, "--help")
    assert result.exit_code == 0
    assert f"Example: aiograph {command} docs/examples/code_report.py:graph --thread demo" in result.stdout


def test_help_lists_the_commands() -> None:
    told = typed("--help").stdout
    assert re.findall(r"^│ (\w+) ", told, re.MULTILINE)[-5:] == ["run", "resume", "history", "state", "draw"]


def test_the_version() -> None:
    assert re.fullmatch(r"aiograph (\d+\.\d+\S*|\(run from its source.*\))\n", typed("--version").stdout)
