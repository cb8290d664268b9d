"""The command line as a process: Ctrl-C, terminals, pipes, and what is not installed."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

BLOCKING = """
import asyncio
import time
from pathlib import Path
from typing import TypedDict

from aiograph.graph import START, StateGraph
from aiograph.types import StreamWriter


class State(TypedDict, total=False):
    a: int
    b: int
    steps: int


def until_told(name: str) -> None:
    Path(f"{name}.runs").touch()
    while not Path("go").exists():
        time.sleep(0.01)  # a real one: synchronous code that does not know of cancellation


def first(state: State) -> State:
    until_told("first")
    return {"a": 1}


def second(state: State) -> State:
    until_told("second")
    return {"b": 2}


async def later(state: State) -> State:
    Path("later.runs").touch()
    if not Path("go").exists():
        await asyncio.Event().wait()
    return {"a": 1}


threads = StateGraph(State).add_node(first).add_node(second)
threads.add_edge(START, "first").add_edge(START, "second")
waiting = StateGraph(State).add_node(later).add_edge(START, "later")


def count(state: State, writer: StreamWriter) -> State:
    steps = state.get("steps", 0) + 1
    writer(f"{steps} so far")
    return {"steps": steps}


looping = StateGraph(State).add_node(count).add_edge(START, "count")
looping.add_conditional_edges("count", lambda state: state["steps"] < 3000, {True: "count", False: "__end__"})
"""


class CommandLine(Protocol):
    def start(self, *words: str, stdout: object = ..., stderr: object = ...) -> subprocess.Popen[str]: ...
    def run(self, *words: str) -> tuple[int, str, str]: ...


@pytest.fixture(autouse=True)
def here(folder: Path) -> Path:
    (folder / "blocking.py").write_text(BLOCKING)
    return folder


def lines_until(process: subprocess.Popen[str], text: str) -> list[str]:
    """What a process says, up to the line that contains `text`."""
    assert process.stderr is not None
    lines = []
    for line in process.stderr:
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"it never said {text!r}: {lines}")


def wait_for(process: subprocess.Popen[str], *files: Path) -> None:
    """Waits until the nodes that make these files run."""
    while not all(file.exists() for file in files):
        assert process.poll() is None, process.communicate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)


def test_ctrl_c_cancels_keeps_the_thread_and_says_how_to_go_on(command_line: CommandLine, here: Path) -> None:
    words = ("run", "blocking.py:waiting", "--thread", "a thread", "--db", "my.db")
    with command_line.start(*words) as process:
        wait_for(process, here / "later.runs")
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopping: waiting for the nodes that run" in told
    assert told.endswith(
        "stopped at step 1; what is done is kept, and the same command goes on, or\n"
        "  aiograph resume blocking.py:waiting --thread 'a thread' --db my.db\n"
    )
    (here / "go").touch()
    code, output, told = command_line.run(*words)
    assert (code, json.loads(output)) == (0, {"a": 1})
    assert told.startswith("going on with thread 'a thread' at step 1\n")


def test_ctrl_c_waits_for_synchronous_nodes(command_line: CommandLine, here: Path) -> None:
    words = ("run", "blocking.py:threads", "--thread", "t")
    with command_line.start(*words) as process:
        wait_for(process, here / "first.runs", here / "second.runs")
        process.send_signal(signal.SIGINT)
        lines_until(process, "stopping")
        (here / "go").touch()
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "stopped at step 1" in told
    assert command_line.run(*words)[0] == 0


def test_a_second_ctrl_c_does_not_wait(command_line: CommandLine, here: Path) -> None:
    words = ("run", "blocking.py:threads", "--thread", "t")
    with command_line.start(*words) as process:
        wait_for(process, here / "first.runs", here / "second.runs")
        process.send_signal(signal.SIGINT)
        lines_until(process, "stopping")
        press_until_it_ends(process)
        _, told = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in told
    (here / "go").touch()
    assert json.loads(command_line.run(*words)[1]) == {"a": 1, "b": 2}


def press_until_it_ends(process: subprocess.Popen[str]) -> None:
    """Presses Ctrl-C the way people do: one that strikes while the first is handled may be lost on it."""
    for _ in range(5):
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(2)
            return


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_the_progress_is_drawn_and_results_stay_apart(command_line: CommandLine) -> None:
    import pty

    ours, theirs = pty.openpty()
    words = ("run", "blocking.py:looping", "--thread", "t", "--json")
    with command_line.start(*words, stderr=theirs) as process:
        os.close(theirs)
        drawn = read_all(ours)
        output, _ = process.communicate(timeout=30)
    assert json.loads(output) == {"steps": 3000}
    assert re.search(r"step \d+.*\d\.\d s.*\d+ so far", drawn)
    assert re.search(r"count.*\d done", drawn)
    assert "\x1b[?25l" in drawn  # the cursor is hidden while it draws, and
    assert drawn.rindex("\x1b[?25h") > drawn.rindex("\x1b[?25l")  # comes back
    assert re.search(r"finished at step 3000.*: 3,000 tasks in \d+\.\d s\s*$", drawn)


def read_all(terminal: int) -> str:
    """Everything that is written to a pseudo-terminal until the last writer closes it."""
    drawn = b""
    try:
        while piece := os.read(terminal, 65536):
            drawn += piece
    except OSError:
        pass  # how Linux says that nobody writes any more
    os.close(terminal)
    return drawn.decode()


def test_a_reader_that_goes_away_stops_the_run_which_goes_on_later(command_line: CommandLine) -> None:
    words = ("run", "blocking.py:looping", "--thread", "t")
    with command_line.start(*words, "--stream", "updates") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert json.loads(process.stdout.readline()) == {"count": {"steps": 1}}
        process.stdout.close()
        told = process.stderr.read()
    assert process.returncode == 1
    assert "Traceback" not in told
    code, output, told = command_line.run(*words)
    assert (code, json.loads(output)) == (0, {"steps": 3000})
    assert told.startswith("going on with thread 't' at step ")


def test_a_node_that_exits_ends_the_command_with_its_code(command_line: CommandLine, here: Path) -> None:
    (here / "leaving.py").write_text(
        "import sys\n"
        "from blocking import State, StateGraph\n"
        "graph = StateGraph(State).add_node('leave', lambda state: sys.exit(7)).set_entry_point('leave')\n"
    )
    assert command_line.run("run", "leaving.py", "--thread", "t")[0] == 7


@pytest.mark.parametrize("missing", ["typer", "rich"])
def test_without_the_extra_the_message_names_it(missing: str, here: Path) -> None:
    code = f"import sys; sys.modules[{missing!r}] = None; from aiograph.cli import main; main()"
    home = str(Path(__file__).parent.parent.parent)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": home}
    )
    assert done.returncode == 1
    assert done.stderr == ("error: the command line needs the 'cli' extra: pip install 'aiograph[cli]'\n")


@pytest.mark.parametrize("module", ["aiograph", "aiograph.cli"])
def test_it_can_be_started_as_a_module(module: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.startswith("aiograph ")
