"""The table of built-in values that msgpack itself does not know, and the codes they are stored under.

To store one more built-in type, add a row to `SCALARS` or to `CONTAINERS`. A code, once released, keeps
its meaning for ever.
"""

import re
import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from fractions import Fraction
from functools import cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, NamedTuple
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo, available_timezones

from aiograph.checkpoint.serde._budget import check_keys

__all__ = ["CONTAINERS", "PATTERN", "SCALARS", "Bytearray", "Container", "Scalar", "Unfit"]


class Unfit(Exception):
    """A value of a known type has a part that cannot be stored. `args[0]` is the reason."""


class Bytearray(bytearray):
    """Stands in for a `bytearray`, which msgpack would store as `bytes`."""


class Scalar(NamedTuple):
    """A type whose values become a few bytes."""

    code: int
    """1 to 31."""
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


class Container(NamedTuple):
    """A type whose values hold other values."""

    code: int
    """32 to 63."""
    parts: Callable[[Any], Iterable[Any]]
    build: Callable[[list[Any]], Any]
    first_item: int = 0
    """How many parts come before the items, for paths in messages."""


# -- numbers and ids


def _encode_int(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 8) // 8, "big", signed=True)


def _decode_int(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


def _decode_uuid(data: bytes) -> UUID:
    """As `UUID(bytes=data)`, in a third of the time."""
    if len(data) != 16:
        raise ValueError("a UUID has 16 bytes")
    value = object.__new__(UUID)
    _set_uuid_int(value, int.from_bytes(data, "big"))
    _set_uuid_safety(value, _UNKNOWN)
    return value


# past `UUID.__setattr__`, which refuses
_set_uuid_int = UUID.__dict__["int"].__set__
_set_uuid_safety = UUID.__dict__["is_safe"].__set__
_UNKNOWN = SafeUUID.unknown


_COMPLEX = struct.Struct(">dd")


def _encode_complex(value: complex) -> bytes:
    return _COMPLEX.pack(value.real, value.imag)


def _decode_complex(data: bytes) -> complex:
    return complex(*_COMPLEX.unpack(data))


# -- text of one kind or another


def _as_text(read: Callable[[str], Any]) -> tuple[Callable[[Any], bytes], Callable[[bytes], Any]]:
    """How a value is stored that its text tells in full."""
    return (
        lambda value: str(value).encode("utf-8", "surrogatepass"),
        lambda data: read(data.decode("utf-8", "surrogatepass")),
    )


def _here(path: type[PurePath], pure: type[PurePath]) -> type[PurePath]:
    """The class of paths that may exist, or on a system that has no such paths, the pure one."""
    return path if isinstance(Path(), path) else pure


# -- time: ISO 8601; a fold is a trailing "~"; a named zone follows in brackets, as in RFC 9557:
#    "2026-01-31T08:00:00[Europe/Berlin]", and a name given to a fixed offset as "…+01:00[=CET]"


@cache
def _known_zones() -> frozenset[str]:
    """The zones that may be loaded by name; a name in a stored row must not lead to any other file."""
    return frozenset(available_timezones())


@cache
def _zone(key: str) -> ZoneInfo:
    """Kept for ever, being few: to load one again and again is what a row could ask for."""
    if key not in _known_zones():
        raise ValueError(f"time zone {key!r} is not known on this machine")
    return ZoneInfo(key)


def _zone_key(zone: ZoneInfo) -> str:
    if zone.key not in _known_zones():
        raise Unfit(f"the time zone {zone!r} has no name that could be looked up later")
    return zone.key


def _zone_text(value: "datetime | time") -> str:
    """What is to be told of a zone besides its offset."""
    zone = value.tzinfo
    if zone is None or zone is UTC:
        return ""
    if type(zone) is timezone:
        given = zone.__getinitargs__()  # type: ignore[attr-defined]  # what pickle and copy use
        return f"[={given[1]}]" if len(given) > 1 else ""
    if type(zone) is ZoneInfo:
        return f"[{_zone_key(zone)}]"
    raise Unfit(f"its tzinfo is a {type(zone).__module__}.{type(zone).__qualname__}; use zoneinfo.ZoneInfo")


def _encode_moment(value: "datetime | time") -> bytes:
    if (value.tzinfo is None or value.tzinfo is UTC) and not value.fold:
        return value.isoformat().encode()
    zone = _zone_text(value)
    has_key = zone != "" and zone[1] != "="
    text = (value.replace(tzinfo=None) if has_key else value).isoformat()
    fold = "~" if value.fold else ""
    return f"{text}{fold}{zone}".encode("utf-8", "surrogatepass")


def _moment_decoder(read: Callable[[str], Any]) -> Callable[[bytes], Any]:
    def decode(data: bytes) -> Any:
        if data[-1] not in b"]~":
            return read(data.decode())
        text, bracket, zone = data.decode("utf-8", "surrogatepass").partition("[")
        value = read(text.removesuffix("~")).replace(fold=int(text.endswith("~")))
        if not bracket:
            return value
        return value.replace(tzinfo=_named_zone(value, zone.removesuffix("]")))

    return decode


def _named_zone(value: "datetime | time", zone: str) -> tzinfo:
    if not zone.startswith("="):
        return _zone(zone)
    offset = value.utcoffset()
    if offset is None:
        raise ValueError("a named offset without an offset")
    return timezone(offset, zone[1:])


_DURATION = struct.Struct(">iii")


def _encode_duration(value: timedelta) -> bytes:
    return _DURATION.pack(value.days, value.seconds, value.microseconds)


def _decode_duration(data: bytes) -> timedelta:
    return timedelta(*_DURATION.unpack(data))


def _encode_offset(value: timezone) -> bytes:
    offset, *name = value.__getinitargs__()  # type: ignore[attr-defined]  # what pickle and copy use
    text = "=" + name[0] if name else ""
    return _encode_duration(offset) + text.encode("utf-8", "surrogatepass")


def _decode_offset(data: bytes) -> timezone:
    offset, name = _decode_duration(data[:12]), data[12:].decode("utf-8", "surrogatepass")
    return timezone(offset, name[1:]) if name else timezone(offset)


# -- containers


def _itself(value: Any) -> Any:
    return value


def _build_set(parts: list[Any]) -> set[Any]:
    check_keys(parts)
    return set(parts)


def _deque_parts(value: "deque[Any]") -> list[Any]:
    return [value.maxlen, *value]


def _build_deque(parts: list[Any]) -> "deque[Any]":
    return deque(parts[1:], parts[0])


def _build_fraction(parts: list[Any]) -> Fraction:
    """Without `Fraction(...)`, which looks for a common divisor: of long numbers, that takes minutes."""
    numerator, denominator = parts
    if type(numerator) is not int or type(denominator) is not int or denominator < 1:
        raise ValueError("a fraction is two whole numbers, of which the second is positive")
    value = object.__new__(Fraction)
    _set_numerator(value, numerator)
    _set_denominator(value, denominator)
    return value


_set_numerator = Fraction.__dict__["_numerator"].__set__
_set_denominator = Fraction.__dict__["_denominator"].__set__


def _build_indices(cls: Callable[..., Any], kinds: tuple[type, ...]) -> Callable[[list[Any]], Any]:
    def build(parts: list[Any]) -> Any:
        if not all(isinstance(part, kinds) for part in parts):
            raise TypeError("a range or a slice is made of whole numbers")
        start, stop, step = parts
        return cls(start, stop, step)

    return build


def _slice_parts(value: slice) -> list[Any]:
    parts = [value.start, value.stop, value.step]
    if not all(isinstance(part, int | None) for part in parts):
        raise Unfit("it is a slice of something else than whole numbers")
    return parts


_PATTERN_FLAGS = re.ASCII | re.IGNORECASE | re.LOCALE | re.MULTILINE | re.DOTALL | re.VERBOSE | re.UNICODE


def _pattern_parts(value: "re.Pattern[Any]") -> list[Any]:
    if not isinstance(value.pattern, str | bytes) or value.flags & ~_PATTERN_FLAGS:
        raise Unfit("it is a regular expression of an unusual kind")
    return [value.pattern, value.flags]


def _build_pattern(parts: list[Any]) -> "re.Pattern[Any]":
    pattern, flags = parts
    if not isinstance(pattern, str | bytes) or type(flags) is not int or flags & ~_PATTERN_FLAGS:
        raise ValueError("a regular expression is text and flags")
    return re.compile(pattern, flags)


PATTERN = 39
"""The code of regular expressions, of which a blob may hold only so many."""

SCALARS: Mapping[type, Scalar] = {
    int: Scalar(1, _encode_int, _decode_int),  # those of more than 64 bits
    Bytearray: Scalar(2, bytes, bytearray),
    datetime: Scalar(3, _encode_moment, _moment_decoder(datetime.fromisoformat)),
    date: Scalar(4, lambda day: day.isoformat().encode(), lambda data: date.fromisoformat(data.decode())),
    time: Scalar(5, _encode_moment, _moment_decoder(time.fromisoformat)),
    timedelta: Scalar(6, _encode_duration, _decode_duration),
    UUID: Scalar(7, lambda value: value.int.to_bytes(16, "big"), _decode_uuid),
    Decimal: Scalar(8, lambda value: str(value).encode(), lambda data: Decimal(data.decode())),
    timezone: Scalar(9, _encode_offset, _decode_offset),
    ZoneInfo: Scalar(10, lambda zone: _zone_key(zone).encode(), lambda data: _zone(data.decode())),
    complex: Scalar(11, _encode_complex, _decode_complex),
    PurePosixPath: Scalar(12, *_as_text(PurePosixPath)),
    PosixPath: Scalar(13, *_as_text(_here(PosixPath, PurePosixPath))),
    PureWindowsPath: Scalar(14, *_as_text(PureWindowsPath)),
    WindowsPath: Scalar(15, *_as_text(_here(WindowsPath, PureWindowsPath))),
    IPv4Address: Scalar(16, *_as_text(IPv4Address)),
    IPv4Interface: Scalar(17, *_as_text(IPv4Interface)),
    IPv4Network: Scalar(18, *_as_text(IPv4Network)),
    IPv6Address: Scalar(19, *_as_text(IPv6Address)),
    IPv6Interface: Scalar(20, *_as_text(IPv6Interface)),
    IPv6Network: Scalar(21, *_as_text(IPv6Network)),
    # 23 and 24: arrays and scalars of numpy, see `_arrays`
}

CONTAINERS: Mapping[type, Container] = {
    tuple: Container(32, _itself, tuple),
    set: Container(33, _itself, _build_set),
    frozenset: Container(34, _itself, lambda parts: frozenset(_build_set(parts))),
    deque: Container(35, _deque_parts, _build_deque, first_item=1),
    Fraction: Container(36, lambda value: (value.numerator, value.denominator), _build_fraction),
    range: Container(37, lambda value: (value.start, value.stop, value.step), _build_indices(range, (int,))),
    slice: Container(38, _slice_parts, _build_indices(slice, (int, type(None)))),
    re.Pattern: Container(PATTERN, _pattern_parts, _build_pattern),
}
