"""Graphs as they are drawn: values that say what may follow what, and the texts and pictures made of them.

`_values` holds a node and an edge, `_graph` the whole that `get_graph()` returns. `_mermaid` writes text for
web pages, `_terminal` draws with characters, and `_picture` paints the Mermaid text with the `viz` extra,
without a network.
"""

from aiograph.drawing._graph import Graph
from aiograph.drawing._values import Edge, Node

__all__ = ["Edge", "Graph", "Node"]
