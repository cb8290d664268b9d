"""Ids and wall-clock time: the one door they come in through, so that tests can hold them still.

Checkpoint ids are UUIDs of version 6 (RFC 9562): text that sorts by time of creation.
"""

import os
import time
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from threading import RLock

_GREGORIAN_OFFSET = 0x01B21DD213814000
"""100 ns intervals between 1582-10-15, where UUID time starts, and 1970-01-01."""

_lock = RLock()
"""Held while an id is made: no two of this process have the same time."""

_last = 0
"""The time in the id that was made last."""

_prefix = -1, ""
"""What ids begin with that are made within 410 us, and when that is."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_suffix = ""
"""What all ids of this process end in."""


def wall_ns() -> int:
    """Nanoseconds since 1970; tests replace it."""
    return time.time_ns()


def now_iso() -> str:
    """The current UTC time as ISO 8601 text."""
    return moment_of(wall_ns() // 1000).isoformat()


def microseconds(moment: datetime) -> int:
    """Since 1970, of an aware datetime: the scale on which checkpoints and filters compare."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(microseconds: int) -> datetime:
    """The time that a number of microseconds since 1970 stands for, in UTC."""
    return _EPOCH + microseconds * _MICROSECOND


def checkpoint_id(after: str | None = None) -> str:
    """A new time-ordered id that sorts after every id made here and after `after`.

    Should the clock stand still or run back, time is taken to have moved on by 100 ns.
    """
    global _last, _prefix
    with _lock:
        ticks = wall_ns() // 100 + _GREGORIAN_OFFSET
        least = _last + 1 if after is None else max(_last, _ticks_of(after)) + 1
        _last = ticks = least if ticks < least else ticks
        when, prefix = _prefix
        if when != ticks >> 12:
            prefix = f"{ticks >> 28:08x}-{ticks >> 12 & 0xFFFF:04x}-6"
            _prefix = ticks >> 12, prefix
    return f"{prefix}{ticks & 0xFFF:03x}{_suffix}"


def _ticks_of(checkpoint: str) -> int:
    """The time in a version 6 id; 0 for any other text."""
    digits = checkpoint.replace("-", "")
    if len(digits) != 32 or digits[12] != "6":
        return 0
    try:
        return int(digits[:12] + digits[13:16], 16)
    except ValueError:
        return 0


def random_id() -> str:
    """A new id that says nothing: a UUID of version 4."""
    bits = int.from_bytes(os.urandom(16), "big") & ~(0xF << 76 | 0x3 << 62) | 0x4 << 76 | 0x2 << 62
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def digest_id(parts: Iterable[str]) -> str:
    """A UUID-shaped id that depends on `parts` alone (BLAKE2b, 128 bits)."""
    text = blake2b("\0".join(parts).encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _draw() -> None:
    """Sets a process apart from all others."""
    global _lock, _suffix
    _lock = RLock()
    noise = int.from_bytes(os.urandom(8)) >> 2 | 1 << 63
    _suffix = f"-{noise >> 48:04x}-{noise & 0xFFFFFFFFFFFF:012x}"


_draw()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_draw)
