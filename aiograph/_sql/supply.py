"""Where connections to PostgreSQL come from: a pool of our own, a caller's pool, or a caller's connection.

A connection that a server or a network has dropped is found out before it is used: what the operating system
knows is asked each time, the server only if the connection has been idle for long.
"""

import asyncio
import time
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection, Error
from psycopg.conninfo import conninfo_to_dict
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from aiograph._sql.pipeline import Connection, is_alive, is_direct
from aiograph._sql.prepared import give_up
from aiograph._sql.session import Counters
from aiograph._sql.sqlstate import Meaning, NoConnectionError, meaning_of

_SLICE = 0.25
"""Seconds after which a wait for a connection looks up, and has the pool try to make another one."""

_LONG = 10.0
"""Seconds of idleness after which a connection has to show that the server still answers."""

_ANSWER_SECONDS = 2
"""How long that may take."""

_TERM = 2.0
"""Seconds after which our own pool gets a connection back, to see whether it is too old, or one too many."""

_DETECTION = {
    "connect_timeout": 4,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 8000,  # milliseconds
}
"""How the operating system finds out that nobody is there; what the address says goes first."""


class PoolOptions(NamedTuple):
    """How many connections there are, and for how long."""

    min_size: int = 1
    max_size: int = 10
    max_idle: float = 600.0
    """Seconds after which a connection beyond `min_size` that nobody needs is closed."""
    max_lifetime: float = 3600.0
    """Seconds after which a connection is replaced."""
    prepare_threshold: int | None = 5
    """How often a statement is sent before it is prepared, so that it is planned no more; `None` for
    never. Behind a pooler that names processes of its own, as PgBouncer does, nothing is prepared."""


class Supply(Protocol):
    """Hands out connections, on one loop."""

    size: int
    """How many may be out at a time."""
    term: float
    """Seconds for which one may be kept out, with nothing to do as well."""
    is_shared: bool
    """Whether its owner may use a connection while it is out."""
    name: str
    """For messages; holds no password."""

    async def take(self, patience: float) -> Connection:
        """A connection that works, as far as one can know.

        Args:
            patience: Seconds to wait for one.

        Raises:
            psycopg.Error: There is none.
        """
        ...

    async def give_back(self, connection: Connection) -> None:
        """Takes a connection back in any state."""
        ...

    def doubt(self) -> None:
        """Has connections from before this moment not be trusted: one of them was found to be silent."""
        ...

    async def aclose(self) -> None:
        """Closes what is not a caller's."""
        ...


