"""The same bytes for all values that are equal but for the order of their dicts and sets. Pure.

What is stored keeps the order in which it was found, and describes a class where it meets the first of its
instances. A key must depend on neither.
"""

from typing import Any

from msgpack import ExtType, packb, unpackb  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._codecs import CONTAINERS
from aiograph.checkpoint.serde._encode import DEFINE, REFER

_SETS = frozenset({CONTAINERS[set].code, CONTAINERS[frozenset].code})
_DICT = 127
"""Stands for a dict in the result; nothing that is stored bears this code."""


def canonical(tag: str, blob: bytes) -> bytes:
    """What a typed blob says, told in one way; a blob of an unknown kind is told as it is."""
    if tag not in ("msgpack", "msgpack-rich"):
        return tag.encode() + b"\0" + blob
    classes: list[ExtType] = []

    def on_extension(code: int, data: bytes) -> ExtType:
        if code == REFER:
            return classes[int.from_bytes(data, "big")]
        extension = ExtType(code, data)
        if code == DEFINE:
            classes.append(extension)
        return extension

    value = unpackb(
        blob,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        ext_hook=on_extension,
        list_hook=_ordered,
        object_pairs_hook=_ordered_pairs,
    )
    return _packed(value)


def _packed(value: Any) -> bytes:
    return packb(value, unicode_errors="surrogatepass")  # type: ignore[no-any-return]  # bytes


def _ordered(items: list[Any]) -> list[Any]:
    head: Any = items[0] if items else None
    if isinstance(head, ExtType) and head.code in _SETS:
        return [head, *sorted(items[1:], key=_packed)]
    return items


def _ordered_pairs(pairs: list[tuple[Any, Any]]) -> ExtType:
    in_order = sorted((_packed(key), _packed(value)) for key, value in pairs)
    return ExtType(_DICT, b"".join(key + value for key, value in in_order))
