"""The SQLite saver when things go wrong: files, disks, processes. Nothing is lost in silence, or in part."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from aiograph._sql.session import Query
from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.sqlite import AsyncSqliteSaver, SqliteSaver
from aiograph.errors import CheckpointDeserializationError, CheckpointStorageError
from aiograph.testing.savers import Verbs, make_checkpoint

THREAD = config_for("t", "")
ROOT = Path(__file__).parents[2]

needs_posix = pytest.mark.skipif(not hasattr(os, "fork"), reason="there are neither forks nor signals")


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "checkpoints.db")


@pytest.fixture
async def saver(path: str) -> AsyncIterator[AsyncSqliteSaver]:
    async with AsyncSqliteSaver(path) as saver:
        yield saver


def execute(path: str, sql: str, *parameters: Any) -> list[Any]:
    """Does something to the file behind the saver's back."""
    with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
        return connection.execute(sql, parameters).fetchall()


def python(code: str, *arguments: str, options: tuple[str, ...] = ()) -> "subprocess.Popen[str]":
    """Runs code in a process of its own."""
    return subprocess.Popen(
        [sys.executable, *options, "-c", code, *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: "subprocess.Popen[str]") -> str:
    """Waits for a process that must end well and quietly; what it printed."""
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (0, "")
    return output


# -- files -----------------------------------------------------------------------------------------


async def test_a_file_that_is_no_database_is_an_error_that_names_it(
    saver: AsyncSqliteSaver, path: str
) -> None:
    Path(path).write_text("Dear diary, " * 100)  # noqa: ASYNC240  # quick
    with pytest.raises(CheckpointStorageError, match=r"setting up: .*checkpoints\.db': file is not"):
        await saver.asetup()
    with pytest.raises(CheckpointStorageError, match=r"thread 't'.*not a database"):
        await saver.aget_tuple(THREAD)


def damage(path: str) -> None:
    """Overwrites everything but the first page."""
    execute(path, "PRAGMA wal_checkpoint(TRUNCATE)")
    with open(path, "r+b") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(4096)
        file.write(random.Random(1).randbytes(size - 4096))


async def test_a_damaged_file_is_an_error_that_names_it(path: str) -> None:
    async with AsyncSqliteSaver(path) as saver:
        configs = await Verbs(saver, "async").put_chain("t", 100)
    damage(path)
    async with AsyncSqliteSaver(path) as saver:
        with pytest.raises(CheckpointStorageError, match=r"checkpoints\.db': .*; restore the file") as caught:
            await saver.aget_tuple(configs[50])
        assert configs[50]["configurable"]["checkpoint_id"] in str(caught.value)


async def test_a_file_of_somebody_else_is_refused(saver: AsyncSqliteSaver, path: str) -> None:
    execute(path, "CREATE TABLE checkpoints (thread_id TEXT)")
    with pytest.raises(CheckpointStorageError, match="a table 'checkpoints' that aiograph did not create"):
        await saver.asetup()
    assert execute(path, "SELECT name FROM sqlite_master") == [("checkpoints",)]


async def test_a_file_of_a_newer_release_is_refused(saver: AsyncSqliteSaver, path: str) -> None:
    async with AsyncSqliteSaver(path) as old:
        await old.asetup()
    execute(path, "UPDATE aiograph_schema SET version = 99")
    with pytest.raises(CheckpointStorageError, match=r"version 99, but this release .* upgrade aiograph"):
        await saver.aput(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})


async def test_a_file_that_may_only_be_read_can_be_read(path: str) -> None:
    async with AsyncSqliteSaver(path) as saver:
        await saver.aput(THREAD, make_checkpoint({"a": 1}), {}, {"a": 1})
    async with AsyncSqliteSaver(f"file:{path}?mode=ro") as saver:
        assert (await Verbs(saver, "async").get(THREAD)).checkpoint["channel_values"] == {"a": 1}
        with pytest.raises(CheckpointStorageError, match=r"'t', checkpoint '.*': cannot write .*readonly"):
            await saver.aput(THREAD, make_checkpoint({"a": 2}), {}, {"a": 1})


