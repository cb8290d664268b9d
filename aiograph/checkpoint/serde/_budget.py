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
_MUCH = 600_000
_BYTES_EACH = 16
"""The objects of a blob may weigh so much; those of a larger one also 1 for every 16 of its bytes."""

_WEIGHTS = {32: 0, 35: 8, **dict.fromkeys((*range(12, 22), 64, 65), 2)}
"""By extension code, what an object weighs beside the list of its parts, which weighs 1: a tuple nothing,
a deque as much as 8 dicts, paths, addresses and instances 2, and everything else 1."""

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
    if size <= _KEY_BYTES or (size <= _MANY_BYTES and not any(map(data.__contains__, _EXTENSIONS))):
        return False
    extensions = _occurrences(data, _EXTENSIONS)
    return extensions > _MANY_KEYS or (size > _MANY_BYTES and _may_be_heavy(data, extensions))


def check_written(data: bytes) -> None:
    """Refuses bytes that could not be read back.

    Raises:
        OverBudget: The objects they stand for weigh too much.
    """
    if len(data) > _MANY_BYTES and _may_be_heavy(data, _occurrences(data, _EXTENSIONS)):
        budget = Budget(len(data))
        msgpack.unpackb(
            data,
            strict_map_key=False,
            unicode_errors="surrogatepass",
            ext_hook=budget.weighing(_nothing),
            list_hook=budget.count,
            object_pairs_hook=budget.count,
        )


def _may_be_heavy(data: bytes, extensions: int) -> bool:
    at_most = _occurrences(data, _HEADERS) + max(_WEIGHTS.values()) * extensions
    return at_most > _allowed_weight(len(data))


def pattern_cost(pattern: "str | bytes") -> int:
    """What compiling a regular expression may cost at worst; a unit is some microseconds."""
    ranges = pattern.count("-") if isinstance(pattern, str) else 0
    return 1 + len(pattern) + _RANGE_COST * ranges


class Budget:
    """What the objects of one blob may still weigh."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        self._left = _allowed_weight(size)

    def spend(self, weight: int) -> None:
        """Counts an object.

        Raises:
            OverBudget: There were too many before.
        """
        self._left -= weight
        if self._left < 0:
            raise OverBudget("it holds too many lists, dicts and other objects for its size")

    def count(self, container: object) -> None:
        """Counts a list or a dict, of which nothing is kept."""
        self.spend(1)

    def mapping(self, pairs: Sequence[tuple[Any, Any]]) -> dict[Any, Any]:
        """The dict of these pairs.

        Raises:
            OverBudget: There were too many objects before, or the keys were made to collide.
        """
        self.spend(1)
        check_keys([key for key, _ in pairs])
        return dict(pairs)

    def counting(self, then: Callable[[list[Any]], Any] | None) -> Callable[[list[Any]], Any]:
        """A hook for lists that counts each before it hands it on."""

        def hook(items: list[Any]) -> Any:
            self.spend(1)
            return items if then is None else then(items)

        return hook

    def weighing(self, then: Callable[[int, bytes], Any]) -> Callable[[int, bytes], Any]:
        """A hook for extensions that weighs each before it hands it on."""

        def hook(code: int, data: bytes) -> Any:
            self.spend(_WEIGHTS.get(code, 1))
            return then(code, data)

        return hook


def check_keys(keys: Sequence[Any]) -> None:
    """Refuses keys that were made to have the same hash: to insert them takes the square of their number.

    Raises:
        OverBudget: Too many of them collide.
    """
    if len(keys) > _FEW_KEYS and len(keys) - len(set(map(hash, keys))) > _COLLISIONS:
        raise OverBudget("its keys have too few different hashes")


def _allowed_weight(size: int) -> int:
    return max(_MUCH, size // _BYTES_EACH)


def _occurrences(data: bytes, of: bytes) -> int:
    return len(data) - len(data.translate(None, of))


def _nothing(code: int, data: bytes) -> None:
    return None
