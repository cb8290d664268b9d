"""One decoding. What a blob can make happen is what stands in the tables, and nothing else."""

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import Any

from msgpack import unpackb  # type: ignore[import-untyped]  # has no annotations

from aiograph.checkpoint.serde._arrays import ARRAYS
from aiograph.checkpoint.serde._budget import MAX_PATTERN_COST, Budget, OverBudget, is_suspect, pattern_cost
from aiograph.checkpoint.serde._codecs import CONTAINERS, PATTERN, SCALARS
from aiograph.checkpoint.serde._encode import DEFINE, REFER, reference
from aiograph.checkpoint.serde._kinds import Builder, Recipe

Build = Callable[[list[Any]], Any]


class Head:
    """The first item of a list that stands for something else."""

    __slots__ = ("build",)

    def __init__(self, build: Build) -> None:
        self.build = build


_SCALARS = {scalar.code: scalar.decode for scalar in (*SCALARS.values(), *ARRAYS)}
_HEADS = {container.code: Head(container.build) for container in CONTAINERS.values()}

_REMEMBERED = 1024
"""Definitions whose builders are kept."""

_JOINED = 2**15
"""Bytes that are read in one piece, at most: what is no larger need not be counted."""

_SHORT = 4096
"""Bytes of a definition whose builder is kept, at most."""


def decode_plain(data: bytes) -> Any:
    """The value of a blob without heads."""
    return _unpack(data, _scalar, None)


def joinable(blobs: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Groups of blobs, each small enough to be read without counting what it may cost."""
    ends = list(accumulate(map(len, blobs)))
    start = read = 0
    while start < len(blobs):
        end = max(start + 1, bisect_right(ends, read + _JOINED))
        yield blobs[start:end]
        start, read = end, ends[end - 1]


def joined(blobs: Sequence[bytes]) -> bytes:
    """The blob of the list of what blobs without heads stand for."""
    header = b"\xdd" + len(blobs).to_bytes(4, "big")
    return b"".join((header, *blobs))


def _unpack(data: bytes, on_extension: Callable[[int, bytes], Any], on_list: Build | None) -> Any:
    if is_suspect(data):
        budget = Budget(len(data))
        return _unpackb(data, budget.weighing(on_extension), budget.counting(on_list), budget.mapping)
    return _unpackb(data, on_extension, on_list)


def _unpackb(
    data: bytes,
    on_extension: Callable[[int, bytes], Any],
    on_list: Build | None,
    on_pairs: Callable[[list[tuple[Any, Any]]], Any] | None = None,
) -> Any:
    return unpackb(
        data,
        strict_map_key=False,
        unicode_errors="surrogatepass",
        ext_hook=on_extension,
        list_hook=on_list,
        object_pairs_hook=on_pairs,
    )


def _scalar(code: int, data: bytes) -> Any:
    decode = _SCALARS.get(code)
    if decode is None:
        raise _meaningless(code)
    return decode(data)


def _meaningless(code: int) -> ValueError:
    return ValueError(f"the extension code {code} has no meaning here")


class Definitions:
    """The classes that blobs may name, and the builders for the definitions met so far.

    Args:
        recipe: Finds the recipe of the class that is stored under a name, if it may be read.
    """

    def __init__(self, recipe: Callable[[str], Recipe | None]) -> None:
        self._recipe = recipe
        self._heads: dict[bytes, Head] = {}

    def head(self, definition: bytes) -> Head:
        """The head that a definition stands for."""
        head = self._heads.get(definition)
        if head is None:
            head = Head(self._builder(definition))
            if len(self._heads) >= _REMEMBERED:
                self.forget()
            if len(definition) <= _SHORT:
                self._heads[definition] = head
        return head

    def forget(self) -> None:
        """Forgets the builders, as the classes have changed."""
        self._heads.clear()

    def _builder(self, definition: bytes) -> Builder:
        kind, name, *fields = unpackb(definition)
        recipe = self._recipe(name)
        if recipe is None:
            raise ValueError(
                f"it holds an instance of {name!r}, which is not allowed here; name the class in the graph's "
                "state schema, or pass JsonPlusSerializer(allow=[...]) to the saver"
            )
        if recipe.kind != kind:
            raise ValueError(f"{name!r} was stored as a {kind} and is a {recipe.kind} now")
        return recipe.builder(fields)


class RichDecoding:
    """The state of one decoding of a blob whose lists may have heads."""

    __slots__ = ("_defined", "_definitions", "_pattern_cost", "_unclaimed")

    def __init__(self, definitions: Definitions) -> None:
        self._definitions = definitions
        self._defined: dict[bytes, Head] = {}
        """By what refers to them."""
        self._unclaimed = 0
        """Heads that no list has claimed yet."""
        self._pattern_cost = 0

    def load(self, data: bytes) -> Any:
        """The value of the blob."""
        value = _unpack(data, self._extension, self._list)
        if self._unclaimed:
            raise ValueError("the head of a list stands where there is no list")
        return value

    def _extension(self, code: int, data: bytes) -> Any:
        decode = _SCALARS.get(code)
        if decode is not None:
            return decode(data)
        self._unclaimed += 1
        if code == REFER:
            return self._defined[data]
        if code == DEFINE:
            return self._define(data)
        if code == PATTERN:
            return Head(self._pattern)
        head = _HEADS.get(code)
        if head is None:
            raise _meaningless(code)
        return head

    def _list(self, items: list[Any]) -> Any:
        if not items:
            return items
        head = items[0]
        if type(head) is not Head:
            return items
        self._unclaimed -= 1
        del items[0]
        build = head.build  # `head.build(items)` would look for a method first, and take twice as long
        return build(items)

    def _define(self, definition: bytes) -> Head:
        head = self._definitions.head(definition)
        self._defined[reference(len(self._defined))] = head
        return head

    def _pattern(self, parts: list[Any]) -> Any:
        self._pattern_cost += pattern_cost(parts[0])
        if self._pattern_cost > MAX_PATTERN_COST:
            raise OverBudget("its regular expressions are too long")
        return _HEADS[PATTERN].build(parts)
