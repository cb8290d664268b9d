"""The connections to PostgreSQL that carry out what is asked for: all on one loop.

There is no lock. Who asks while nothing is under way is served at once, by a connection that is at hand. Else
a connection takes its share of what is queued by then, and carries that out as one transaction in one round
trip. If the group fails each request is tried alone, so that nobody pays for another's fault. What a lost
connection has interrupted goes back to the head of its queue.

A request that comes after another one is sent behind it on the same connection, as a transaction of its own,
if nobody else waits; else it is queued when that is over. If both fail, nobody knows whether the second has
failed by its own fault, so it is tried again.
"""

import asyncio
import math
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, NamedTuple

from psycopg import Error

from aiograph._sql.line import Answers, Job, Line
from aiograph._sql.migrate import SchemaError
from aiograph._sql.pipeline import Statement
from aiograph._sql.queues import MANY, Group, Queues, Request
from aiograph._sql.session import Counters, size_of
from aiograph._sql.sqlstate import Meaning, ServerSilentError, described, meaning_of
from aiograph._sql.supply import Supply

_LOOK_UP = 1.0
"""Seconds after which a wait for a connection looks up, to see whether anybody still wants it."""

_GRACE = 2.0
"""Seconds within which another connection has to be there after one was silent for too long."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0
"""Seconds before interrupted requests are tried again."""


class Limits(NamedTuple):
    """How long things may take, and what is raised after that."""

    patience: float
    """Seconds from asking, after which a request is not tried again."""
    silence: float
    """Seconds without an answer after which a connection is given up, unless the server works for it."""
    fault: Callable[[str], Exception]


class Dispatcher:
    """Queues, and as many lines as there is work for, up to the number of connections."""

    def __init__(self, supply: Supply, limits: Limits, counters: Counters) -> None:
        self._supply = supply
        self._limits = limits
        self._counters = counters
        self._queues = Queues()
        self._busy: dict[Line, Group] = {}
        """Lines with what is under way on them."""
        self._idle: list[Line] = []
        self._leaving: set[Line] = set()
        """Lines whose connections are being given back."""
        self._seeker: asyncio.Task[None] | None = None
        """Waits for a connection more."""
        self._chores: set[asyncio.Task[None]] = set()
        self._is_due = False
        """Whether the loop will have what is queued be dealt out."""
        self._rests = 0
        """Pauses after failures, which are not over."""
        self._pause = _FIRST_PAUSE
        self._tidying: asyncio.TimerHandle | None = None
        self._stir: asyncio.Future[None] | None = None
        """Waited for while the rest is carried out; done when something has changed."""
        self._is_silent = False
        """Whether a server has not answered, and none has since."""

    def submit(self, request: Request) -> None:
        """Has a request carried out: at once if there are no others, else once the loop has come round.

        That may take a while, if it is many runs that it has to go through. So the server is given something
        to do whenever enough has gathered.
        """
        if request.after is None or request.after.is_over:
            self._enqueue(request)
        else:
            self._send_behind(request.after, request)

    def _enqueue(self, request: Request) -> None:
        self._queues.add(request)
        is_first = not self._busy and not self._is_due
        if is_first or len(self._queues) >= MANY:
            self._deal()
        else:
            self._deal_soon()

    async def aclose(self) -> None:
        """Waits for what was asked before, and gives up the connections."""
        while self._busy or self._chores or self._seeker is not None or self._queues:
            self._stir = asyncio.get_running_loop().create_future()
            await self._stir
        if self._tidying is not None:
            self._tidying.cancel()
        await self._wind_up(self._take_leave(math.inf), [])
        await self._supply.aclose()

    # -- dealing out

    def _deal_soon(self) -> None:
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._deal)

    def _deal(self) -> None:
        """Gives idle lines their share of what is queued; if that does not do, seeks a connection more."""
        self._is_due = False
        while self._idle and self._queues and not self._rests:
            line = self._idle.pop()
            if line.is_lost:
                self._do(self._wind_up([self._leave(line)], []))
            else:
                self._employ(line)
        if self._queues and not self._rests:
            self._seek()

    def _employ(self, line: Line) -> None:
        """Gives a line its share of what is queued, if anything is."""
        while self._queues:
            group = self._queues.share(self._supply.size - len(self._busy))
            if group:
                self._begin(line, group)
                return
        self._idle.append(line)
        if self._tidying is None:
            self._tidying = asyncio.get_running_loop().call_later(self._supply.term, self._tidy)

    def _begin(self, line: Line, group: Group) -> None:
        self._busy[line] = group
        errand = group[0].errand
        if errand is not None:
            line.run_errand(errand(line.connection), partial(self._conclude, line, group))
        else:
            line.carry_out(self._job(line, group))

    def _job(self, line: Line, group: Group) -> Job:
        statements = [statement for request in group for statement in request.statements]
        deadline = max(request.asked_at for request in group) + self._limits.patience
        return Job(statements, deadline, partial(self._conclude, line, group))

    def _send_behind(self, first: Request, request: Request) -> None:
        """Has a request wait for the end of another: at the server, if nobody else wants the connection."""
        if first.follower is not None:
            raise RuntimeError(f"{request.about}: something else follows {first.about} already")
        first.follower = request
        line = next((line for line, group in self._busy.items() if group == [first]), None)
        if line is None or self._queues or self._is_due_back(line) or not request.claim():
            return
        if line.follow(self._job(line, [request])):
            self._busy[line] = [first, request]
            request.is_ahead = True
        else:
            request.unclaim()

    def _conclude(self, line: Line, group: Group, answers: Answers, error: Exception | None) -> None:
        """Takes in what came of a group. Those who wait for it are told when nothing is left behind by it."""
        under_way = self._busy.pop(line)[len(group) :]
        if under_way:
            self._busy[line] = under_way
            under_way[0].is_ahead = error is not None
        self._counters.seconds += time.monotonic() - line.began_at
        if error is None:
            self._take_in(group, answers)
        is_good = error is None or self._settle(group, error)
        ended = [request for request in group if request.is_claimed]
        is_over = not under_way
        leaving: list[Line] = []
        if is_over and (not is_good or line.is_lost or self._is_due_back(line)):
            leaving.append(self._leave(line))
        elif is_over:
            self._employ(line)
        if not is_good and self._queues:
            self._rest()
        if leaving or (self._seeker is not None and not self._queues):
            self._do(self._wind_up(leaving, ended))
        else:
            self._finish(ended)
            self._notice()

    def _finish(self, group: Group) -> None:
        """Tells those who wait for requests, and has those that come after them carried out."""
        for request in group:
            request.finish()
            request.after = None
            if request.follower is not None and not request.follower.is_claimed:
                self._enqueue(request.follower)

    def _is_due_back(self, line: Line) -> bool:
        return time.monotonic() >= line.taken_at + self._supply.term

    def _take_in(self, group: Group, answers: Answers) -> None:
        self._is_silent = False
        self._pause = _FIRST_PAUSE
        if group[0].errand is not None:
            return
        self._counters.transactions += 1
        self._counters.statements += len(answers)
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

    def _rest(self) -> None:
        """Has idle lines wait before they try again what has failed."""
        self._counters.retries += 1
        self._rests += 1
        pause = self._pause * random.uniform(0.5, 1.0)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE)
        asyncio.get_running_loop().call_later(pause, self._end_rest)

    def _end_rest(self) -> None:
        self._rests -= 1
        self._deal()
        self._notice()

    def _settle(self, group: Group, error: Exception) -> bool:
        """Decides what becomes of a group that has failed; whether the connection was good for it.

        Those that are tried again are not claimed any more.
        """
        meaning = meaning_of(error)
        if isinstance(error, ServerSilentError):
            self._is_silent = True
            self._supply.doubt()
            self._do(self._wind_up(self._take_leave(math.inf), []))
        if group[0].is_ahead:
            self._bring_back(group[0])
            return meaning is Meaning.FINAL
        if meaning is Meaning.FINAL and len(group) == 1:
            self._fail(group, error)
            return True
        now = time.monotonic()
        for request in reversed(group):
            request.losses += meaning is Meaning.LOST
            # what has cost two connections may be what costs them
            request.is_alone |= meaning is Meaning.FINAL or request.losses > 1
            if meaning is not Meaning.FINAL and self._is_too_late(request, now):
                self._fail([request], error)
            else:
                self._queues.put_back(request)
        return meaning is Meaning.FINAL

    def _bring_back(self, request: Request) -> None:
        """Has a request that was sent ahead wait for its turn."""
        request.is_ahead = False
        if request.after is None or request.after.is_over:
            self._queues.put_back(request)
        else:
            request.unclaim()

    def _is_too_late(self, request: Request, now: float) -> bool:
        return request.is_abandoned or now >= request.asked_at + self._limits.patience

    def _fail(self, group: Group, error: Exception) -> None:
        for request in group:
            request.error = self._fault(request, error)

    # -- connections

    def _seek(self) -> None:
        """Sees to it that somebody waits for a connection more, as long as there may be more."""
        if self._seeker is None and self._out < self._supply.size:
            self._seeker = asyncio.get_running_loop().create_task(self._find())
            self._seeker.add_done_callback(self._found)

    @property
    def _out(self) -> int:
        return len(self._busy) + len(self._idle) + len(self._leaving)

    async def _find(self) -> None:
        while self._queues and self._out < self._supply.size:
            try:
                connection = await self._supply.take(_GRACE if self._is_silent else _LOOK_UP)
            except Exception as error:
                self._refuse(error)
            else:
                self._employ(Line(connection, self._limits.silence, is_shared=self._supply.is_shared))

    def _found(self, seeker: "asyncio.Task[None]") -> None:
        self._seeker = None
        self._deal()
        self._notice()

    def _refuse(self, error: Exception) -> None:
        """Ends requests that have waited long enough for a connection, or all if there will not be one."""
        is_hopeless = self._is_silent or meaning_of(error) is Meaning.FINAL
        now = time.monotonic()
        refused = self._queues.sort_out(lambda request: is_hopeless or self._is_too_late(request, now))
        self._fail(refused, error)
        self._finish(refused)

    def _tidy(self) -> None:
        """Gives back idle connections whose term is over."""
        self._tidying = None
        leaving = self._take_leave(time.monotonic() - self._supply.term)
        if leaving:
            self._do(self._wind_up(leaving, []))
        if self._idle:
            self._tidying = asyncio.get_running_loop().call_later(self._supply.term, self._tidy)

    def _take_leave(self, latest: float) -> list[Line]:
        """Idle lines that were taken by then; they are no more."""
        leaving = [self._leave(line) for line in self._idle if line.taken_at <= latest]
        self._idle = [line for line in self._idle if line not in self._leaving]
        return leaving

    def _leave(self, line: Line) -> Line:
        line.hang_up()
        self._leaving.add(line)
        return line

    async def _wind_up(self, leaving: Sequence[Line], ended: Group) -> None:
        """Gives back connections, and the search for more if nobody needs them, before some are told."""
        try:
            if self._seeker is not None and not self._queues:
                self._seeker.cancel()
                await asyncio.wait([self._seeker])
            for line in leaving:
                await self._supply.give_back(line.connection)
                self._leaving.discard(line)
        finally:
            self._leaving.difference_update(leaving)
            self._finish(ended)
        self._deal()

    def _do(self, chore: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(chore)
        self._chores.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: "asyncio.Task[None]") -> None:
        self._chores.discard(task)
        self._notice()

    def _notice(self) -> None:
        if self._stir is not None and not self._stir.done():
            self._stir.set_result(None)

    def _fault(self, request: Request, error: Exception) -> Exception:
        """The error that the caller sees; one that is not the database's fault stays as it is."""
        if not isinstance(error, Error | SchemaError | UnicodeError | OverflowError):
            return error
        what = "write to" if request.writes else "read from"
        fault = self._limits.fault(f"{request.about}: cannot {what} {self._supply.name}: {described(error)}")
        fault.__cause__ = error
        return fault
