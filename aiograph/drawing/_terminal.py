"""Nodes and edges in characters, for terminals. Pure.

The nodes stand below each other, in an order in which most edges lead down. An edge to the next node is drawn
between the two. All other edges to a node share a *rail* on the right, which belongs to that node alone: who
is tied to the rail leads to the node where the rail's arrow points. So a drawing has as many lines as there
are nodes and edges, however tangled they are, and nothing has to be searched for.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple
from unicodedata import east_asian_width

from aiograph.constants import END
from aiograph.drawing._values import INSIDE, Edge, Node

_STEM = "    "
"""What stands before the line that leaves a box."""
_NARROWEST = 5
"""Columns between the sides of the smallest box."""
_LANE = 3
"""Columns from one rail to the next."""


class _Pen(NamedTuple):
    """The characters of a line."""

    across: str
    down: str


_PLAIN, _CONDITIONAL, _WAITING = _Pen("─", "│"), _Pen("┄", "┆"), _Pen("━", "┃")


class _Row(NamedTuple):
    """One line of the drawing."""

    left: str
    """What stands left of the rails."""
    rail: str | None = None
    """The node to whose rail the row is tied."""
    pen: _Pen = _PLAIN


class _Rail(NamedTuple):
    """A line down the right side, from its first row to its last."""

    first: int
    last: int
    column: int
    pen: _Pen


def characters(nodes: Sequence[Node], edges: Sequence[Edge]) -> str:
    """The drawing as lines of text, each ended by a line feed."""
    edges = [*dict.fromkeys(edges)]
    rows = list(_rows(_downwards(nodes, edges), edges))
    rails = _rails(rows)
    width = max((_columns(row.left) for row in rows), default=0) + 2
    return "".join(f"{_drawn(number, row, rails, width)}\n" for number, row in enumerate(rows))


# -- nodes in a column ---------------------------------------------------------------------------------


def _downwards(nodes: Sequence[Node], edges: Iterable[Edge]) -> list[Node]:
    """The nodes, each before those that follow it unless they are in a loop; END last."""
    follows: dict[str, list[str]] = {node.id: [] for node in nodes}
    for edge in edges:
        follows[edge.source].append(edge.target)
    order: dict[str, None] = {}
    for node in nodes:
        if node.id not in order:
            order |= dict.fromkeys(reversed(_finished(node.id, follows, order)))
    by_id = {node.id: node for node in nodes}
    return sorted((by_id[name] for name in order), key=lambda node: node.id == END)


def _finished(start: str, follows: Mapping[str, Sequence[str]], known: Collection[str]) -> list[str]:
    """What can be reached from `start` and is not known yet, each behind all that it leads to."""
    finished: list[str] = []
    entered = {start}
    # the last is taken first, so that of several followers the first one stands next to its source
    path = [(start, reversed(follows[start]))]
    while path:
        name, others = path[-1]
        found = next((each for each in others if each not in entered and each not in known), None)
        if found is None:
            finished.append(name)
            path.pop()
        else:
            entered.add(found)
            path.append((found, reversed(follows[found])))
    return finished


def _rows(nodes: Sequence[Node], edges: Sequence[Edge]) -> Iterator[_Row]:
    leaving: dict[str, list[Edge]] = {node.id: [] for node in nodes}
    for edge in edges:
        leaving[edge.source].append(edge)
    direct = {_direct(leaving[node.id], below.id) for node, below in pairwise(nodes)}
    arriving = _pens(edge for edge in edges if edge not in direct)
    for node in nodes:
        down = next((edge for edge in leaving[node.id] if edge in direct), None)
        aside = [edge for edge in leaving[node.id] if edge is not down]
        yield from _box(node, arriving.get(node.id), is_left=bool(leaving[node.id]))
        yield from _sideways(aside, is_last=down is None)
        if down is not None:
            yield _Row(f"{_STEM}{_pen(down).down} {_shown(down.data or '')}".rstrip())
            yield _Row(f"{_STEM}▼")


def _direct(leaving: Iterable[Edge], below: str) -> Edge | None:
    return next((edge for edge in leaving if edge.target == below), None)


def _pens(edges: Iterable[Edge]) -> dict[str, _Pen]:
    """How to draw the rail of each target: as its edges are, if they are all alike."""
    pens: dict[str, set[_Pen]] = {}
    for edge in edges:
        pens.setdefault(edge.target, set()).add(_pen(edge))
    return {target: min(found) if len(found) == 1 else _PLAIN for target, found in pens.items()}


def _pen(edge: Edge) -> _Pen:
    return _CONDITIONAL if edge.conditional else _WAITING if edge.waits else _PLAIN


def _box(node: Node, arriving: _Pen | None, *, is_left: bool) -> Iterator[_Row]:
    label = _label(node)
    spare = max(0, _NARROWEST - _columns(label))
    label = " " * (spare // 2) + label + " " * (spare - spare // 2)
    border = "─" * (_columns(label) + 2)
    below = f"{border[:3]}┬{border[4:]}" if is_left else border
    left, right = "()" if node.is_virtual else "││"
    yield _Row(f"╭{border}╮")
    inside = f"{left} {label} {right}"
    yield _Row(inside) if arriving is None else _Row(f"{inside}◄", node.id, arriving)
    yield _Row(f"╰{below}╯")


def _label(node: Node) -> str:
    around = node.id.removesuffix(node.name) if INSIDE in node.id else ""
    notes = f" ({node.notes})" if node.notes else ""
    return _shown(f"{around}{node.label}{notes}")


def _sideways(edges: Sequence[Edge], *, is_last: bool) -> Iterator[_Row]:
    for number, edge in enumerate(edges, 1):
        pen = _pen(edge)
        corner = "╰" if is_last and number == len(edges) else "├"
        label = f" {_shown(edge.data)} " if edge.data else ""
        yield _Row(f"{_STEM}{corner}{pen.across}{label}", edge.target, pen)


# -- rails ---------------------------------------------------------------------------------------------


def _rails(rows: Sequence[_Row]) -> dict[str, _Rail]:
    """The rails, short ones near to the nodes, none where another one is."""
    tied: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        if row.rail is not None:
            tied.setdefault(row.rail, []).append(number)
    pens = {row.rail: row.pen for row in rows if row.left.endswith("◄")}
    lanes: list[list[tuple[int, int]]] = []
    rails: dict[str, _Rail] = {}
    for target, numbers in sorted(tied.items(), key=lambda item: item[1][-1] - item[1][0]):
        lane = _free_lane(lanes, numbers[0], numbers[-1])
        rails[target] = _Rail(numbers[0], numbers[-1], lane * _LANE, pens[target])
    return rails


def _free_lane(lanes: list[list[tuple[int, int]]], first: int, last: int) -> int:
    """The first lane in which these rows are free; they are taken then."""
    for number, taken in enumerate(lanes):
        if all(last < start or end < first for start, end in taken):
            taken.append((first, last))
            return number
    lanes.append([(first, last)])
    return len(lanes) - 1


def _drawn(number: int, row: _Row, rails: Mapping[str, _Rail], width: int) -> str:
    passing = [rail for rail in rails.values() if rail.first <= number <= rail.last]
    cells = [" "] * (max((rail.column for rail in passing), default=0) + 1)
    for rail in passing:
        cells[rail.column] = rail.pen.down
    fill = " "
    if row.rail is not None:
        own, fill = rails[row.rail], row.pen.across
        cells[: own.column] = [fill if cell == " " else "┼" for cell in cells[: own.column]]
        cells[own.column] = "╮" if number == own.first else "╯" if number == own.last else "┤"
    left = row.left + fill * (width - _columns(row.left))
    return f"{left}{''.join(cells)}".rstrip()


# -- text ----------------------------------------------------------------------------------------------


def _shown(text: str) -> str:
    """On one line, and without characters that a terminal would obey."""
    return "".join(each if each.isprintable() else " " for each in text)


def _columns(text: str) -> int:
    return sum(2 if east_asian_width(each) in "WF" else 1 for each in text)
