"""What a saver has done, in numbers."""

import threading
from typing import NamedTuple


class Statistics(NamedTuple):
    """What a saver has done since it was made."""

    puts: int
    """Checkpoints that were stored, including repetitions."""
    gets: int
    """Checkpoints that were asked for, singly."""
    cached_gets: int = 0
    """Those of them whose values did not have to be fetched."""
    bytes_written: int = 0
    """Bytes that were bound to statements."""
    seconds: float = 0.0
    """Spent by the database and on the way there, added up over connections."""
    retries: int = 0
    """Attempts that were repeated, as a lock was held or a connection lost."""


class Tally:
    """Counts, from any thread."""

    __slots__ = ("_lock", "cached_gets", "gets", "puts")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.puts = self.gets = self.cached_gets = 0

    def put(self) -> None:
        with self._lock:
            self.puts += 1

    def get(self, *, cached: bool = False) -> None:
        with self._lock:
            self.gets += 1
            self.cached_gets += cached
