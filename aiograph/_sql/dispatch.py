"""Requests to PostgreSQL in queues, and the workers that carry them out: all on one loop.

There is no lock. A worker gets a connection, takes its share of what is queued by then, and carries that out
as one transaction in one round trip. If the group fails each request is tried alone, so that nobody pays for
another's fault. What a lost connection has interrupted goes back to the head of its queue. Reads and writes
queue apart and take turns, so that neither waits for all of the other.
"""

import asyncio
import math
import random
import time
from collections import deque
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import NamedTuple, TypeAlias

from psycopg import Error, OperationalError

from aiograph._sql.migrate import SchemaError
from aiograph._sql.operation import Pending
from aiograph._sql.pipeline import Connection, Statement, run
from aiograph._sql.session import Counters, Row, size_of
from aiograph._sql.sqlstate import Meaning, ServerSilentError, described, meaning_of
from aiograph._sql.supply import Supply
from aiograph._sql.watch import Watch

_GROUP = 32
"""Requests that share a transaction, at most."""

_FEW = 4
"""Requests that are not worth a connection more."""

_LOOK_UP = 1.0
"""Seconds after which a wait for a connection looks up, to see whether anybody still wants it."""

_GRACE = 2.0
"""Seconds within which another connection has to be there after one was silent for too long."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds before interrupted requests are tried again."""


