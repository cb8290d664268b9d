"""Objects that are tied to a loop, and taking work to it."""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

from aiograph.bridge._call import blocked_loops, refuse
from aiograph.bridge._loop import Loop
from aiograph.errors import BridgeClosedError

T = TypeVar("T")


class HasHome(Protocol):
    """Something tied to a loop; `home` is `None` while it is tied to none."""

    @property
    def home(self) -> Loop | None: ...


async def at_home(obj: HasHome, make: Callable[[], Coroutine[Any, Any, T]], *, verb: str) -> T:
    """Awaits work on the loop that `obj` is tied to, from whichever loop.

    A cancellation travels to that loop, and the clean-up there is waited for.

    Raises:
        SyncCallError: That loop stands still until this very call returns.
        BridgeClosedError: That loop is closed or does not run.
    """
    home = obj.home
    if home is None or home is asyncio.get_running_loop():
        return await make()
    if home in blocked_loops():
        refuse(verb)
    if not home.is_running():
        raise BridgeClosedError(
            f"{verb}: the event loop that {type(obj).__name__} was opened on "
            f"{'is closed' if home.is_closed() else 'does not run'}; open it anew on a loop that lives on"
        )
    return await _hop(home, make)


async def _hop(home: Loop, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Awaits a coroutine on another loop, outlasting cancellation until its clean-up is through."""
    here = asyncio.get_running_loop()
    ended: asyncio.Future[None] = here.create_future()
    task: list[asyncio.Task[Any] | None] = [None]

    async def there() -> T:
        task[0] = asyncio.current_task()
        try:
            return await make()
        finally:
            with contextlib.suppress(RuntimeError):
                here.call_soon_threadsafe(_settle, ended)

    remote = asyncio.run_coroutine_threadsafe(there(), home)
    try:
        return await asyncio.wrap_future(remote)
    except asyncio.CancelledError:
        while task[0] is not None and not ended.done() and home.is_running():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([ended], timeout=1)
        raise


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
