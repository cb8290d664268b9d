"""The clean-up check itself: what a test may not leave behind, shown by tests that do.

They run in a pytest of their own, under the project's settings and its `conftest.py`.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HOME = Path(__file__).parent.parent.parent

LEAKY_TESTS = """
import asyncio
import socket
import threading
import time
import warnings

import anyio
import pytest
from hypothesis import given, settings, strategies

release = threading.Event()


@pytest.fixture(scope="module", autouse=True)
async def loop_of_the_module():
    yield  # keeps one loop for the whole module: a task that is left would go on beside the next test


async def test_task():
    asyncio.create_task(asyncio.sleep(60), name="forgotten task")


async def test_after_the_task():
    assert [task.get_name() for task in asyncio.all_tasks() if "forgotten" in task.get_name()] == []


@settings(max_examples=2, database=None)
@given(strategies.booleans())
async def test_task_in_an_example(which):
    asyncio.create_task(asyncio.sleep(60), name="forgotten in an example")


class TestMethods:
    async def test_task_in_a_method(self):
        asyncio.create_task(asyncio.sleep(60), name="forgotten in a method")


def test_thread():
    threading.Thread(target=release.wait, name="forgotten thread", daemon=True).start()


def test_after_the_thread():
    release.set()


def test_resource():
    socket.socket()


def test_resource_in_a_cycle():
    class Holder: ...
    holder = Holder()
    holder.me, holder.socket = holder, socket.socket()


def test_warning():
    warnings.warn("look here")


@pytest.mark.xfail
def test_unexpected_pass(): ...


@pytest.mark.long
def test_long(): raise AssertionError("not run by default")


def test_postgres(postgres): ...


async def test_clean_task():
    task = asyncio.create_task(asyncio.sleep(60))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_clean_pools():
    await asyncio.to_thread(time.time)
    await anyio.to_thread.run_sync(time.time)


def test_clean_thread():
    threading.Thread(target=time.time).start()
"""

GUILTY = {
    "test_task": "forgotten task",
    "test_task_in_an_example": "forgotten in an example",
    "test_task_in_a_method": "forgotten in a method",
    "test_thread": "forgotten thread",
    "test_resource": "<socket.socket fd=",
    "test_resource_in_a_cycle": "<socket.socket fd=",
    "test_warning": "look here",
    "test_unexpected_pass": "XPASS(strict)",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What pytest tells of the leaky tests, one line each: outcome, test, reason."""
    folder = tmp_path_factory.mktemp("leaky")
    shutil.copy(HOME / "tests" / "conftest.py", folder)
    (folder / "test_leaky.py").write_text(LEAKY_TESTS)
    place = ["-c", str(HOME / "pyproject.toml"), "--rootdir", str(folder), str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *place, "--no-postgres", "-rA", "-p", "no:cacheprovider"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HOME), *sys.path]), "COLUMNS": "400"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED, done.stdout + done.stderr
    assert "test session starts" in done.stdout, done.stderr
    return done.stdout


def verdicts(report: str, word: str) -> dict[str, str]:
    """Tests with this outcome, and the reason that the summary gives."""
    lines = (line for line in report.splitlines() if line.startswith(f"{word} "))
    halves = (line.removeprefix(f"{word} ").partition(" - ") for line in lines)
    return {test.rpartition("::")[2]: reason for test, _, reason in halves}


def test_the_test_that_leaks_is_the_one_that_fails(report: str) -> None:
    guilty = verdicts(report, "FAILED") | verdicts(report, "ERROR")
    assert guilty.keys() == GUILTY.keys()
    assert {test: GUILTY[test] in reason for test, reason in guilty.items()} == dict.fromkeys(GUILTY, True)


def test_clean_tests_pass(report: str) -> None:
    clean = {"test_clean_task", "test_clean_pools", "test_clean_thread"}
    clean |= {"test_after_the_task", "test_after_the_thread"}
    assert verdicts(report, "PASSED").keys() - GUILTY.keys() == clean


def test_long_tests_and_those_without_their_server_are_deselected(report: str) -> None:
    assert "postgres: left out (--no-postgres)" in report
    assert "2 deselected" in report
