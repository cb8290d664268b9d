"""Tells a PostgreSQL connection that was lost without a word from one whose server has a lot to do.

Both look the same from here: no answer. So the server is asked, on a connection made for that, what it does
for this one. While it works it may take its time, and while it waits for a lock some time. Else, or if nobody
answers there, the connection is cut. A server that turns the question away, as one with no connection left
does, is there: then nobody knows, and it may take as long as a lock may.
"""

import asyncio
import time
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from psycopg import AsyncConnection, Error
from psycopg.conninfo import make_conninfo

from aiograph._sql.pipeline import Connection, Statement, cut
from aiograph._sql.sqlstate import LockedError, ServerSilentError, UnansweredError, code_of, described

_QUESTION_SECONDS = 2.0
"""How long asking may take, connecting included."""

_COMPARED = 200
"""Characters of statements that are compared; servers keep the first thousand or so."""

# Behind a pooler the process is another one than the client was told, so its statement counts as well, if it
# has been at it for long. A server that waits for its client lacks some of what was sent, or cannot answer.
_AT_WORK = b"""
SELECT pid, coalesce(wait_event_type = 'Lock', false) FROM pg_catalog.pg_stat_activity
WHERE usename = current_user AND state = 'active' AND wait_event_type IS DISTINCT FROM 'Client'
AND xact_start < clock_timestamp() - make_interval(secs => %(silence)s::float8 / 2)
AND (pid = %(pid)s OR left(query, %(compared)s) = ANY(%(texts)s))
ORDER BY pid = %(pid)s DESC LIMIT 1
"""


class Activity(NamedTuple):
    """What the server does for a connection."""

    pid: int
    is_blocked: bool
    """Whether it waits for a lock that somebody else holds."""


class Watch:
    """Looks after a connection while something is under way on it.

    One timer does for whatever comes one after the other: it is set anew when it has run down.

    Args:
        connection: What statements are sent on.
        silence: Seconds after which the server is asked what it does; and again after as many more.
    """

    def __init__(self, connection: Connection, silence: float) -> None:
        self.verdict: Error | None = None
        """Why it has intervened, if it has; of what was begun last."""
        self._connection = connection
        self._silence = silence
        self._statements: Sequence[Statement] = ()
        """What the server is busy with; nothing while the connection is idle."""
        self._asks_at = 0.0
        self._deadline = 0.0
        self._inquiry: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, statements: Sequence[Statement], deadline: float) -> None:
        """Begins to watch.

        Args:
            statements: What the server is going to be busy with.
            deadline: On the monotonic clock: from then on, locks are not waited for.
        """
        self.verdict = None
        self._statements = statements
        self._deadline = deadline
        self._asks_at = time.monotonic() + self._silence
        if self._timer is None:
            self._set_timer(self._silence)

    def end(self) -> asyncio.Task[None] | None:
        """Ends the watch, until it begins again; an inquiry that is under way is over before long."""
        self._statements = ()
        inquiry, self._inquiry = self._inquiry, None
        if inquiry is None or inquiry.done():
            return None
        inquiry.cancel()
        return inquiry

    def close(self) -> None:
        """Ends it for good."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _set_timer(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look)

    def _look(self) -> None:
        left = self._asks_at - time.monotonic()
        self._timer = None
        if not self._statements:
            return
        if left > 0:
            self._set_timer(left)
        else:
            self._inquiry = asyncio.get_running_loop().create_task(self._inquire())

    async def _inquire(self) -> None:
        deadline = time.monotonic() + _QUESTION_SECONDS
        try:
            other = await _connect_beside(self._connection)
        except Error as refusal:
            await self._bear_with(refusal)
            return
        activity = None
        if other is not None:
            timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), cut, other)
            try:
                activity = await self._ask(other)
            finally:
                timer.cancel()
                await other.close()
        if activity is None:
            self.verdict = ServerSilentError(f"no answer within {self._silence} s")
            cut(self._connection)
        else:
            self._wait_on()

    def _wait_on(self) -> None:
        self._asks_at = time.monotonic() + self._silence
        self._set_timer(self._silence)

    async def _bear_with(self, refusal: Error) -> None:
        """Waits on while nobody knows what the server does, but not for ever."""
        if time.monotonic() < self._deadline:
            self._wait_on()
            return
        words = f"no answer within {self._silence} s, and the server cannot be asked about it"
        self.verdict = UnansweredError(f"{words}: {described(refusal)}")
        try:
            with suppress(Error):  # takes no connection, and frees this one if the server does work for it
                await self._connection.cancel_safe(timeout=_QUESTION_SECONDS)
        finally:
            cut(self._connection)  # also if an answer has come: what is cancelled may be the next statement

    async def _ask(self, other: Connection) -> Activity | None:
        """What the server does, after it was told to give up what has waited for a lock for too long."""
        question = {
            "pid": self._connection.info.backend_pid,
            "texts": [statement.sql.decode()[:_COMPARED] for statement in self._statements],
            "compared": _COMPARED,
            "silence": self._silence,
        }
        try:
            row = await (await other.execute(_AT_WORK, question)).fetchone()
            activity = row and Activity(*row)
            if activity and activity.is_blocked and time.monotonic() >= self._deadline:
                self.verdict = LockedError("somebody else has held a lock all the while")
                await other.execute("SELECT pg_cancel_backend(%s)", (activity.pid,))
        except Error:
            return None
        return activity


async def _connect_beside(connection: Connection) -> Connection | None:
    """Another connection to where one leads; `None` if nobody answers there.

    Raises:
        psycopg.Error: The server turns one away.
    """
    try:
        address = make_conninfo(**connection.info.get_parameters(), password=connection.info.password)
        async with asyncio.timeout(_QUESTION_SECONDS):
            return await AsyncConnection.connect(address, autocommit=True, prepare_threshold=None)
    except Error as error:
        if code_of(error) is not None:
            raise
        return None
    except TimeoutError:
        return None
