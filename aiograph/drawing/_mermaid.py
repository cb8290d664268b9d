"""Nodes and edges as the text of a Mermaid flowchart. Pure.

Whatever a node or a label is called, the text draws it: names stand in quotes, with every character that
could mean something written as its number, and are referred to by identifiers made for the purpose.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Literal

from aiograph.drawing._values import INSIDE, Edge, Node

Direction = Literal["TB", "TD", "BT", "LR", "RL"]
"""Where a drawing goes: `"TD"` and `"TB"` down, `"LR"` to the right, the others back."""

_INDENT = "    "
_STYLES = {
    "default": "fill:#eef4fb,stroke:#5b7ba3,color:#1c2733",
    "virtual": "fill:#dfe6ee,stroke:#8a98a8,color:#1c2733",
    "inside": "fill:#f8fafc,stroke:#b6c2cf,color:#1c2733",
}
"""How nodes look, how START and END, and how the boxes of graphs within nodes."""
_KEYWORDS = frozenset({"call", "class", "classdef", "click", "default", "direction", "end", "flowchart"}) | {
    "graph",
    "href",
    "linkstyle",
    "style",
    "subgraph",
}
"""What cannot be an identifier."""


def text(
    nodes: Sequence[Node], edges: Iterable[Edge], direction: Direction = "TD", *, with_styles: bool = True
) -> str:
    """The Mermaid text; nodes that are within another one stand in a box of its name."""
    boxes = list(dict.fromkeys(box for node in nodes for box in _boxes_around(node)))
    keys = identifiers([*(node.id for node in nodes), *boxes])
    lines = [f"flowchart {direction}"]
    lines += (_INDENT + line for line in _node_lines(nodes, keys, ""))
    lines += (_INDENT + _edge_line(edge, keys) for edge in edges)
    if with_styles:
        lines += (_INDENT + line for line in _style_lines(nodes, boxes, keys))
    return "\n".join(lines) + "\n"


def _boxes_around(node: Node) -> Iterator[str]:
    parts = node.id.split(INSIDE)
    return (INSIDE.join(parts[:length]) for length in range(1, len(parts)))


def identifiers(names: Iterable[str]) -> dict[str, str]:
    """An identifier for each name: the name itself where Mermaid takes it, else what is close to it."""
    found: dict[str, str] = {}
    taken: set[str] = set()
    for name in names:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if plain.lower() in _KEYWORDS or not re.match("[A-Za-z_]", plain):
            plain = f"node_{plain}"
        key, count = plain, 1
        while key in taken:
            count += 1
            key = f"{plain}_{count}"
        taken.add(key)
        found[name] = key
    return found


def _node_lines(nodes: Iterable[Node], keys: Mapping[str, str], around: str) -> Iterator[str]:
    for name, found in groupby(nodes, lambda node: node.id.removeprefix(around).split(INSIDE)[0]):
        members = list(found)
        if members[0].id == around + name:
            yield _node_line(members[0], keys)
        else:
            yield f"subgraph {keys[around + name]} [{quoted(name)}]"
            yield from (_INDENT + line for line in _node_lines(members, keys, around + name + INSIDE))
            yield "end"


def _node_line(node: Node, keys: Mapping[str, str]) -> str:
    notes = f"<br/><small>{_escaped(node.notes)}</small>" if node.notes else ""
    label = f'"{_escaped(node.label)}{notes}"'
    return f"{keys[node.id]}([{label}])" if node.is_virtual else f"{keys[node.id]}({label})"


def _edge_line(edge: Edge, keys: Mapping[str, str]) -> str:
    arrow = "-.->" if edge.conditional else "==>" if edge.waits else "-->"
    label = f"|{quoted(edge.data)}|" if edge.data else ""
    return f"{keys[edge.source]} {arrow}{label} {keys[edge.target]}"


def _style_lines(nodes: Iterable[Node], boxes: Sequence[str], keys: Mapping[str, str]) -> Iterator[str]:
    yield f"classDef default {_STYLES['default']}"
    virtual = [node.id for node in nodes if node.is_virtual]
    for style, members in (("virtual", virtual), ("inside", boxes)):
        if members:
            yield f"classDef {style} {_STYLES[style]}"
            yield f"class {','.join(keys[member] for member in members)} {style}"


def quoted(label: str) -> str:
    """A label that stands for itself, whatever it contains."""
    return f'"{_escaped(label)}"'


def _escaped(label: str) -> str:
    spaced = " ".join(label.split()) or " "
    # a digit and a full stop in front would begin a list, which Mermaid refuses
    return re.sub(r"^(\d+)\.", r"\1#46;", re.sub(r"[^\w .,:/+()-]", _numbered, spaced))


def _numbered(found: re.Match[str]) -> str:
    return f"#{ord(found[0])};"
