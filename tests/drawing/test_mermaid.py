"""Mermaid text: what it says of nodes and edges, and that no name can break it."""

import re

from hypothesis import given
from hypothesis import strategies as st

from aiograph.drawing import Edge, Graph, Node
from aiograph.drawing._mermaid import identifiers, quoted

SOME_NAMES = st.lists(st.text(max_size=6), min_size=1, max_size=6, unique=True)


def node(name: str) -> Node:
    return Node(id=name, name=name.split(":")[-1])


def lines(*nodes: Node, edges: tuple[Edge, ...] = ()) -> list[str]:
    drawn = Graph({each.id: each for each in nodes}, edges).draw_mermaid(with_styles=False)
    return [line.strip() for line in drawn.splitlines()][1:]


def test_a_node_stands_in_quotes_and_start_and_end_have_a_shape_of_their_own() -> None:
    assert lines(node("__start__"), node("plan"), node("__end__")) == [
        '__start__(["start"])',
        'plan("plan")',
        '__end__(["end"])',
    ]


def test_what_else_is_known_of_a_node_stands_below_its_name() -> None:
    assert lines(Node(id="a", name="a", is_deferred=True, priority=2)) == [
        'a("a<br/><small>deferred, priority 2</small>")'
    ]


def test_edges_are_solid_dashed_or_thick_and_bear_their_label() -> None:
    edges = (
        Edge("a", "b"),
        Edge("a", "b", conditional=True),
        Edge("a", "b", "yes, sir", conditional=True),
        Edge("a", "b", waits=True),
    )
    assert lines(node("a"), node("b"), edges=edges)[2:] == [
        "a --> b",
        "a -.-> b",
        'a -.->|"yes, sir"| b',
        "a ==> b",
    ]


def test_nodes_within_a_node_stand_in_its_box() -> None:
    assert lines(node("team:a"), node("team:deep er:b"), node("c")) == [
        'subgraph team ["team"]',
        'team_a("a")',
        'subgraph team_deep_er ["deep er"]',
        'team_deep_er_b("b")',
        "end",
        "end",
        'c("c")',
    ]


def test_boxes_that_are_named_alike_at_different_depths_are_kept_apart() -> None:
    drawn = lines(node("a:a:x"), node("a:x"), node("a_a"))
    keys = [line.split()[1] for line in drawn if line.startswith("subgraph")]
    assert keys == ["a", "a_a_2"]
    assert 'a_a("a_a")' in drawn


def test_the_direction_and_the_colours_are_the_callers_choice() -> None:
    graph = Graph({"a": node("a")}, ())
    assert graph.draw_mermaid(direction="LR").startswith("flowchart LR\n")
    assert "classDef default " in graph.draw_mermaid()
    assert "classDef" not in graph.draw_mermaid(with_styles=False)


def test_words_that_mean_something_to_mermaid_are_no_identifiers() -> None:
    assert identifiers(["end", "Graph", "style", "plan"]) == {
        "end": "node_end",
        "Graph": "node_Graph",
        "style": "node_style",
        "plan": "plan",
    }


@given(SOME_NAMES)
def test_every_name_gets_an_identifier_of_its_own(names: list[str]) -> None:
    keys = identifiers(names)
    assert len(set(keys.values())) == len(names)
    assert all(re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", key) for key in keys.values())


@given(st.text())
def test_a_label_holds_no_character_that_could_end_it(label: str) -> None:
    inside = quoted(label)[1:-1]
    assert inside
    assert not set('"<>`|[]{}\\%\n\r') & set(re.sub(r"#\d+;", "", inside))


def test_a_label_that_looks_like_a_list_is_none() -> None:
    assert quoted("1. one") == '"1#46; one"'
    assert quoted("v1.2") == '"v1.2"'
