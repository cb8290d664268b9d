"""A pooler in transaction mode: many clients share few server connections, each for one transaction.

It passes the messages of the PostgreSQL protocol on and understands as little of them as it can. A client
gets whichever server connection has rested longest, so the next transaction is on another one, and what a
session would have kept is not there.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import NamedTuple, TypeAlias

from anyio.from_thread import start_blocking_portal
from psycopg.conninfo import conninfo_to_dict, make_conninfo

Reader: TypeAlias = asyncio.StreamReader
Writer: TypeAlias = asyncio.StreamWriter

_PROTOCOL = 196608
"""Version 3.0 of the protocol; other numbers in its place ask for encryption, or cancel something."""

_CANCEL = 80877102
_ASKS_FOR_END = b"QS"
"""A simple query and a sync: each is answered by a `Z` in the end."""


class Message(NamedTuple):
    kind: bytes
    body: bytes

    @property
    def raw(self) -> bytes:
        return self.kind + (len(self.body) + 4).to_bytes(4) + self.body


async def read_message(reader: Reader) -> Message:
    kind = await reader.readexactly(1)
    size = int.from_bytes(await reader.readexactly(4))
    return Message(kind, await reader.readexactly(size - 4))


async def read_startup(reader: Reader, writer: Writer) -> bytes | None:
    """What a client opens with, after it was denied encryption; `None` if it wants to cancel something."""
    while True:
        head = await reader.readexactly(8)
        size, code = int.from_bytes(head[:4]), int.from_bytes(head[4:])
        rest = await reader.readexactly(size - 8)
        if code == _PROTOCOL:
            return head + rest
        if code == _CANCEL:
            return None
        writer.write(b"N")


class Backend(NamedTuple):
    """A connection to the server."""

    reader: Reader
    writer: Writer


class Backends:
    """The connections that clients with the same user and database share."""

    def __init__(self, place: str, startup: bytes, size: int) -> None:
        self._place = place
        self._startup = startup
        self._idle: asyncio.Queue[Backend | None] = asyncio.Queue()
        """Those that rest, the longest first; `None` in place of one that has yet to be made."""
        for _ in range(size):
            self._idle.put_nowait(None)

    async def take(self) -> Backend:
        return await self._idle.get() or (await self._connect())[0]

    def give_back(self, backend: Backend) -> None:
        self._idle.put_nowait(backend)

    def give_up(self, backend: Backend) -> None:
        """Of one that is in the middle of something: it cannot be given to anybody else."""
        backend.writer.close()
        self._idle.put_nowait(None)

    async def greeting(self) -> bytes:
        """What the server says to somebody who connects: that he is welcome, or why not."""
        backend, greeting = await self._connect()
        backend.writer.close()
        return greeting

    async def _connect(self) -> tuple[Backend, bytes]:
        reader, writer = await asyncio.open_unix_connection(self._place)
        writer.write(self._startup)
        greeting = b""
        while True:
            message = await read_message(reader)
            greeting += message.raw
            if message.kind in b"ZE":
                return Backend(reader, writer), greeting

    def close(self) -> None:
        while not self._idle.empty():
            backend = self._idle.get_nowait()
            if backend is not None:
                backend.writer.close()


class Client:
    """Somebody who thinks that he has a connection."""

    def __init__(self, reader: Reader, writer: Writer, backends: Backends) -> None:
        self._reader = reader
        self._writer = writer
        self._backends = backends
        self._backend: Backend | None = None
        self._answering: asyncio.Task[None] | None = None
        self._ends_due = 0
        self._is_open = False
        """Whether something was sent after the last request for an end."""

    async def serve(self) -> None:
        try:
            while (message := await read_message(self._reader)).kind != b"X":
                await self._pass_on(message)
        finally:
            if self._answering is not None:
                self._answering.cancel()
            if self._backend is not None:
                self._backends.give_up(self._backend)

    async def _pass_on(self, message: Message) -> None:
        is_flush = message.kind == b"H"  # opens nothing, and may come after the end of a transaction
        if self._backend is None:
            if is_flush:
                return
            self._backend = await self._backends.take()
            self._answering = asyncio.create_task(self._answer(self._backend))
        if not is_flush:
            self._is_open = message.kind not in _ASKS_FOR_END
            self._ends_due += not self._is_open
        self._backend.writer.write(message.raw)

    async def _answer(self, backend: Backend) -> None:
        """Passes answers on until no transaction is open, and nothing has been asked that is not answered."""
        try:
            while True:
                message = await read_message(backend.reader)
                self._writer.write(message.raw)
                if message.kind == b"Z":
                    self._ends_due -= 1
                    if message.body == b"I" and not (self._ends_due or self._is_open):
                        break
        except (asyncio.IncompleteReadError, ConnectionError):
            self._writer.close()
            return
        self._backend = None
        self._backends.give_back(backend)


class Pooler:
    """Accepts clients on a port of its own."""

    def __init__(self, conninfo: str, size: int = 2) -> None:
        self._target = conninfo_to_dict(conninfo)
        self._size = size
        self._backends: dict[bytes, Backends] = {}
        self._clients: set[asyncio.Task[None]] = set()
        self.conninfo = ""

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["Pooler"]:
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.conninfo = make_conninfo(**{**self._target, "host": "127.0.0.1", "port": port})
        try:
            yield self
        finally:
            server.close()
            for task in self._clients:
                task.cancel()
            await asyncio.gather(*self._clients, return_exceptions=True)
            for backends in self._backends.values():
                backends.close()

    async def _accept(self, reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            startup = await read_startup(reader, writer)
            if startup is not None:
                await self._serve(reader, writer, startup)
        self._clients.discard(task)
        writer.close()

    async def _serve(self, reader: Reader, writer: Writer, startup: bytes) -> None:
        if startup not in self._backends:
            place = f"{self._target['host']}/.s.PGSQL.{self._target['port']}"
            self._backends[startup] = Backends(place, startup, self._size)
        backends = self._backends[startup]
        writer.write(await backends.greeting())
        await Client(reader, writer, backends).serve()


@contextmanager
def pooling(conninfo: str, size: int = 2) -> Iterator[Pooler]:
    """A pooler on a loop of its own, so that those who block theirs can use it."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(Pooler(conninfo, size).serving()) as pooler,
    ):
        yield pooler
