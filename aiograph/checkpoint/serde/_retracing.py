"""How a value was divided, told from the tree that it was read from.

So who goes on from what another process has stored, or from an older checkpoint, need not divide it once more
to find out that it is there.
"""

from collections.abc import Mapping
from itertools import accumulate, pairwise
from typing import Any

from aiograph.checkpoint.serde._blocks import NOTHING_CLOSED, Block, Division, Root
from aiograph.checkpoint.serde._cells import Cell, Cells, addresses
from aiograph.checkpoint.serde._cutting import BLOCK

_KINDS: Mapping[str, type[list[Any] | dict[Any, Any]]] = {"l+": list, "d+": dict}
"""By the tag of a tree, what it is over."""

_PACKED = frozenset({"msgpack", "msgpack-rich"})

_SHORT = range(0x80, 0xA0)
"""What begins a list or dict of up to 15 items."""
_LONG = frozenset({0xDC, 0xDE})
"""And of up to 65,535."""


def retraced(root: Root, value: Any, cells: Cells) -> Root:
    """The same, with the blocks of a long list or dict, if its tree tells them.

    Args:
        root: A value that has been read.
        value: What it has been read as.
        cells: All that it leads to.
    """
    top = root.cell
    while top.tag == "@":
        top = cells[top.refs]
    kind = _KINDS.get(top.tag)
    if kind is None or not isinstance(value, kind) or (kind is dict and len(value) <= BLOCK):
        return root
    segments, nodes = _below(top, cells)
    counts = [_count(*cells[address]) for address in segments]
    starts = [place for place, items in enumerate(accumulate(counts, initial=0)) if items % BLOCK == 0]
    length = sum(counts)
    if length != len(value) or len(starts) != length // BLOCK + 1:
        return root  # it was not divided here
    cuts = pairwise([*starts, len(segments)] if length % BLOCK else starts)
    blocks = enumerate(_block(segments[start:end], cells) for start, end in cuts)
    return root._replace(nodes=nodes, blocks=dict(blocks), kind=kind)


def _below(top: Cell, cells: Cells) -> tuple[list[bytes], dict[Cell, bytes]]:
    """The addresses of the segments below a tree, in order, and those of the nodes over them."""
    level, nodes = addresses(top.refs), dict[Cell, bytes]()
    while inner := [(cell, address) for address in level if (cell := cells[address])[0] == top.tag]:
        nodes.update(inner)
        below = {address: cell.refs for cell, address in inner}
        level = addresses(b"".join([below.get(address, address) for address in level]))
    return level, nodes


def _count(tag: str, data: bytes, refs: bytes) -> int:
    """How many items are in a segment, or a number that is none."""
    if refs:
        return 1  # only what is alone is divided
    if tag not in _PACKED:
        return -1
    first = data[0]
    if first in _LONG:
        return int.from_bytes(data[1:3], "big")
    return first & 0x0F if first in _SHORT else -1


def _block(segments: list[bytes], cells: Cells) -> Block:
    met = [*segments]
    for address in met:
        if refs := cells[address][2]:
            met += addresses(refs)
    lengths = [len(cells[address][1]) for address in met]
    sizes = dict(zip(met, lengths, strict=True))
    repeated = sum(lengths) - sum(sizes.values())
    return Block(Division(tuple(segments), sizes, len(met), repeated), NOTHING_CLOSED)