class Request(Pending[list[Row]]):
    """Statements that belong together."""

    __slots__ = ("asked_at", "errand", "is_alone", "losses", "order", "statements", "writes")

    def __init__(
        self,
        about: object,
        statements: Sequence[Statement],
        *,
        writes: bool,
        order: tuple[str, ...] = (),
        errand: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        super().__init__(about)
        self.statements = statements
        self.writes = writes
        self.order = order
        self.errand = errand
        """In place of statements: something that takes a connection, alone and for as long as it likes."""
        self.is_alone = errand is not None
        """Whether it must not share a transaction."""
        self.losses = 0
        """Connections that were lost under it."""
        self.asked_at = time.monotonic()


Group: TypeAlias = list[Request]
Lane: TypeAlias = deque[Request]


class Limits(NamedTuple):
    """How long things may take, and what is raised after that."""

    patience: float
    """Seconds from asking, after which a request is not tried again."""
    silence: float
    """Seconds without an answer after which a connection is given up, unless the server works for it."""
    fault: Callable[[str], Exception]


class Dispatcher:
    """Two queues and up to as many workers as there are connections."""

    def __init__(self, supply: Supply, limits: Limits, counters: Counters) -> None:
        self._supply = supply
        self._limits = limits
        self._counters = counters
        self._reads: Lane = deque()
        self._writes: Lane = deque()
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Task[None]] = set()
        """Workers that wait for a connection; whoever gets one sees to it that the next one waits."""
        self._is_silent = False
        """Whether a server has not answered, and none has since."""

    def submit(self, request: Request) -> None:
        """Queues a request, to be taken once the loop has come round: with others, if there are any."""
        (self._writes if request.writes else self._reads).append(request)
        self._hire()

    async def aclose(self) -> None:
        """Waits for what was asked before, and gives up the connections."""
        while self._workers:
            await asyncio.wait(self._workers)
        await self._supply.aclose()

    # -- workers

    def _hire(self) -> None:
        """Sees to it that somebody gets a connection for what is queued, as long as there are any."""
        is_needed = self._has_queued and not self._waiting
        if is_needed and len(self._workers) < self._supply.size:
            worker = asyncio.get_running_loop().create_task(self._work())
            self._workers.add(worker)
            self._waiting.add(worker)
            worker.add_done_callback(self._workers.discard)
            worker.add_done_callback(self._waiting.discard)

    @property
    def _has_queued(self) -> bool:
        return bool(self._reads or self._writes)

    async def _work(self) -> None:
        try:
            await self._serve_all()
        finally:
            # at once: whoever was just served and asks again finds that there is room for a worker
            self._workers -= {asyncio.current_task()}

    async def _serve_all(self) -> None:
        pause = _FIRST_PAUSE
        lane = self._reads or self._writes
        while lane:
            if await self._serve(lane):
                pause = _FIRST_PAUSE
            elif self._has_queued:
                self._counters.retries += 1
                with self._waits():
                    await asyncio.sleep(pause * random.uniform(0.5, 1.0))
                pause = min(2 * pause, _LONGEST_PAUSE)
            lane = self._next(lane)

    def _next(self, last: Lane) -> Lane:
        """The other queue than the last time, unless that is empty."""
        other = self._writes if last is self._reads else self._reads
        return other or last

    async def _serve(self, lane: Lane) -> bool:
        """Carries out a group; whether its connection has not failed it."""
        connection = await self._connection()
        if connection is None:
            return True
        group = self._share(lane)
        self._hire()
        error = await self._carry_out(connection, group)
        if group and not self._has_queued:
            await self._dismiss()
        if error is not None:
            return self._settle(group, error)
        for request in group:
            request.finish()
        return True

    async def _carry_out(self, connection: Connection, group: Group) -> Exception | None:
        """Carries out a group and gives back the connection; what has undone it, if anything has."""
        try:
            await self._run(connection, group)
        except Exception as error:
            return error
        except BaseException:
            # the loop is being shut down: those who wait on it are cancelled too, but not those elsewhere
            self._end(group, OperationalError("the event loop has ended"))
            raise
        finally:
            await self._supply.give_back(connection)
        return None

    async def _dismiss(self) -> None:
        """Ends the wait for connections that nobody needs any more, so that no task outlives its cause."""
        waiting = set(self._waiting)
        for worker in waiting:
            worker.cancel()
        if waiting:
            await asyncio.wait(waiting)

    def _share(self, lane: Lane) -> Group:
        """This worker's share of a queue, in the order that all keep to who lock rows."""
        idle = self._supply.size - len(self._workers)
        size = min(_GROUP, max(_FEW, math.ceil(len(lane) / (1 + idle))))
        group: Group = []
        while lane and len(group) < size and not (group and (lane[0].is_alone or group[0].is_alone)):
            request = lane.popleft()
            if request.claim():
                group.append(request)
        return sorted(group, key=_order)

    def _settle(self, group: Group, error: Exception) -> bool:
        """Decides what becomes of a group that has failed; whether the connection was good for it."""
        meaning = meaning_of(error)
        if meaning is Meaning.FINAL and len(group) == 1:
            self._end(group, error)
            return True
        now = time.monotonic()
        for request in reversed(group):
            request.losses += meaning is Meaning.LOST
            # what has cost two connections may be what costs them
            request.is_alone |= meaning is Meaning.FINAL or request.losses > 1
            if meaning is not Meaning.FINAL and self._is_too_late(request, now):
                self._end([request], error)
            else:
                request.unclaim()
                (self._writes if request.writes else self._reads).appendleft(request)
        return meaning is Meaning.FINAL

    def _is_too_late(self, request: Request, now: float) -> bool:
        return request.is_abandoned or now >= request.asked_at + self._limits.patience

    def _end(self, group: Group, error: Exception) -> None:
        for request in group:
            request.error = self._fault(request, error)
            request.finish()

    # -- connections

    async def _connection(self) -> Connection | None:
        """A connection; `None` if there is none yet, and those who have waited too long were told."""
        try:
            with self._waits():
                return await self._supply.take(_GRACE if self._is_silent else _LOOK_UP)
        except Exception as error:
            self._refuse(error)
            return None

    @contextmanager
    def _waits(self) -> Generator[None, None, None]:
        worker = asyncio.current_task()
        assert worker is not None  # only workers come here
        self._waiting.add(worker)
        try:
            yield
        finally:
            self._waiting.discard(worker)

    def _refuse(self, error: Exception) -> None:
        """Ends requests that have waited long enough for a connection, or all if there will not be one."""
        is_hopeless = self._is_silent or meaning_of(error) is Meaning.FINAL
        now = time.monotonic()
        for lane in (self._reads, self._writes):
            waiting = [request for request in lane if not request.is_claimed]
            lane.clear()
            for request in waiting:
                if not (is_hopeless or self._is_too_late(request, now)):
                    lane.append(request)
                elif request.claim():
                    self._end([request], error)

    # -- groups

    async def _run(self, connection: Connection, group: Group) -> None:
        """Carries out a group; if it does not raise, reads have their rows."""
        if not group:
            return
        started = time.monotonic()
        try:
            if group[0].errand is not None:
                await group[0].errand(connection)
            else:
                await self._run_watched(connection, group)
        finally:
            self._counters.seconds += time.monotonic() - started

    async def _run_watched(self, connection: Connection, group: Group) -> None:
        statements = [statement for request in group for statement in request.statements]
        deadline = max(request.asked_at for request in group) + self._limits.patience
        watch = Watch(connection, statements, self._limits.silence, deadline)
        try:
            answers = await run(connection, statements)
        except Error as error:
            if watch.verdict is None:
                raise
            if isinstance(watch.verdict, ServerSilentError):
                self._is_silent = True
                self._supply.doubt()
            raise watch.verdict from error
        finally:
            await watch.aclose()
        self._is_silent = False
        self._counters.transactions += 1
        self._counters.statements += len(statements)
        rest = iter(answers)
        for request in group:
            own = [next(rest) for _ in request.statements]
            if request.writes:
                self._count_written(request.statements)
            else:
                request.result = own[0]
                self._counters.rows_read += len(request.result)

    def _count_written(self, statements: Sequence[Statement]) -> None:
        for statement in statements:
            self._counters.rows_written += len(statement.rows)
            self._counters.bytes_written += size_of(statement.rows)

    def _fault(self, request: Request, error: Exception) -> Exception:
        """The error that the caller sees; one that is not the database's fault stays as it is."""
        if not isinstance(error, Error | SchemaError | UnicodeError | OverflowError):
            return error
        what = "write to" if request.writes else "read from"
        fault = self._limits.fault(f"{request.about}: cannot {what} {self._supply.name}: {described(error)}")
        fault.__cause__ = error
        return fault


def _order(request: Request) -> tuple[str, ...]:
    return request.order
