"""How much one blob may ask of the machine that reads it, whoever has written it.

A blob of a few hundred kilobytes can stand for gigabytes of empty dicts, for keys that all have the same
hash, or for patterns that take minutes to compile. What is read in ordinary time and memory is left alone:
`is_suspect` looks at the bytes, at half a nanosecond for each, and only suspects are counted.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgpack  # type: ignore[import-untyped]  # has no annotations

_HEADERS = bytes([*range(0x80, 0xA0), *range(0xDC, 0xE0)])
"""Bytes that may begin a list or a dict; they occur in text and numbers as well."""

_EXTENSIONS = bytes([*range(0xC7, 0xCA), *range(0xD4, 0xD9)])
"""Bytes that may begin an extension."""

_MANY_BYTES = 2**20
_MANY_CONTAINERS = 400_000
_BYTES_EACH = 24
"""A blob may hold so many containers; a larger one also one for every 24 of its bytes."""

_KEY_BYTES = 2**15
_MANY_KEYS = 2_000
"""Strings are hashed with a secret, and small numbers hardly collide: it takes extensions to forge hashes."""

_FEW_KEYS = 200
_COLLISIONS = 100
"""Of more than 200 keys 100 may have the hash of another one; what is left to compare takes milliseconds."""

MAX_PATTERN_COST = 50_000
"""What the regular expressions of a blob may cost: about a second of compiling, at worst."""

_RANGE_COST = 300
"""`[x-y]` may cover all of Unicode, which takes milliseconds."""


class OverBudget(ValueError):
    """A blob asks for more than any value that was stored needs."""


def is_suspect(data: bytes) -> bool:
    """Whether reading the bytes may cost more than is usual for so many."""
    size = len(data)
    return size > _KEY_BYTES and (
        _occurrences(data, _EXTENSIONS) > _MANY_KEYS
        or (size > _MANY_BYTES and _occurrences(data, _HEADERS) > _allowed_containers(size))
    )


def check_written(data: bytes) -> None:
    """Refuses bytes that could not be read back.

    Raises:
        OverBudget: They hold too many lists and dicts.
    """
    size = len(data)
    if size > _MANY_BYTES and _occurrences(data, _HEADERS) > _allowed_containers(size):
        count = Budget(size).count
        msgpack.unpackb(data, strict_map_key=False, unicode_errors="surrogatepass", ext_hook=_no_extension,
                        list_hook=count, object_pairs_hook=count)  # fmt: skip


def pattern_cost(pattern: "str | bytes") -> int:
    """What compiling a regular expression may cost at worst; a unit is some microseconds."""
    ranges = pattern.count("-") if isinstance(pattern, str) else 0
    return 1 + len(pattern) + _RANGE_COST * ranges


class Budget:
    """What is left of the containers that one blob may hold."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = _allowed_containers(size)

    def count(self, container: object = None) -> None:
        """Counts a container; a blob with too many of them is refused.

        Raises:
            OverBudget: There are too many.
        """
        self._left -= 1
        if self._left < 0:
            raise OverBudget("it holds too many lists and dicts for its size")

    def mapping(self, pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
        """The dict of these pairs.

        Raises:
            OverBudget: There are too many containers, or the keys were made to collide.
        """
        self.count()
        check_keys([key for key, _ in pairs])
        return dict(pairs)

    def counting(self, then: Callable[[list[Any]], Any] | None) -> Callable[[list[Any]], Any]:
        """A hook for lists that counts each before it hands it on."""

        def hook(items: list[Any]) -> Any:
            self.count()
            return items if then is None else then(items)

        return hook


def check_keys(keys: Sequence[Any]) -> None:
    """Refuses keys that were made to have the same hash: to insert them takes the square of their number.

    Raises:
        OverBudget: Too many of them collide.
    """
    if len(keys) > _FEW_KEYS and len(keys) - len(set(map(hash, keys))) > _COLLISIONS:
        raise OverBudget("its keys have too few different hashes")


def _allowed_containers(size: int) -> int:
    return max(_MANY_CONTAINERS, size // _BYTES_EACH)


def _occurrences(data: bytes, of: bytes) -> int:
    return len(data) - len(data.translate(None, of))


def _no_extension(code: int, data: bytes) -> None:
    return None
