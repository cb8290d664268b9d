"""What errors of PostgreSQL mean: which pass, which concern the connection, what to tell people."""

from enum import Enum, auto

from psycopg import Error, InterfaceError, OperationalError


class Meaning(Enum):
    """What to do about an error."""

    LOST = auto()
    """The connection is gone, or could not be made: another one may work."""
    COLLISION = auto()
    """The server has undone it in favour of somebody else: the same again may work."""
    FINAL = auto()
    """Doing the same again ends the same way."""


DIVISION_BY_ZERO = "22012"

_COLLISIONS = {
    "40001",  # serialization failure
    "40P01",  # deadlock
}
_PASSING = {
    "53300",  # too many connections
    "57P01",  # the administrator has ended the connection
    "57P02",  # the server crashed
    "57P03",  # it starts or stops
    "57P05",  # the connection was idle for too long
}
_PREPARED = "a pooler does not keep prepared statements: leave it at prepare_threshold=None"
_HINTS = {
    "25006": "it is a standby, or was made read-only; connect to the primary server",
    "3F000": "create the schema that search_path names first",
    "42501": "grant this user the right to it",
    "42703": "run setup() first",
    "42P01": "run setup() first",
    "53100": "the server's disk is full: make room, then resume",
    "53200": "the server has run out of memory",
    "53300": "lower max_size, raise the server's max_connections, or use a pooler",
    "55P03": "somebody else has held a lock all the while",
    "26000": _PREPARED,
    "42P05": _PREPARED,
    "57014": "raise the server's statement_timeout, or do less at a time",
}


class ServerSilentError(OperationalError):
    """The server has not answered in time: it hangs, or the network loses what is sent."""


class LockedError(Error):
    """Somebody else's lock was waited for, for as long as one may."""


class NoConnectionError(Error):
    """There is no connection, and waiting for one will not help."""


def meaning_of(error: BaseException) -> Meaning:
    """What to do about an error, seen for itself."""
    if not isinstance(error, Error):
        return Meaning.FINAL
    if error.sqlstate in _COLLISIONS:
        return Meaning.COLLISION
    if error.sqlstate is None:
        # the client's own words: nothing was heard from the server, or not enough
        is_lost = isinstance(error, OperationalError | InterfaceError)
        return Meaning.LOST if is_lost else Meaning.FINAL
    if error.sqlstate in _PASSING or error.sqlstate.startswith("08"):
        return Meaning.LOST
    return Meaning.FINAL


def described(error: BaseException) -> str:
    """An error in one line, with what to do about it where that is known."""
    primary = error.diag.message_primary if isinstance(error, Error) else None
    text = primary or " ".join(str(error).split()) or type(error).__name__
    hint = _HINTS.get(getattr(error, "sqlstate", None) or "")
    return f"{text}; {hint}" if hint else text
