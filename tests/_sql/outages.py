"""Ways to lose a server: a proxy that goes silent, connections that are ended, a server that is killed."""

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aiograph._sql.migrate import Component
from aiograph._sql.postgres import PostgresDatabase, Settings
from aiograph._sql.session import Change, Query

THINGS = Component("things", ("things",), [("CREATE TABLE things (name text PRIMARY KEY, size bigint)",)])
SETTINGS = Settings(component=THINGS)

PUT = "INSERT INTO things (name) VALUES (?) ON CONFLICT DO NOTHING"


async def put(database: PostgresDatabase, *names: str) -> None:
    """Two statements that may be carried out any number of times."""
    await database.write([Change(PUT, [(name,) for name in names]), Change("SELECT 1")], f"putting {names}")


async def names(database: PostgresDatabase) -> list[str]:
    return [name for (name,) in await database.fetch(Query("SELECT name FROM things ORDER BY name"), "names")]


def end_connections(conninfo: str) -> int:
    """Has the server end everybody's connections to a database but ours; how many there were."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        found = connection.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        ).fetchone()
    assert found is not None
    return int(found[0])


class Proxy:
    """Stands between client and server, and can lose what is sent without closing anything."""

    def __init__(self, conninfo: str) -> None:
        self._target = conninfo_to_dict(conninfo)
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._lost: set[asyncio.StreamWriter] = set()
        self._answering: set[asyncio.StreamWriter] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.conninfo = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Proxy"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        options = {**self._target, "host": "127.0.0.1", "port": port, "gssencmode": "disable"}
        self.conninfo = make_conninfo("", **options)
        try:
            yield self
        finally:
            server.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for writer in self._writers:
                writer.close()

    def lose_connections(self) -> None:
        """From now on, nothing more passes through the connections that there are."""
        self._lost |= self._writers

    def lose_answers(self) -> None:
        """From now on, what is asked on the connections that there are is done, and not answered."""
        self._lost |= self._answering

    def cut(self) -> None:
        """Nothing passes any more; new connections are accepted, and never answered."""
        self.lose_connections()
        self._is_open.clear()

    def mend(self) -> None:
        """New connections work again."""
        self._is_open.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self._answering.add(writer)
        await self._is_open.wait()
        path = f"{self._target['host']}/.s.PGSQL.{self._target['port']}"
        server_reader, server_writer = await asyncio.open_unix_connection(path)
        self._writers.add(server_writer)
        with suppress(ConnectionError):
            await asyncio.gather(self._pass(reader, server_writer), self._pass(server_reader, writer))

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            if writer not in self._lost:
                writer.write(data)
                await writer.drain()
        if writer not in self._lost:
            writer.close()


class Victim:
    """A server of our own that can be killed and started again."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo
        with psycopg.connect(conninfo, autocommit=True) as connection:
            found = connection.execute("SHOW data_directory").fetchone()
            # test servers acknowledge what they have not written yet, which a real one does not
            connection.execute(f'ALTER DATABASE "{connection.info.dbname}" SET synchronous_commit = on')
        assert found is not None
        self._folder = Path(found[0])
        self._pid = self._postmaster()
        self._command = Path(f"/proc/{self._pid}/cmdline").read_bytes().split(b"\0")[:-1]
        self._started: subprocess.Popen[bytes] | None = None

    def _postmaster(self) -> int:
        return int((self._folder / "postmaster.pid").read_text().split()[0])

    def crash(self) -> None:
        """Kills the server's first process, as the kernel does when memory runs out, and starts it anew."""
        os.kill(self._pid, signal.SIGKILL)
        if self._started is not None:
            self._started.wait()
        else:
            os.waitpid(self._pid, 0)  # a dead child that nobody has asked about still seems to be there
        deadline = time.monotonic() + 30
        while not self._start():  # the killed one's children have to notice first
            assert time.monotonic() < deadline

    def _start(self) -> bool:
        owner = self._folder.stat()
        self._started = subprocess.Popen(
            self._command,
            cwd=self._folder.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            user=owner.st_uid,
            group=owner.st_gid,
            extra_groups=[],
        )
        self._pid = self._started.pid
        while self._started.poll() is None:
            with suppress(psycopg.OperationalError):
                psycopg.connect(self._conninfo).close()
                return True
            time.sleep(0.02)  # another process: nothing to wait on but its answer
        return False

    def stop(self) -> None:
        if self._started is not None:
            self._started.send_signal(signal.SIGINT)
            self._started.wait(20)
