"""Statements that come again, prepared on a PostgreSQL connection, which spares the server most of its work.

Their names are made of their text, so whoever finds a name taken finds the same statement under it, behind
a pooler that gives every transaction another connection as well. If such a pooler does not keep them, that is
found out, and nothing is prepared there any more.
"""

from collections import Counter
from hashlib import blake2b
from typing import Any, NamedTuple, TypeAlias
from weakref import WeakKeyDictionary

from psycopg import AsyncConnection

Connection: TypeAlias = AsyncConnection[Any]

_MOST = 200
"""Statements that one connection keeps, at most; and those whose uses are counted."""


class Kind(NamedTuple):
    """What a prepared statement depends on."""

    sql: bytes
    types: tuple[int, ...]

    @property
    def name(self) -> bytes:
        return b"aiograph_" + blake2b(repr(self).encode(), digest_size=12).hexdigest().encode()


class Prepared:
    """What one connection has prepared."""

    def __init__(self) -> None:
        self.names: dict[Kind, bytes] = {}
        self._uses: Counter[Kind] = Counter()

    def is_due(self, kind: Kind, threshold: int) -> bool:
        """Whether a statement has been sent often enough; this is one more time."""
        if len(self._uses) >= _MOST:
            self._uses.clear()
        self._uses[kind] += 1
        return self._uses[kind] > threshold and len(self.names) < _MOST

    def note(self, kind: Kind) -> None:
        """Notes that a statement is prepared."""
        self.names[kind] = kind.name
        del self._uses[kind]

    def forget(self) -> None:
        """Takes it that nothing is prepared."""
        self.names.clear()
        self._uses.clear()


def prepared_on(connection: Connection) -> Prepared:
    """What a connection has prepared."""
    found = _by_connection.get(connection)
    if found is None:
        found = _by_connection[connection] = Prepared()
    return found


def give_up(connection: Connection) -> None:
    """Has nothing be prepared on a connection any more."""
    connection.prepare_threshold = None
    prepared_on(connection).forget()


_by_connection: WeakKeyDictionary[Connection, Prepared] = WeakKeyDictionary()