def limit(pages: int) -> Query:
    """Makes the disk appear to be full at this size."""
    return Query(f"PRAGMA max_page_count = {pages}")


async def test_a_full_disk_fails_the_superstep_and_leaves_the_state_before_it(
    saver: AsyncSqliteSaver, path: str
) -> None:
    (config,) = await Verbs(saver, "async").put_chain("t", 1)
    before = await saver.aget_tuple(THREAD)
    await saver._session.fetch(limit(30), "filling the disk")
    large = make_checkpoint({"n": 0, "large": os.urandom(1_000_000)}, versions={"n": 1, "large": 2})
    with pytest.raises(CheckpointStorageError, match=rf"checkpoint '{large['id']}': .* full; make room"):
        await saver.aput(config, large, {}, {"large": 2})
    assert await saver.aget_tuple(THREAD) == before
    assert execute(path, "SELECT count(*) FROM checkpoint_blobs") == [(0,)]
    await saver._session.fetch(limit(10_000), "making room")
    stored = await saver.aput(config, large, {}, {"large": 2})
    assert (await Verbs(saver, "async").get(stored)).checkpoint == large


# -- rows that cannot be read ----------------------------------------------------------------------

SPOILED = {
    "a value": ("UPDATE checkpoint_blobs SET blob = x'c1'", "channel 'n': the part .* damaged"),
    "the kind of a value": (
        "UPDATE checkpoint_blobs SET type = 'pickle'",
        "channel 'n': the part .* damaged",
    ),
    "the kind of a write": ("UPDATE checkpoint_writes SET type = 'pickle'", "task 'task', .* kind 'pickle'"),
    "a lost value": ("DELETE FROM checkpoint_blobs", "channel 'n': a part of it, [0-9a-f]{32}, is not"),
    "another value": (
        "UPDATE checkpoint_blobs SET blob = substr(blob, 2)",
        "channel 'n': the part .* damaged",
    ),
    "a write": ("UPDATE checkpoint_writes SET blob = x'c1'", "task 'task', channel 'w'"),
    "the checkpoint": ("UPDATE checkpoints SET checkpoint = x'c1'", "the checkpoint itself"),
    "its parts": ("UPDATE checkpoints SET checkpoint = x'80'", "the checkpoint itself"),
    "its metadata": ("UPDATE checkpoints SET metadata = '{'", "its metadata"),
    "the kind of its metadata": ("UPDATE checkpoints SET metadata = '[]'", "its metadata"),
}


@pytest.mark.parametrize(("sql", "message"), SPOILED.values(), ids=SPOILED)
async def test_a_row_that_cannot_be_read_is_an_error_and_never_left_out(
    saver: AsyncSqliteSaver, path: str, sql: str, message: str
) -> None:
    config = await saver.aput(THREAD, make_checkpoint({"n": "x" * 1000}), {}, {"n": 1})
    await saver.aput_writes(config, [("w", 1)], "task")
    execute(path, sql)
    checkpoint_id = config["configurable"]["checkpoint_id"]
    expected = rf"^thread 't', checkpoint '{checkpoint_id}', {message}"
    with pytest.raises(CheckpointDeserializationError, match=expected):
        await saver.aget_tuple(THREAD)
    with pytest.raises(CheckpointDeserializationError, match=expected):
        await Verbs(saver, "async").listed(THREAD)


async def test_metadata_that_cannot_be_read_is_not_left_out_by_a_filter(
    saver: AsyncSqliteSaver, path: str
) -> None:
    await Verbs(saver, "async").put_chain("t", 1)
    execute(path, "UPDATE checkpoints SET metadata = '{'")
    with pytest.raises(CheckpointDeserializationError, match="its metadata"):
        await Verbs(saver, "async").listed(THREAD, filter={"step": 77})


