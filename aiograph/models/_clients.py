"""Clients of providers' SDKs. Connections belong to an event loop, so each loop has a client of its own."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Generic, Protocol, Self, TypeVar
from weakref import WeakKeyDictionary

from aiograph.bridge import blocking
from aiograph.models._base import BaseChatModel


class Closable(Protocol):
    """What is asked of a client."""

    async def close(self) -> None:
        """Closes its connections."""


C = TypeVar("C", bound=Closable)


class _Open(Generic[C]):
    """A client that is open on a loop: until it is closed, or the loop shuts down.

    A loop that shuts down closes the async generators that it has begun, so each client is kept by one.
    """

    def __init__(self, client: C) -> None:
        self.client = client
        self._loop = asyncio.get_running_loop()
        self._keeper = self._keep()
        self._closing: asyncio.Task[None] | None = None

    async def begin(self) -> None:
        await anext(self._keeper)

    async def _keep(self) -> AsyncGenerator[None, None]:
        _open.add(self)
        try:
            yield
        finally:
            _open.discard(self)
            await self.client.close()

    async def close(self) -> None:
        await self._keeper.aclose()

    def close_soon(self) -> None:
        """From any thread. Should its loop end before, then that closes the client."""
        with suppress(RuntimeError):  # it has ended
            self._loop.call_soon_threadsafe(self._begin_to_close)

    def _begin_to_close(self) -> None:
        self._closing = self._loop.create_task(self.close())


_open: set[_Open[Any]] = set()
"""Nothing is lost here that is open: an async generator that is collected is not always closed."""


class ClientPerLoop(Generic[C]):
    """One client for each event loop that asks for one.

    It is closed when its loop shuts down, and soon after nobody has this object any more.
    """

    def __init__(self, make: Callable[[], C]) -> None:
        self._kept: WeakKeyDictionary[Any, _Open[C]] = WeakKeyDictionary()
        self._make = make

    async def here(self) -> C:
        """The client of the running loop; made when it is asked for first."""
        loop = asyncio.get_running_loop()
        kept = self._kept.get(loop)
        if kept is None:
            self._forget_closed_loops()
            kept = self._kept[loop] = _Open(self._make())
            await kept.begin()
        return kept.client

    async def close_here(self) -> None:
        """Closes the client of the running loop, if there is one."""
        kept = self._kept.pop(asyncio.get_running_loop(), None)
        if kept is not None:
            await kept.close()

    def _forget_closed_loops(self) -> None:
        for ref in self._kept.keyrefs():  # a list, as other threads may add theirs meanwhile
            loop = ref()
            if loop is not None and loop.is_closed():
                self._kept.pop(loop, None)

    def __del__(self) -> None:
        for kept in list(self._kept.values()):
            kept.close_soon()


class GivenClient(Generic[C]):
    """A client that is somebody else's: used as it is, and not closed."""

    def __init__(self, client: C) -> None:
        self._client = client

    async def here(self) -> C:
        """That client."""
        return self._client

    async def close_here(self) -> None:
        """Does nothing."""


def clients_of(
    client: C | Callable[[], C] | None, make: Callable[[], C]
) -> ClientPerLoop[C] | GivenClient[C]:
    """What `client=` was given: a client, a function that makes one for each loop, or `None` for `make`."""
    if client is None:
        return ClientPerLoop(make)
    return ClientPerLoop(client) if callable(client) else GivenClient(client)


class SdkChat(BaseChatModel, Generic[C]):
    """A chat model that talks by way of its provider's SDK. It may be made anywhere and used on any loop."""

    def __init__(
        self, model: str, clients: ClientPerLoop[C] | GivenClient[C], options: dict[str, Any]
    ) -> None:
        self.model = model
        """The provider's name for it."""
        self.options = options
        """What every request has besides."""
        self._clients = clients

    async def aclose(self) -> None:
        """Closes the running loop's connections. Without it, they close with the loop or the model.

        The model can be used again. A client that was passed in is left alone.
        """
        await self._clients.close_here()

    close = blocking(aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.model!r})"
