"""Requests to PostgreSQL that wait.

Reads and writes queue apart and take turns, so that neither waits for all of the other.
"""

import math
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from itertools import chain
from typing import Any, TypeAlias

from aiograph._sql.operation import Pending
from aiograph._sql.pipeline import Connection, Statement
from aiograph._sql.session import Row

_GROUP = 32
"""Requests that share a transaction, at most."""

MANY = 16
"""Requests from which on it does not pay to wait for more."""

_FEW = 8
"""Requests that are not worth a connection more."""


class Request(Pending[list[Row]]):
    """Statements that belong together."""

    __slots__ = (
        "after",
        "asked_at",
        "errand",
        "follower",
        "is_ahead",
        "is_alone",
        "losses",
        "order",
        "statements",
        "writes",
    )

    def __init__(
        self,
        about: object,
        statements: Sequence[Statement],
        *,
        writes: bool,
        order: tuple[str, ...] = (),
        after: "Request | None" = None,
        errand: Callable[[Connection], Coroutine[Any, Any, None]] | None = None,
    ) -> None:
        super().__init__(about)
        self.statements = statements
        self.writes = writes
        self.order = order
        self.after = after
        """A request that must not be carried out later, as long as it is not over."""
        self.follower: Request | None = None
        """The one that comes after this one."""
        self.is_ahead = False
        """Whether it was sent before its turn, which has not come since: that is under way, or has failed."""
        self.errand = errand
        """In place of statements: something that takes a connection, alone and for as long as it likes."""
        self.is_alone = errand is not None
        """Whether it must not share a transaction."""
        self.losses = 0
        """Connections that were lost under it."""
        self.asked_at = time.monotonic()


Group: TypeAlias = list[Request]
"""Requests that share a transaction."""

_Lane: TypeAlias = deque[Request]


class Queues:
    """What waits to be carried out."""

    def __init__(self) -> None:
        self._reads: _Lane = deque()
        self._writes: _Lane = deque()
        self._last: _Lane = self._reads
        """The queue that was served last."""

    def __len__(self) -> int:
        return len(self._reads) + len(self._writes)

    def add(self, request: Request) -> None:
        """Puts a request behind the others of its kind."""
        self._lane_of(request).append(request)

    def put_back(self, request: Request) -> None:
        """Puts a request before the others of its kind, as it has waited already."""
        request.unclaim()
        self._lane_of(request).appendleft(request)

    def share(self, hands: int) -> Group:
        """Takes out what one of the connections is to carry out, in the order that all keep to who lock rows.

        Args:
            hands: How many connections there are to do the same, this one among them.

        Returns:
            The requests, claimed; none if those whose turn it is have all been withdrawn.
        """
        lane = self._next()
        size = min(_GROUP, max(_FEW, math.ceil(len(lane) / hands)))
        group: Group = []
        while lane and len(group) < size and not (group and (lane[0].is_alone or group[0].is_alone)):
            request = lane.popleft()
            if request.claim():
                group.append(request)
        return sorted(group, key=_order)

    def sort_out(self, is_over: Callable[[Request], bool]) -> Group:
        """Takes out and claims those whose wait is over, and forgets those that have been withdrawn."""
        waiting = [request for request in chain(self._reads, self._writes) if not request.is_claimed]
        self._reads.clear()
        self._writes.clear()
        over = []
        for request in waiting:
            if is_over(request):
                over.append(request)
            else:
                self.add(request)
        return [request for request in over if request.claim()]

    def _lane_of(self, request: Request) -> _Lane:
        return self._writes if request.writes else self._reads

    def _next(self) -> _Lane:
        """The other queue than the last time, unless that is empty."""
        other = self._writes if self._last is self._reads else self._reads
        self._last = other or self._last
        return self._last


def _order(request: Request) -> tuple[str, ...]:
    return request.order
