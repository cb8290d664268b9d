"""The main job survives `kill -9`: the same command goes on, and what was stored is not done again.

The process is killed while the shipped example reads a generated tree; the same command is typed again,
until it ends well. Then its report has to equal that of a run that nobody disturbed.
"""

import json
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aiograph.checkpoint.sqlite import SqliteSaver

HOME = Path(__file__).parent.parent.parent
EXAMPLE = HOME / "docs" / "examples" / "code_report.py"

LOGGING = f'''
"""The example, writing down each file before it is read. Appending a line is one call of the system."""

import os
import sys

sys.path.insert(0, {str(EXAMPLE.parent)!r})
import code_report

log = os.open("parsed.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
facts_of = code_report.facts_of


def logged_facts_of(root, path):
    os.write(log, f"{{path}}\\n".encode())
    return facts_of(root, path)


code_report.facts_of = logged_facts_of
graph = code_report.graph
'''

FILES = 200
"""So many that a run takes a dozen supersteps, and long enough to be killed in the middle."""

Kill = Callable[[subprocess.Popen[str]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a tree to report on, and a variant of the example that writes down what it does."""
    for number in range(FILES):
        file = tmp_path / "tree" / f"pack{number % 7}" / f"mod{number}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source(number))
    (tmp_path / "logging_report.py").write_text(LOGGING)
    return tmp_path


def source(number: int) -> str:
    """A module that takes a few milliseconds to read; some are in a cycle, one is broken."""
    imports = f"import pack{(number + 1) % 7}.mod{number + 1}\n"
    functions = (f"def function{line}(a, b):\n    return (a + b) * {line}\n\n" for line in range(150))
    return "def (\n" if number == 13 else imports + "\n".join(functions)


class Job:
    """One thread of the main job, typed again and again."""

    def __init__(self, folder: Path, thread: str, target: str, *options: str) -> None:
        self.folder = folder
        self.thread = thread
        self.report = folder / f"{thread}.md"
        self.kills = 0
        self.told = ""
        input = json.dumps({"root": "tree", "output": self.report.name})
        self._words = ["run", target, "--thread", thread, "--input", input, "--db", "jobs.db", *options]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "aiograph.cli", *self._words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def type(self, kill: Kill | None = None) -> bool:
        """Types the command; `kill` may end the process. Whether it came to its own end, a good one."""
        with self.start() as process:
            if kill is not None:
                kill(process)
            assert process.stderr is not None
            self.told = process.stderr.read()
        if process.returncode == -signal.SIGKILL:
            self.kills += 1
            return False
        assert process.returncode == 0, self.told
        return True

    def stored(self) -> set[str]:
        """The files whose facts are in the database, in the checkpoint or as writes of finished tasks."""
        if not (self.folder / "jobs.db").exists():
            return set()
        with SqliteSaver.from_conn_string(str(self.folder / "jobs.db")) as saver:
            saved = saver.get_tuple({"configurable": {"thread_id": self.thread}})
        if saved is None:
            return set()
        values = saved.checkpoint["channel_values"]
        pending = [
            value for _, channel, value in saved.pending_writes or [] if channel in ("modules", "failures")
        ]
        found: list[dict[str, Any]] = [values.get("modules", {}), values.get("failures", {}), *pending]
        return {path for facts in found for path in facts}

    def parsed(self) -> list[str]:
        """The files that were read since this was last asked."""
        log = self.folder / "parsed.log"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines


def after_line(count: int) -> Kill:
    """Kills a process when it has written its n-th line of progress."""

    def kill(process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        for _ in range(count):
            if not process.stderr.readline():
                return
        process.kill()

    return kill


def after_seconds(seconds: float) -> Kill:
    def kill(process: subprocess.Popen[str]) -> None:
        try:
            process.wait(seconds)  # a real moment in a real process
        except subprocess.TimeoutExpired:
            process.kill()

    return kill


@pytest.fixture
def undisturbed(folder: Path) -> bytes:
    """The report of a run that nobody kills."""
    job = Job(folder, "undisturbed", str(EXAMPLE))
    assert job.type()
    return job.report.read_bytes()


def survives(job: Job, kills: Iterator[Kill]) -> None:
    """Kills a job again and again until it is through; nothing that was stored is done again."""
    stored: set[str] = set()
    reads = 0
    while not job.type(next(kills, None)):
        reads += check(job, stored)
        stored = job.stored()
    reads += check(job, stored)
    assert job.stored() == {
        str(path.relative_to(job.folder / "tree")) for path in job.folder.glob("tree/*/*")
    }
    assert reads >= FILES


def check(job: Job, stored: set[str]) -> int:
    parsed = job.parsed()
    assert stored.isdisjoint(parsed)
    assert len(parsed) == len(set(parsed))
    return len(parsed)


@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_killed_run_goes_on_and_reads_no_stored_file_again(
    folder: Path, undisturbed: bytes, durability: str
) -> None:
    job = Job(folder, "killed", "logging_report.py", "--durability", durability)
    survives(job, map(after_line, (3, 4, 5, 4)))
    assert job.kills == 4
    assert job.report.read_bytes() == undisturbed


def test_the_same_command_tells_that_it_goes_on_and_when_it_is_through(
    folder: Path, undisturbed: bytes
) -> None:
    job = Job(folder, "told", str(EXAMPLE))
    assert not job.type(after_line(6))
    assert job.type()
    assert re.match(r"going on with thread 'told' at step \d+", job.told)
    assert job.report.read_bytes() == undisturbed
    job.report.unlink()
    assert job.type()
    assert job.told.startswith("thread 'told' is finished, at step ")
    assert not job.report.exists()


@pytest.mark.parametrize("seconds", [0.0, 0.25])
def test_a_run_that_is_killed_before_it_has_stored_anything_starts_anew(folder: Path, seconds: float) -> None:
    job = Job(folder, "early", str(EXAMPLE))
    job.type(after_seconds(seconds))
    assert job.type()
    assert job.report.exists()


@pytest.mark.long
@pytest.mark.parametrize("durability", ["sync", "async"])
def test_a_hundred_kills_at_any_moment(folder: Path, undisturbed: bytes, durability: str) -> None:
    dice = random.Random(2026)
    kills = 0
    while kills < 100:
        job = Job(folder, f"killed{kills}", "logging_report.py", "--durability", durability)
        survives(job, (after_seconds(dice.uniform(0.1, 1.2)) for _ in range(30)))
        assert job.report.read_bytes() == undisturbed
        kills += max(1, job.kills)
