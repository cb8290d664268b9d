"""The place where a waiting thread serves synchronous node code of the call it waits for."""

import threading
from typing import Any

from aiograph import _threads

MAX_LEVEL = 8
"""Jobs served on one thread inside each other; deeper ones get a thread, and so a stack, of their own."""


class Seat:
    """Holds one job at a time for a thread that waits, or will soon wait again.

    Ctrl-C may strike between any two lines that run on the thread. So a job stays in its seat until the
    loop knows its outcome, and delivering it may be tried again.

    Args:
        level: How many jobs are served on the thread below this seat.
        is_open: Whether jobs are taken at all.
    """

    def __init__(self, level: int, *, is_open: bool) -> None:
        self._level = level
        self._is_open = is_open and level < MAX_LEVEL
        self._gate = threading.Lock()
        self._job: _threads.Job[Any] | None = None
        self._server: int | None = None
        """The thread that has begun to run the job."""

    # on the loop

    def take(self, job: _threads.Job[Any]) -> bool:
        """Takes a job, if the seat is open and free."""
        with self._gate:
            if not self._is_open or (self._job is not None and not self._job.ran):
                return False
            self._job, self._server = job, None
            return True

    def hand_over(self) -> None:
        """Closes the seat; a job that has not begun, but is still wanted, goes to another thread."""
        self.close()
        if self._job is not None and not self._job.has_begun:
            _threads.submit(self._job)

    # on the thread

    def open(self) -> None:
        """From now on jobs are taken."""
        self._is_open = self._level < MAX_LEVEL

    def serve(self) -> None:
        """Runs the job that was taken.

        Raises:
            KeyboardInterrupt: It struck the code, which has failed; but the whole call was meant.
        """
        if self._is_open and self._job is not None:
            error = self._run(self._job)
            if isinstance(error, KeyboardInterrupt):
                raise error

    def complete(self) -> None:
        """Delivers a job that Ctrl-C struck, on this very thread, between running and delivering it."""
        if self._job is not None and not self._job.ran and self._server == threading.get_ident():
            self._run(self._job)

    def _run(self, job: _threads.Job[Any]) -> BaseException | None:
        self._server = threading.get_ident()
        job.level, job.on_caller = self._level, True
        try:
            job.run()
        except KeyboardInterrupt as error:  # it struck just outside of the code
            job.error = error
            raise
        finally:
            outcome = job.error
            job.deliver()
        return outcome

    def close(self) -> None:
        """No job begins here any more."""
        with self._gate:
            self._is_open = False
