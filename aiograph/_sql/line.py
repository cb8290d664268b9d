"""A connection to PostgreSQL in the hands of a dispatcher, which carries out one group after the other on it.

Where nobody else uses the connection, no task is made for that, and none is woken: the loop calls when the
server has answered, and goes on listening between two groups. So whoever waits for its group is the only one
to be woken, and a connection that ends while it is idle is known to be lost before it is used.

A second group may be sent behind the one that is under way: a transaction of its own, which the server begins
when it has ended the first, however that ends.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from psycopg import Error, OperationalError
from psycopg.abc import PQGen
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

from aiograph._sql.exchange import Message, Talk, Undone, answered, put
from aiograph._sql.pipeline import Connection, Statement, can_pipeline, cut, cut_if_stuck, run, verdict_on
from aiograph._sql.session import Row
from aiograph._sql.watch import Watch

Answers: TypeAlias = list[list[Row]]
"""By statement, its rows."""


class Tell(Protocol):
    """Is called by the loop once something is over, with its answers or what has undone it."""

    def __call__(self, answers: Answers, error: Exception | None) -> None: ...


@dataclass(slots=True)
class Job:
    """A group of statements, or an errand, on a connection."""

    statements: Sequence[Statement]
    deadline: float
    """On the monotonic clock: from then on, locks are not waited for."""
    tell: Tell
    """Called later, and once."""
    messages: Sequence[Message] = ()
    """What was sent."""


class Line:
    """A connection, from when it was taken until it is given back.

    Args:
        connection: Works, as far as one can know.
        silence: Seconds without an answer after which the server is asked about it.
        is_shared: Whether somebody else may use the connection meanwhile.
    """

    def __init__(self, connection: Connection, silence: float, *, is_shared: bool) -> None:
        self.connection = connection
        self.is_lost = False
        """Whether the connection has ended."""
        self.taken_at = self.began_at = time.monotonic()
        """When it was taken, and when its last work began."""
        self._watch = Watch(connection, silence)
        self._talk = None if is_shared or not can_pipeline(connection) else Talk(connection)
        self._now: Job | None = None
        """What is under way."""
        self._next: Job | None = None
        """What was sent behind it."""
        self._steps: PQGen[list[PGresult]] | None = None
        """What is to be done when the server has answered, if anything is."""
        self._listens_on: int | None = None
        self._is_writing = False
        self._task: asyncio.Task[Answers] | None = None

    def carry_out(self, job: Job) -> None:
        """Begins to carry out statements, all or none, and in order."""
        self._begin(job)
        if self._talk is None:
            self._become_task(run(self.connection, job.statements))
            return
        try:
            job.messages = self._talk.messages(job.statements)
            self.connection.pgconn.enter_pipeline_mode()
            put(self.connection.pgconn, job.messages)
            self._listen()
            self._await_answer()
        except Exception as error:
            self._steps = None
            asyncio.get_running_loop().call_soon(self._broken_off, error)

    def follow(self, job: Job) -> bool:
        """Sends statements behind those that are under way, if that can be done; whether it was."""
        if self._steps is None or self._next is not None or self._talk is None:
            return False
        pgconn = self.connection.pgconn
        try:
            messages = self._talk.messages(job.statements)
        except Exception:
            return False  # it will fail, and be told so, when its turn comes
        if any(message.prepares for message in messages):
            return False  # those under way may be preparing the same
        job.messages = messages
        self._next = job
        try:
            put(pgconn, messages)
            self._wait_for(Wait.RW if pgconn.flush() else Wait.R)
        except Error:
            # so that whoever waits for an answer finds out, even where the connection has closed its file
            cut(self.connection)
            asyncio.get_running_loop().call_soon(self._go_on, Ready.R)
        return True

    def run_errand(self, errand: Coroutine[Any, Any, None], tell: Tell) -> None:
        """Begins work that takes the connection for as long as it likes."""
        self._begin(Job((), 0.0, tell))
        self.hang_up()
        self._become_task(_without_answers(errand))

    def hang_up(self) -> None:
        """Has the loop listen no more: somebody else goes on with the connection."""
        self._watch.close()
        self._stop_listening()

    def _begin(self, job: Job) -> None:
        self._now = job
        self.began_at = time.monotonic()
        self._watch.begin(job.statements, job.deadline)

    # -- on the loop's call

    def _listen(self) -> None:
        if self._listens_on is None:
            self._listens_on = self.connection.fileno()
            asyncio.get_running_loop().add_reader(self._listens_on, self._go_on, Ready.R)

    def _stop_listening(self) -> None:
        # by its number, as the connection may have closed it by now; a loop that finds out forgets it
        if self._listens_on is not None:
            with suppress(OSError):
                self._wait_for(Wait.R)
            asyncio.get_running_loop().remove_reader(self._listens_on)
            self._listens_on = None

    def _wait_for(self, wanted: Wait) -> None:
        """Has the loop call when one can go on with sending as well, or no more."""
        is_writing = wanted is Wait.RW
        if is_writing is not self._is_writing and self._listens_on is not None:
            self._is_writing = is_writing
            loop = asyncio.get_running_loop()
            if is_writing:
                loop.add_writer(self._listens_on, self._go_on, Ready.W)
            else:
                loop.remove_writer(self._listens_on)

    def _await_answer(self) -> None:
        self._steps = answered(self.connection.pgconn)
        self._wait_for(next(self._steps))

    def _go_on(self, ready: Ready) -> None:
        if self._steps is None:
            return self._look_up()
        try:
            self._wait_for(self._steps.send(ready))
        except StopIteration as end:
            self._answered(end.value)
        except Exception as error:
            self._broken_off(error)

    def _look_up(self) -> None:
        """Takes in what an idle server has to say, which may be that it goes."""
        try:
            # the last words, and then the end
            self.connection.pgconn.consume_input()
            self.connection.pgconn.consume_input()
        except Error:
            self.is_lost = True
            self._stop_listening()

    def _answered(self, results: Sequence[PGresult]) -> None:
        assert self._talk is not None  # it has sent them
        assert self._now is not None
        self._steps = None
        try:
            if self._next is None:
                self.connection.pgconn.exit_pipeline_mode()
            answers = self._talk.answers(self._now.statements, self._now.messages, results)
        except Undone as undone:
            self._over([], verdict_on(self.connection, undone))
        except Exception as error:
            self._broken_off(error)
        else:
            self._over(answers, None)

    def _broken_off(self, error: Exception) -> None:
        self._steps = None
        self.is_lost = self.connection.closed or cut_if_stuck(self.connection)
        if self.is_lost:
            self._stop_listening()
        self._over([], error)

    # -- in a task

    def _become_task(self, work: Coroutine[Any, Any, Answers]) -> None:
        self._task = asyncio.get_running_loop().create_task(work)
        self._task.add_done_callback(self._task_ended)

    def _task_ended(self, task: "asyncio.Task[Answers]") -> None:
        self._task = None
        if task.cancelled():
            # the loop is being shut down: those who wait on it are cancelled too, but not those elsewhere
            self._over([], OperationalError("the event loop has ended"))
            return
        error = task.exception()
        if error is None:
            self._over(task.result(), None)
        else:
            self._over([], error if isinstance(error, Exception) else OperationalError(repr(error)))

    # -- the end of something

    def _over(self, answers: Answers, error: Exception | None) -> None:
        inquiry = self._watch.end()
        if inquiry is not None:
            inquiry.add_done_callback(lambda _: self._over(answers, error))
            return
        assert self._now is not None
        tell, following = self._now.tell, self._next
        self._now = self._next = None
        verdict = self._watch.verdict
        if verdict is not None and isinstance(error, Error):
            verdict.__cause__ = error
            error = verdict
        tell(answers, error)
        if following is not None:
            self._take_up(following)

    def _take_up(self, following: Job) -> None:
        """Waits for the answer to what was sent behind something that is over."""
        self._begin(following)
        if self.is_lost:
            return self._over([], OperationalError("the connection has ended"))
        try:
            self._await_answer()
        except StopIteration as end:  # it has come together with the one before
            self._answered(end.value)
        except Exception as broken:
            self._broken_off(broken)


async def _without_answers(errand: Coroutine[Any, Any, None]) -> Answers:
    await errand
    return []
