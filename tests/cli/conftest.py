"""A folder to type commands in, with a module full of graphs."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parent.parent.parent

GRAPHS = """
import operator
from pathlib import Path
from typing import Annotated, TypedDict

from aiograph.graph import END, START, StateGraph
from aiograph.types import Send, interrupt


class State(TypedDict, total=False):
    n: int
    seen: Annotated[list[int], operator.add]


def one(state: State) -> State:
    print("one speaks")
    return {"seen": [state.get("n", 0)]}


def two(state: State) -> State:
    if Path("broken").exists():
        raise ValueError("two is broken")
    return {"n": state.get("n", 0) + 1, "seen": [100]}


counting = StateGraph(State).add_sequence([one, two]).add_edge(START, "one").add_edge("two", END)
compiled = counting.compile()


def fan_out(state: State) -> list[Send]:
    return [Send("work", number) for number in range(state["n"])]


def work(number: int) -> State:
    if number == 1 and Path("broken").exists():
        raise ValueError("work is broken")
    return {"seen": [number]}


fanning = StateGraph(State).add_node(work).add_conditional_edges(START, fan_out, ["work"])


def ask(state: State) -> State:
    return {"n": interrupt("how many?") + len(interrupt("and what?"))}


asking = StateGraph(State).add_node(ask).add_edge(START, "ask")


class Answer(TypedDict, total=False):
    n: int


narrow = StateGraph(State, output_schema=Answer).add_sequence([one, two]).add_edge(START, "one")


def made() -> StateGraph:
    return counting


async def made_later() -> StateGraph:
    return counting.compile()


def wants(argument: int) -> StateGraph:
    return counting


def makes_nothing() -> int:
    return 3


not_a_graph = [1, 2]
"""


@pytest.fixture(autouse=True)
def modules_stay_out() -> Iterator[None]:
    """What a command imports, and the folders it looks in, are gone after the test."""
    path, modules = list(sys.path), set(sys.modules)
    yield
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        if not name.startswith(("aiograph", "rich", "typer")):
            del sys.modules[name]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty but for `graphs.py`."""
    (tmp_path / "graphs.py").write_text(GRAPHS)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class CommandLine:
    """Starts `aiograph` with the words that are typed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        return subprocess.Popen(
            [sys.executable, "-m", "aiograph.cli", *words],
            cwd=self._folder,
            env={**os.environ, "PYTHONPATH": str(HOME), "COLUMNS": "100", "TERM": "xterm-256color"},
            text=True,
            **streams,
        )

    def run(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        with self.start(*words) as process:
            output, errors = process.communicate(timeout=60)
        return process.returncode, output, errors


@pytest.fixture
def command_line(folder: Path) -> CommandLine:
    """The command line in a process of its own, in a folder of its own."""
    return CommandLine(folder)
