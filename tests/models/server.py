"""A server that speaks HTTP and gives the answers of a script, cut and broken off as it says."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass(frozen=True, slots=True)
class Reply:
    """What the server answers to one request."""

    pieces: Sequence[bytes]
    """The body, as it is handed to the socket."""
    status: int = 200
    kind: str = "application/json"
    then: str = "end"
    """What follows the body: `"end"`; `"drop"` breaks off; `"hang"` waits until the client is gone."""


def said(body: Any, status: int = 200) -> Reply:
    """An answer in one piece of JSON."""
    return Reply([json.dumps(body).encode()], status)


def streamed(events: Iterable[str], *, cut: int | None = None, then: str = "end") -> Reply:
    """Server-sent events: one at a time, or cut every so many bytes, wherever that is."""
    pieces = [event.encode() for event in events]
    if cut is not None:
        whole = b"".join(pieces)
        pieces = [whole[start : start + cut] for start in range(0, len(whole), cut)]
    return Reply(pieces, kind="text/event-stream", then=then)


HANGS = Reply([], then="hang")


class Request(NamedTuple):
    """What a client has asked."""

    path: str
    headers: dict[str, str]
    body: Any


@dataclass
class ModelServer:
    """A server in a thread of its own, so that clients may be on any loop."""

    port: int = 0
    replies: list[Reply] = field(default_factory=list)
    """What it will answer, request by request; the last one for ever."""
    requests: list[Request] = field(default_factory=list)
    is_asked: threading.Event = field(default_factory=threading.Event)
    """Set by each request."""
    is_left: threading.Event = field(default_factory=threading.Event)
    """Set once a client has gone away from an answer that hangs."""
    _served: dict[asyncio.Task[None], asyncio.StreamWriter] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._served[task] = writer
        task.add_done_callback(self._served.pop)
        async with _closing(writer):
            while (request := await _read(reader)) is not None:
                self.requests.append(request)
                self.is_asked.set()
                reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
                await self._send(reply, reader, writer)

    async def leave(self) -> None:
        """Closes what is open, and waits until all of it is."""
        for writer in self._served.values():
            writer.close()
        await asyncio.gather(*self._served)

    async def _send(self, reply: Reply, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (
            f"HTTP/1.1 {reply.status} X\r\ncontent-type: {reply.kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        writer.write(head.encode())
        for piece in reply.pieces:
            writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            await writer.drain()
            await asyncio.sleep(0)
        if reply.then == "hang":
            await reader.read()
            self.is_left.set()
        if reply.then == "end":
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        else:
            writer.close()


@asynccontextmanager
async def _closing(writer: asyncio.StreamWriter) -> AsyncIterator[None]:
    try:
        yield
    except ConnectionError:
        pass  # the client's right
    finally:
        writer.close()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    first, *lines = head.decode().rstrip().split("\r\n")
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return Request(first.split()[1], headers, json.loads(body) if body else None)


@contextmanager
def running() -> Iterator[ModelServer]:
    """A server for the length of a block."""
    server, is_ready = ModelServer(), threading.Event()
    stop: list[Any] = []

    async def main() -> None:
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(stopped.set))
        listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
        server.port = listening.sockets[0].getsockname()[1]
        is_ready.set()
        await stopped.wait()
        listening.close()
        await server.leave()

    thread = threading.Thread(target=asyncio.run, args=(main(),), name="model-server")
    thread.start()
    is_ready.wait()
    try:
        yield server
    finally:
        stop[0]()
        thread.join()
