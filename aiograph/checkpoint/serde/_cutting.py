"""Where lists and dicts are cut: into blocks, segments, and the nodes of the trees over them."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from aiograph.checkpoint.serde._cells import Cell
from aiograph.checkpoint.serde._seal import ADDRESS_BYTES

T = TypeVar("T")

SEGMENT = 512
"""Bytes that a segment may have, unless it is a single item."""

BLOCK = 64
"""Items that are cut into segments by themselves, whatever stands before and behind them."""

_GROWTH = 4
"""How many times the items of the segment before a segment may have, however small they were."""

_NEIGHBOURHOOD = 2
"""A node ends at a child whose rank is the smallest of so many children before and after it: about every
fifth. Whether it is, nothing further away can change. Of the numbers from 1 to 4, this one and 1 write the
fewest bytes when one of a thousand children changes, and this one needs half the nodes."""

_LARGEST = b"\xff" * ADDRESS_BYTES
"""No rank is larger."""

_FANOUT_LIMIT = 64
"""Children of a node, whatever their addresses are."""


class Items(NamedTuple):
    """What a list or a dict consists of."""

    tag: str
    """That of a tree over parts of it."""
    kind: type
    items: list[Any]
    depth: int
    """Levels that may be divided, this one included."""

    def parts(self, block: list[Any]) -> list[Any]:
        """The items of a block, or its keys, each with its value behind it."""
        return block if self.kind is list else list(chain.from_iterable(block))


def items_of(value: "list[Any] | dict[Any, Any]", depth: int) -> Items:
    if isinstance(value, dict):
        return Items("d+", dict, list(value.items()), depth)
    return Items("l+", list, value, depth)


def cut(items: list[T], length: int) -> Iterator[list[T]]:
    """Parts of the same length, but for the last one."""
    return (items[start : start + length] for start in range(0, len(items), length))


def first_length(size: int) -> int:
    """Items that a segment may have whose first one has `size` bytes: a power of two."""
    return _power_of_two(SEGMENT // size)


def next_length(count: int, size: int) -> int:
    """Items that the next segment may have, where `count` of them had `size` bytes: a power of two.

    It grows by steps, as what does not fit is encoded for nothing: where small items stand between large
    ones, each of the small ones would have all large ones behind it encoded.
    """
    return _power_of_two(min(SEGMENT * count // size, _GROWTH * count))


def _power_of_two(most: int) -> int:
    fitting = min(most, BLOCK)
    return 1 << fitting.bit_length() - 1 if fitting else 1


def shorter_length(count: int) -> int:
    """Items that a segment may have, where `count` of them were too many."""
    return 1 << (count - 1).bit_length() - 1


def ends_of_nodes(ranks: Sequence[bytes], start: int = 0) -> Iterator[int]:
    """Where each node ends, given the ranks of what they refer to, from a place on where one begins."""
    beyond = [_LARGEST] * _NEIGHBOURHOOD
    left = [*beyond, *ranks[max(0, start - _NEIGHBOURHOOD) : start]][-_NEIGHBOURHOOD:]
    around = [*left, *ranks[start:], *beyond]
    windows = zip(around, around[1:], around[2:], around[3:], around[4:], strict=False)
    for place, (first, before, rank, after, last) in enumerate(windows, start + 1):
        ends = before >= rank <= after and first >= rank <= last
        if (ends or place - start == _FANOUT_LIMIT) and place - start > 1:
            yield place
            start = place
    if start < len(ranks):
        yield len(ranks)


class Level(NamedTuple):
    """The nodes of one level of a tree."""

    children: Sequence[bytes]
    """Addresses of what they refer to."""
    ends: list[int]
    """Where each ends among these."""
    nodes: list[Cell]
    addresses: list[bytes]
    """Those of the nodes."""

    @property
    def end(self) -> int:
        """Where the last node ends."""
        return self.ends[-1] if self.ends else 0

    def until(self, children: Sequence[bytes]) -> "Level":
        """The first nodes, as far as they are the same over other children."""
        # whether a node ends at a place, so many children behind it have a say in
        same = bisect_right(self.ends, _common_length(self.children, children) - _NEIGHBOURHOOD)
        return Level((), self.ends[:same], self.nodes[:same], self.addresses[:same])


NO_LEVEL = Level((), [], [], [])


def _common_length(one: Sequence[bytes], other: Sequence[bytes]) -> int:
    """How many addresses are the same at the beginning of both."""
    known, most = 0, min(len(one), len(other))
    while known < most:
        place = (known + most + 1) // 2
        if one[known:place] == other[known:place]:
            known = place
        else:
            most = place - 1
    return known
