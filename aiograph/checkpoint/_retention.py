"""How much of its past a thread keeps."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple


class Retention(NamedTuple):
    """Which checkpoints of a thread are kept, in each of its namespaces; the newest one always is.

    Of the others, those that are beyond either limit go.
    """

    keep_last: int | None = None
    """At most this many, the newest ones."""
    max_age: timedelta | None = None
    """None that were made longer ago."""

    def checked(self) -> "Retention":
        """Itself.

        Raises:
            ValueError: A limit makes no sense, or there is none.
        """
        if self.keep_last is None and self.max_age is None:
            raise ValueError("a Retention needs a limit: keep_last, max_age or both")
        if self.keep_last is not None and self.keep_last < 1:
            raise ValueError(f"keep_last must be at least 1, not {self.keep_last}")
        if self.max_age is not None and self.max_age < timedelta(0):
            raise ValueError(f"max_age must not be negative: {self.max_age}")
        return self

    def oldest(self) -> datetime | None:
        """The time before which nothing is kept, in UTC."""
        return None if self.max_age is None else datetime.now(UTC) - self.max_age