# SQLite keeps whatever it is given, in a column of any type
FOREIGN = {
    "a parent": "UPDATE checkpoints SET parent_checkpoint_id = x'c1'",
    "a time": "UPDATE checkpoints SET created_at = 'soon'",
    "a time that never comes": f"UPDATE checkpoints SET created_at = {2**62}",
    "a task": "UPDATE checkpoint_writes SET task_id = x'c1'",
    "a channel": "UPDATE checkpoint_writes SET channel = x'c1'",
    "a path": "UPDATE checkpoint_writes SET task_path = x'c1'",
    "a position": "UPDATE checkpoint_writes SET idx = 'last'",
}


@pytest.mark.parametrize("sql", FOREIGN.values(), ids=FOREIGN)
async def test_a_column_that_holds_what_is_not_of_its_type_is_an_error_that_names_the_row(
    saver: AsyncSqliteSaver, path: str, sql: str
) -> None:
    config = await saver.aput(THREAD, make_checkpoint({"n": 1}), {}, {"n": 1})
    await saver.aput_writes(config, [("w", 1)], "task")
    await saver.aput_writes(config, [("w", 1)], "another task")
    execute(path, sql + (" WHERE task_id = 'task'" if "writes" in sql else ""))
    expected = rf"^thread 't', checkpoint '{config['configurable']['checkpoint_id']}'"
    with pytest.raises(CheckpointDeserializationError, match=expected):
        await saver.aget_tuple(THREAD)
    with pytest.raises(CheckpointDeserializationError, match=expected):
        await Verbs(saver, "async").listed(THREAD)


async def test_a_head_that_is_no_text_is_an_error_that_names_the_thread(
    saver: AsyncSqliteSaver, path: str
) -> None:
    await Verbs(saver, "async").put_chain("t", 1)
    execute(path, "UPDATE checkpoint_heads SET checkpoint_id = x'c1'")
    with pytest.raises(CheckpointDeserializationError, match=r"^thread 't'.*head"):
        await saver.aget_tuple(THREAD)


@pytest.mark.parametrize(
    "sql", ["SET created_at = 'soon'", f"SET created_at = {2**62}", "SET thread_id = x'c1'"]
)
async def test_a_thread_that_cannot_be_told_of_is_an_error_and_never_left_out(
    saver: AsyncSqliteSaver, path: str, sql: str
) -> None:
    await Verbs(saver, "async").put_chain("t", 1)
    execute(path, f"UPDATE checkpoints {sql}")
    with pytest.raises(CheckpointDeserializationError, match=r"^thread (b'\\xc1'|'t')"):
        _ = [thread async for thread in saver.alist_threads()]


# -- processes -------------------------------------------------------------------------------------

WRITER = """
import asyncio, sys
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.testing.savers import Verbs

async def main(path, name):
    async with AsyncSqliteSaver(path) as saver:
        verbs = Verbs(saver, "async")
        await asyncio.gather(verbs.put_chain(name, 25), verbs.put_chain(name + "x", 25))

asyncio.run(main(*sys.argv[1:]))
"""


def test_four_processes_may_write_one_file(path: str) -> None:
    processes = [python(WRITER, path, f"thread {number}") for number in range(4)]
    for process in processes:
        finish(process)
    assert execute(path, "SELECT count(*), count(DISTINCT thread_id) FROM checkpoints") == [(200, 8)]
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


ENDLESS_WRITER = """
import asyncio, sys
from aiograph.checkpoint.base import Superstep, TaskWrites, config_for
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.testing.savers import make_checkpoint

async def main(path):
    async with AsyncSqliteSaver(path) as saver:
        config, step = config_for("t", ""), 0
        while True:
            step += 1
            channels = [f"c{number}" for number in range(8)]
            checkpoint = make_checkpoint(
                dict.fromkeys(channels, step),
                versions=dict.fromkeys(channels, step),
                after=config["configurable"].get("checkpoint_id"),
            )
            writes = [saver.encode_writes(TaskWrites(f"task {n}", "", [("c", step)])) for n in range(3)]
            versions = checkpoint["channel_versions"]
            superstep = Superstep.of(config, checkpoint, {"step": step}, versions)
            await saver.acommit(saver.encode_commit(superstep, writes))
            config = config_for("t", "", checkpoint["id"])
            print(step, flush=True)

asyncio.run(main(sys.argv[1]))
"""


