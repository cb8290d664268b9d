"""Graphs as they are drawn: values that say what may follow what, and the texts and pictures made of them.

`_values` holds a node and an edge, `_graph` the whole that `get_graph()` returns. `_mermaid` writes text for
web pages, `_terminal` draws with characters, and `_picture` paints the Mermaid text with the `viz` extra,
without a network. All but the values, which every graph has, is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

from aiograph._lazy import on_demand
from aiograph.drawing._values import Edge, Node

if TYPE_CHECKING:
    from aiograph.drawing._graph import Graph

__all__ = ["Edge", "Graph", "Node"]

__getattr__ = on_demand(__name__, {"Graph": "aiograph.drawing._graph"})
