"""A drawing as a value: its first and last node, and what it is as JSON."""

import json

from aiograph.drawing import Edge, Graph, Node


def graph_of(*edges: Edge) -> Graph:
    ids = dict.fromkeys(name for edge in edges for name in (edge.source, edge.target))
    return Graph({name: Node(id=name, name=name) for name in ids}, edges)


def test_the_first_node_is_that_to_which_nothing_leads_and_the_last_that_which_nothing_follows() -> None:
    graph = graph_of(Edge("a", "b"), Edge("b", "b"), Edge("b", "c"))
    assert graph.first_node() == Node(id="a", name="a")
    assert graph.last_node() == Node(id="c", name="c")


def test_where_several_could_be_first_or_last_none_is() -> None:
    graph = graph_of(Edge("a", "c"), Edge("b", "c"), Edge("c", "d"), Edge("c", "e"))
    assert graph.first_node() is None
    assert graph.last_node() is None


def test_json_leaves_out_what_says_nothing() -> None:
    node = Node(id="a", name="a", metadata={"owner": "ada"}, is_deferred=True, priority=2)
    graph = Graph({"a": node, "b": Node(id="b", name="b")}, (Edge("a", "b", "yes", conditional=True),))
    assert graph.to_json() == {
        "nodes": [
            {"id": "a", "name": "a", "metadata": {"owner": "ada"}, "deferred": True, "priority": 2},
            {"id": "b", "name": "b"},
        ],
        "edges": [{"source": "a", "target": "b", "data": "yes", "conditional": True}],
    }
    assert json.loads(json.dumps(graph.to_json())) == graph.to_json()