@needs_posix
def test_killing_a_writer_leaves_whole_checkpoints_and_all_that_were_acknowledged(path: str) -> None:
    for seed in range(3):
        process = python(ENDLESS_WRITER, path)
        assert process.stdout is not None
        assert process.stdout.readline() == "1\n"
        time.sleep(random.Random(seed).random() / 20)  # somewhere in the middle of its work
        process.send_signal(signal.SIGKILL)
        acknowledged = int((["1", *process.communicate()[0].split()])[-1])
        check_chain(path, acknowledged)
        for suffix in ("", "-wal", "-shm"):
            Path(path + suffix).unlink(missing_ok=True)


def check_chain(path: str, acknowledged: int) -> None:
    """Looks whether everything up to the last checkpoint is there, and nothing of a later one."""
    with SqliteSaver(path) as saver:
        found = list(saver.list(THREAD))[::-1]
    assert len(found) >= acknowledged
    for step, each in enumerate(found, 1):
        assert each.metadata["step"] == step
        assert set(each.checkpoint["channel_values"].values()) == {step}
        assert len(each.checkpoint["channel_values"]) == 8
        parent = found[step - 2].config if step > 1 else None
        assert each.parent_config == parent
        following = [("c", step + 1)] * 3 if step < len(found) else []
        assert [write[1:] for write in each.pending_writes or ()] == following
    lost = "checkpoint_id NOT IN (SELECT checkpoint_id FROM checkpoints)"
    assert execute(path, f"SELECT count(*) FROM checkpoint_writes WHERE {lost}") == [(0,)]


FORK = """
import os, sys
from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.testing.savers import make_checkpoint

def put(saver, name):
    saver.put(config_for(name, ""), make_checkpoint({"a": name}), {}, {"a": 1})

saver = SqliteSaver(sys.argv[1])
put(saver, "before")
child = os.fork()
if child == 0:
    for number in range(20):
        put(saver, f"child {number}")
    assert saver.get(config_for("before", "")) is not None
    sys.exit()  # an ordinary end, which takes everything apart
for number in range(20):
    put(saver, f"parent {number}")
assert os.waitpid(child, 0)[1] == 0
put(saver, "after")
print(len(list(saver.list(None))))
"""


@needs_posix
def test_a_forked_child_opens_the_file_anew(path: str) -> None:
    output = finish(python(FORK, path, options=("-W", "ignore::DeprecationWarning")))
    assert output == "42\n"
    assert execute(path, "PRAGMA integrity_check") == [("ok",)]


FORK_IN_MEMORY = """
import os
from aiograph.checkpoint.base import config_for
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import CheckpointStorageError

saver = SqliteSaver(":memory:")
saver.setup()
child = os.fork()
if child == 0:
    try:
        saver.get(config_for("t", ""))
    except CheckpointStorageError as error:
        print(error, flush=True)
    os._exit(0)
os.waitpid(child, 0)
print(saver.get(config_for("t", "")))
"""


@needs_posix
def test_a_forked_child_has_no_database_in_memory(path: str) -> None:
    output = finish(python(FORK_IN_MEMORY, options=("-W", "ignore::DeprecationWarning")))
    assert "it is in the memory of the process that this one was forked from\nNone" in output


UNCLOSED = """
import sys
from aiograph.checkpoint.base import config_for, empty_checkpoint
from aiograph.checkpoint.sqlite import SqliteSaver

saver = SqliteSaver(sys.argv[1])
saver.put(config_for("t", ""), empty_checkpoint(), {}, {})
"""


def test_a_process_may_end_without_closing(path: str) -> None:
    assert finish(python(UNCLOSED, path, options=("-X", "dev", "-W", "error"))) == ""
    assert execute(path, "SELECT count(*) FROM checkpoints") == [(1,)]
