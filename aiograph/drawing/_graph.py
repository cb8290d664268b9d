"""`Graph`: the nodes and edges of a compiled graph, as values, and the ways to draw them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiograph.drawing import _mermaid, _picture, _terminal
from aiograph.drawing._mermaid import Direction
from aiograph.drawing._values import Edge, Node


@dataclass(frozen=True, slots=True)
class Graph:
    """What may follow what in a compiled graph; made by its `get_graph()`.

    Edges that are always followed are drawn solid, those that something decides about dashed, and those
    into a node that waits for several nodes thick.

    Examples:
        >>> from typing import TypedDict
        >>> from aiograph.graph import START, StateGraph
        >>> class State(TypedDict):
        ...     name: str
        >>> def greet(state: State) -> None: ...
        >>> drawing = StateGraph(State).add_node(greet).add_edge(START, "greet").compile().get_graph()
        >>> [(edge.source, edge.target) for edge in drawing.edges]
        [('__start__', 'greet'), ('greet', '__end__')]
    """

    nodes: Mapping[str, Node]
    """The nodes by id: START, the others in the order in which they were added, and END if it is reached."""
    edges: tuple[Edge, ...]
    """In the order of their sources; the same for every graph built in the same way."""

    def first_node(self) -> Node | None:
        """The node that no edge leads to, or `None` if there is no such node, or more than one."""
        return self._only(self.nodes.keys() - {edge.target for edge in self.edges})

    def last_node(self) -> Node | None:
        """The node that no edge leaves, or `None` if there is no such node, or more than one."""
        return self._only(self.nodes.keys() - {edge.source for edge in self.edges})

    def _only(self, ids: Iterable[str]) -> Node | None:
        found = [*ids]
        return self.nodes[found[0]] if len(found) == 1 else None

    def to_json(self) -> dict[str, list[dict[str, Any]]]:
        """The nodes and edges as plain lists and dicts; entries that say nothing are left out."""
        nodes = (
            {
                "id": node.id,
                "name": node.name,
                "metadata": dict(node.metadata),
                "deferred": node.is_deferred,
                "priority": node.priority,
            }
            for node in self.nodes.values()
        )
        edges = (
            {
                "source": edge.source,
                "target": edge.target,
                "data": edge.data,
                "conditional": edge.conditional,
                "waits": edge.waits,
            }
            for edge in self.edges
        )
        return {"nodes": [*map(_telling, nodes)], "edges": [*map(_telling, edges)]}

    # -- text

    def draw_mermaid(self, *, direction: Direction = "TD", with_styles: bool = True) -> str:
        """The graph as Mermaid text, for web pages and Markdown.

        Args:
            direction: Where it goes: `"TD"` down, `"LR"` to the right.
            with_styles: Whether the text says which colours to use.
        """
        return _mermaid.text([*self.nodes.values()], self.edges, direction, with_styles=with_styles)

    def draw_ascii(self) -> str:
        """The graph in box-drawing characters, for a terminal."""
        return _terminal.characters([*self.nodes.values()], self.edges)

    def print_ascii(self) -> None:
        """Prints what `draw_ascii` returns."""
        print(self.draw_ascii(), end="")

    # -- pictures

    def draw_svg(self, output_file_path: str | Path | None = None) -> str:
        """The graph as an SVG picture, painted in this process, without a network.

        A few nodes take about a second; hundreds of tangled edges take minutes.

        Args:
            output_file_path: A file to write it to as well.

        Raises:
            MissingExtraError: The `viz` extra is not installed.
            OSError: The file cannot be written.
        """
        painted = _picture.svg(self.draw_mermaid())
        if output_file_path is not None:
            Path(output_file_path).write_text(painted, encoding="utf-8")
        return painted

    def draw_mermaid_png(
        self,
        output_file_path: str | Path | None = None,
        *,
        background_color: str | None = "white",
        scale: float = 2.0,
    ) -> bytes:
        """The graph as a PNG picture, painted in this process, without a network.

        A few nodes take about a second; hundreds of tangled edges take minutes.

        Args:
            output_file_path: A file to write it to as well.
            background_color: Any CSS colour; `None` for a transparent picture.
            scale: Pixels for each unit of the SVG picture.

        Raises:
            MissingExtraError: The `viz` extra is not installed.
            OSError: The file cannot be written.
        """
        painted = _picture.png(self.draw_mermaid(), scale=scale, background=background_color)
        if output_file_path is not None:
            Path(output_file_path).write_bytes(painted)
        return painted

    draw_png = draw_mermaid_png


def _telling(entries: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in entries.items() if value}