class PoolSupply:
    """Connections of a pool."""

    is_shared = False

    def __init__(
        self, pool: AsyncConnectionPool[Any], name: str, counters: Counters, *, is_owned: bool
    ) -> None:
        self.name = name
        self.size = pool.max_size
        # a caller's pool has others to serve
        self.term = _TERM if is_owned else 0.0
        self._pool = pool
        self._counters = counters
        self._is_owned = is_owned
        self._used_at: WeakKeyDictionary[Connection, float] = WeakKeyDictionary()
        self._doubted_at = 0.0
        self._trouble: Error | None = None
        """Why the last attempt to connect has failed; `None` once one has not."""

    @classmethod
    def owned(cls, address: str, options: PoolOptions, counters: Counters) -> "PoolSupply":
        """A pool that is opened by its first use."""
        supply: PoolSupply

        class Reporting(AsyncConnection[Any]):
            """Tells why connecting fails, which the pool keeps to itself."""

            @classmethod
            async def connect(cls, conninfo: str = "", **options: Any) -> "Reporting":
                try:
                    connection = await super().connect(conninfo, **options)
                    prepares = connection.prepare_threshold is not None
                    if prepares and not await is_direct(connection, _ANSWER_SECONDS):
                        give_up(connection)
                except Error as error:
                    supply.regret(error)
                    raise
                except asyncio.CancelledError:
                    _cancel_again()
                    raise
                supply.welcome(connection)
                return connection

        pool = AsyncConnectionPool(
            address,
            connection_class=Reporting,
            kwargs=_connect_options(address, options),
            min_size=options.min_size,
            max_size=options.max_size,
            max_idle=options.max_idle,
            max_lifetime=options.max_lifetime,
            reconnect_timeout=0.0,  # whoever waits has the pool try again
            open=False,
            name="aiograph",
        )
        supply = cls(pool, name_of(address), counters, is_owned=True)
        return supply

    async def take(self, patience: float) -> Connection:
        """See `Supply`. If the server says that it will never work, that is raised at once."""
        if self._is_owned:
            await self._pool.open()  # does nothing the second time
        deadline = time.monotonic() + patience
        while True:
            try:
                connection: Connection = await self._pool.getconn(
                    max(0.001, min(_SLICE, deadline - time.monotonic()))
                )
            except PoolTimeout as error:
                trouble = self._trouble or self._exhausted(error)
                if meaning_of(trouble) is Meaning.FINAL or time.monotonic() >= deadline:
                    raise trouble from None
                continue
            except PoolClosed as error:
                raise NoConnectionError(str(error)) from error
            try:
                is_usable = await self._is_usable(connection)
            except BaseException:
                await self._pool.putconn(connection)
                raise
            if is_usable:
                return connection
            await connection.close()
            await self.give_back(connection)

    def _exhausted(self, error: PoolTimeout) -> PoolTimeout:
        """Why the pool has none, where it does not fail to connect."""
        out = self._pool.get_stats().get("pool_size", 0)
        if out < self.size:
            return error
        return PoolTimeout(
            f"all {out} connections of the pool are in use: raise its max_size, or use fewer elsewhere"
        )

    async def _is_usable(self, connection: Connection) -> bool:
        require_encoding(connection)
        used_at = self._used_at.setdefault(connection, time.monotonic())
        if self._is_doubted(connection):
            return False
        is_old = time.monotonic() - used_at > _LONG
        return await is_alive(connection, _ANSWER_SECONDS if is_old and connection.autocommit else None)

    def _is_doubted(self, connection: Connection) -> bool:
        return self._used_at[connection] < self._doubted_at

    async def give_back(self, connection: Connection) -> None:
        """See `Supply`. One that is closed is replaced."""
        if not self._is_doubted(connection):  # else it may have been idle since before that
            self._used_at[connection] = time.monotonic()
        self._counters.reconnects += connection.closed
        await self._pool.putconn(connection)

    def regret(self, trouble: Error) -> None:
        """Notes that connecting has failed."""
        self._trouble = trouble

    def welcome(self, connection: Connection) -> None:
        """Notes that connecting works."""
        self._trouble = None
        self._used_at[connection] = time.monotonic()

    def doubt(self) -> None:
        """See `Supply`."""
        self._doubted_at = time.monotonic()

    async def aclose(self) -> None:
        """See `Supply`."""
        if self._is_owned:
            await self._pool.close()


def require_encoding(connection: Connection) -> None:
    """Checks that text comes back as text: psycopg makes bytes of it where no encoding is known.

    Raises:
        NoConnectionError: It does not.
    """
    if connection.info.encoding == "ascii":
        raise NoConnectionError(
            "text would come back as bytes, as the connection that was handed in has no encoding: "
            "connect with client_encoding=utf8"
        )


def _cancel_again() -> None:
    """Cancels this task once more, soon: the pool's own tasks survive the first time.

    Else a loop that is being shut down, with a pool that nobody has closed, would wait for them for ever.
    """
    task = asyncio.current_task()
    if task is not None:
        asyncio.get_running_loop().call_soon(task.cancel)


class ConnectionSupply:
    """One connection that a caller has made, and will close."""

    size = 1
    term = 0.0
    is_shared = True

    def __init__(self, connection: Connection, name: str) -> None:
        self.name = name
        self._connection = connection

    async def take(self, patience: float) -> Connection:
        """See `Supply`."""
        if not await is_alive(self._connection, None):
            raise NoConnectionError(
                "the connection that was handed in is closed, and only who made it could make another: "
                "hand in an address or a pool to have connections replaced"
            )
        require_encoding(self._connection)
        return self._connection

    async def give_back(self, connection: Connection) -> None:
        """See `Supply`."""

    def doubt(self) -> None:
        """See `Supply`. It is closed by then."""

    async def aclose(self) -> None:
        """See `Supply`."""


def _connect_options(address: str, options: PoolOptions) -> dict[str, Any]:
    given = conninfo_to_dict(address)
    detection = {name: value for name, value in _DETECTION.items() if name not in given}
    # a database without an encoding, as one is made in a bare environment, would give bytes for text
    encoding = {} if "client_encoding" in given else {"client_encoding": "utf8"}
    return {**detection, **encoding, "autocommit": True, "prepare_threshold": options.prepare_threshold}


def name_of(address: str) -> str:
    """What messages call a database: where it is, without a password."""
    given: Mapping[str, Any] = conninfo_to_dict(address)
    place = ":".join(str(given[key]) for key in ("host", "port") if given.get(key))
    return f"postgresql://{place}/{given.get('dbname') or given.get('user') or ''}"
