"""The table of built-in values that msgpack itself does not know, and the codes they are stored under.

To store one more built-in type, add a row to `SCALARS` or to `CONTAINERS`. A code, once released, keeps
its meaning for ever.
"""

import struct
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple
from uuid import UUID, SafeUUID
from zoneinfo import ZoneInfo, available_timezones

__all__ = ["CONTAINERS", "SCALARS", "Bytearray", "Container", "Scalar", "Unfit"]


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


# -- time: ISO 8601; a fold is a trailing "~"; a named zone follows in brackets, as in RFC 9557:
#    "2026-01-31T08:00:00[Europe/Berlin]", and a name given to a fixed offset as "…+01:00[=CET]"


@cache
def _known_zones() -> frozenset[str]:
    """The zones that may be loaded by name; a name in a stored row must not lead to any other file."""
    return frozenset(available_timezones())


def _zone(key: str) -> ZoneInfo:
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
        text = data.decode("utf-8", "surrogatepass")
        if text[-1:] not in ("]", "~"):
            return read(text)
        text, bracket, zone = text.partition("[")
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


def _deque_parts(value: "deque[Any]") -> list[Any]:
    return [value.maxlen, *value]


def _build_deque(parts: list[Any]) -> "deque[Any]":
    return deque(parts[1:], parts[0])


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
}

CONTAINERS: Mapping[type, Container] = {
    tuple: Container(32, _itself, tuple),
    set: Container(33, _itself, set),
    frozenset: Container(34, _itself, frozenset),
    deque: Container(35, _deque_parts, _build_deque, first_item=1),
}
