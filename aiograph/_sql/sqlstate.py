"""What errors of PostgreSQL mean: which pass, which concern the connection, what to tell people."""

import re
from enum import Enum, auto

from psycopg import Error, InterfaceError, OperationalError


class Meaning(Enum):
    """What to do about an error."""

    LOST = auto()
    """The connection is gone, or could not be made: another one may work."""
    COLLISION = auto()
    """The server has undone it because of what somebody else does: the same again may work."""
    FINAL = auto()
    """Doing the same again ends the same way."""


DIVISION_BY_ZERO = "22012"

LOST_PREPARED = frozenset(
    {
        "26000",  # there is no such prepared statement
        "42P05",  # there is one already
    }
)
"""A pooler does not keep prepared statements with their connection. Whoever prepares nothing gets through."""

_COLLISIONS = {
    "40001",  # serialization failure
    "40P01",  # deadlock
    *LOST_PREPARED,
}
_PASSING = {
    "53300",  # too many connections
    "57P01",  # the administrator has ended the connection
    "57P02",  # the server crashed
    "57P03",  # it starts or stops
    "57P05",  # the connection was idle for too long
}
_WORDS = {
    r"too many (clients|connections)|remaining connection slots|no more connections allowed": "53300",
    r"password authentication failed|no password supplied|no such user": "28P01",
    r"authentication failed|no pg_hba\.conf entry|is not permitted to log in": "28000",
    r'FATAL: +role ".*" does not exist': "28000",
    r'FATAL: +database ".*" does not exist|no such database': "3D000",
    r"permission denied for database": "42501",
}
"""Why servers and poolers refuse a connection: the client is told no code then, only words.

A server that speaks another language is not understood, and tried again like one that is not there.
"""

_PREPARED = "a pooler does not keep prepared statements: set prepare_threshold=None"
_HINTS = {
    "22P05": "use a database whose encoding is UTF8",
    "25006": "it is a standby, or was made read-only; connect to the primary server",
    "28000": "check the user, and the server's pg_hba.conf",
    "28P01": "check user and password",
    "3D000": "create it, or correct the address",
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


class UnansweredError(Error):
    """Nobody could tell whether the server still worked on something, for as long as one may wait."""


class NoConnectionError(Error):
    """There is no connection, and waiting for one will not help."""


def code_of(error: Error) -> str | None:
    """The SQLSTATE of an error, or what its words amount to if it was a connection that failed."""
    if error.sqlstate is not None or not isinstance(error, OperationalError):
        return error.sqlstate
    # several addresses may have been tried: a reason counts if it is that of all of them
    reasons = {_reason(each) for each in str(error).split("\n- ")}
    return reasons.pop() if len(reasons) == 1 else None


def _reason(words: str) -> str | None:
    return next((code for pattern, code in _WORDS.items() if re.search(pattern, words)), None)


def meaning_of(error: BaseException) -> Meaning:
    """What to do about an error, seen for itself."""
    if not isinstance(error, Error):
        return Meaning.FINAL
    code = code_of(error)
    if code in _COLLISIONS:
        return Meaning.COLLISION
    if code is None:
        # the client's own words: nothing was heard from the server, or not enough
        is_lost = isinstance(error, OperationalError | InterfaceError)
        return Meaning.LOST if is_lost else Meaning.FINAL
    is_passing = code in _PASSING or code.startswith("08")
    return Meaning.LOST if is_passing else Meaning.FINAL


def described(error: BaseException) -> str:
    """An error in one line, with what to do about it where that is known."""
    if not isinstance(error, Error):
        return _in_one_line(error)
    hint = _HINTS.get(code_of(error) or "")
    text = error.diag.message_primary or _in_one_line(error)
    return f"{text}; {hint}" if hint else text


def _in_one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
