"""Where lists and dicts are cut: into blocks, segments, and the nodes of the trees over them."""

from collections.abc import Iterator, Sequence
from typing import TypeVar

from aiograph.checkpoint.serde._seal import ADDRESS_BYTES

T = TypeVar("T")

SEGMENT = 512
"""Bytes that a segment may have, unless it is a single item."""

BLOCK = 64
"""Items that are cut into segments by themselves, whatever stands before and behind them."""

_NEIGHBOURHOOD = 2
"""A node ends at a child whose rank is the smallest of so many children before and after it: about every
fifth. Whether it is, nothing further away can change. Of the numbers from 1 to 4, this one and 1 write the
fewest bytes when one of a thousand children changes, and this one needs half the nodes."""

_LARGEST = b"\xff" * ADDRESS_BYTES
"""No rank is larger."""

_FANOUT_LIMIT = 64
"""Children of a node, whatever their addresses are."""


def cut(items: list[T], length: int) -> Iterator[list[T]]:
    """Parts of the same length, but for the last one."""
    return (items[start : start + length] for start in range(0, len(items), length))


def next_length(count: int, size: int) -> int:
    """Items that the next segment may have, where `count` of them had `size` bytes: a power of two."""
    fitting = min(SEGMENT * count // size, BLOCK)
    return 1 << fitting.bit_length() - 1 if fitting else 1


def shorter_length(count: int) -> int:
    """Items that a segment may have, where `count` of them were too many."""
    return 1 << (count - 1).bit_length() - 1


def nodes_over(ranks: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Where each node begins and ends, given the ranks of what they refer to."""
    start, beyond = 0, [_LARGEST] * _NEIGHBOURHOOD
    around = [*beyond, *ranks, *beyond]
    windows = zip(around, around[1:], ranks, around[3:], around[4:], strict=False)
    for place, (left, before, rank, after, right) in enumerate(windows, 1):
        ends = before >= rank <= after and left >= rank <= right
        if (ends or place - start == _FANOUT_LIMIT) and place - start > 1:
            yield start, place
            start = place
    if start < len(ranks):
        yield start, len(ranks)
