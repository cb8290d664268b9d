"""Drawings in characters: read back, each shows the nodes and edges that it was made of, and nothing else."""

from collections.abc import Iterator
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.constants import END, START
from aiograph.drawing import Edge, Graph, Node

NAMES = [START, "a", "b", "c", "d", "e", END]


def graph_of(*edges: Edge) -> Graph:
    used = {name for edge in edges for name in (edge.source, edge.target)}
    return Graph({name: Node(id=name, name=name) for name in NAMES if name in used}, edges)


# -- looked at -----------------------------------------------------------------------------------------


def test_a_chain_goes_down() -> None:
    assert (
        graph_of(Edge(START, "a"), Edge("a", END, "done", conditional=True)).draw_ascii()
        == """\
╭───────╮
( start )
╰───┬───╯
    │
    ▼
╭───────╮
│   a   │
╰───┬───╯
    ┆ done
    ▼
╭───────╮
(  end  )
╰───────╯
"""
    )


def test_a_loop_goes_back_by_a_rail_of_its_own() -> None:
    loop = (
        Edge(START, "a"),
        Edge("a", "b", conditional=True),
        Edge("a", END, "done", conditional=True),
        Edge("b", "a"),
    )
    assert (
        graph_of(*loop).draw_ascii()
        == """\
╭───────╮
( start )
╰───┬───╯
    │
    ▼
╭───────╮
│   a   │◄────╮
╰───┬───╯     │
    ├┄ done ┄┄┼┄┄╮
    ┆         │  ┆
    ▼         │  ┆
╭───────╮     │  ┆
│   b   │     │  ┆
╰───┬───╯     │  ┆
    ╰─────────╯  ┆
╭───────╮        ┆
(  end  )◄┄┄┄┄┄┄┄╯
╰───────╯
"""
    )


def test_the_ends_of_a_join_meet_on_one_thick_rail() -> None:
    fan = (Edge(START, "a"), Edge(START, "b"))
    join = (Edge("a", "c", waits=True), Edge("b", "c", waits=True))
    assert (
        graph_of(*fan, *join).draw_ascii()
        == """\
╭───────╮
( start )
╰───┬───╯
    ├──────────╮
    │          │
    ▼          │
╭───────╮      │
│   a   │      │
╰───┬───╯      │
    ╰━━━━━━━╮  │
╭───────╮   ┃  │
│   b   │◄──┼──╯
╰───┬───╯   ┃
    ┃       ┃
    ▼       ┃
╭───────╮   ┃
│   c   │◄━━╯
╰───────╯
"""
    )


def test_a_node_within_another_says_so() -> None:
    inner = Node(id="team:__end__", name=END)
    graph = Graph({"team:x": Node(id="team:x", name="x", priority=2), inner.id: inner}, ())
    assert [line[1:-1].strip() for line in graph.draw_ascii().splitlines()[1::3]] == [
        "team:x (priority 2)",
        "team:end",
    ]


def test_a_graph_of_nothing_is_drawn_as_nothing() -> None:
    assert Graph({}, ()).draw_ascii() == ""


def test_it_can_be_printed(capsys: pytest.CaptureFixture[str]) -> None:
    graph = graph_of(Edge("a", "b"))
    graph.print_ascii()
    assert capsys.readouterr().out == graph.draw_ascii()


def test_wide_characters_and_those_that_a_terminal_obeys_leave_the_box_whole() -> None:
    node = Node(id="x", name="日本\x1b[31m\n")
    assert Graph({"x": node}, ()).draw_ascii().splitlines()[:2] == ["╭────────────╮", "│ 日本 [31m  │"]


def test_a_thousand_tangled_nodes_are_drawn_in_as_many_lines_as_there_are_nodes_and_edges() -> None:
    ids = [str(number) for number in range(1000)]
    edges = tuple(Edge(name, ids[int(name) * 7 % 1000]) for name in ids)
    drawn = Graph({name: Node(id=name, name=name) for name in ids}, edges).draw_ascii()
    assert len(drawn.splitlines()) <= 3 * len(ids) + 2 * len(edges)


# -- read back -----------------------------------------------------------------------------------------


class Way(NamedTuple):
    """An edge, as far as it can be seen."""

    source: str
    target: str
    data: str


def seen(drawn: str) -> Iterator[Way]:
    """The edges of a drawing, found by following its lines."""
    rows = [list(line) for line in drawn.splitlines()]
    names = {number: name_in(row) for number, row in enumerate(rows) if row[0] in "│("}
    for number, row in enumerate(rows):
        source = names.get(max((each for each in names if each < number), default=-1))
        if row[0] == " " and len(row) > 4 and row[4] in "├╰":
            assert source is not None
            yield Way(source, names[rail_end(rows, number)], label_in(row))
        elif "".join(row[:5]) == "    ▼":
            assert source is not None
            yield Way(source, names[number + 2], "".join(rows[number - 1][5:11]).strip(" │┆┃┼╮╯┤"))


def name_in(row: list[str]) -> str:
    return "".join(row[1 : 1 + next(i for i, each in enumerate(row[1:]) if each in "│)")]).strip()


def label_in(row: list[str]) -> str:
    return "".join(each for each in row[5:] if each.isalpha())


def rail_end(rows: list[list[str]], number: int) -> int:
    """Where the rail's arrow is that the row's line is tied to."""
    column = next(i for i, each in enumerate(rows[number]) if i > 4 and each in "╮╯┤")
    steps = {"╮": (1,), "╯": (-1,), "┤": (1, -1)}[rows[number][column]]
    return next(found for step in steps if (found := along(rows, number, column, step)) is not None)


def along(rows: list[list[str]], number: int, column: int, step: int) -> int | None:
    while True:
        number += step
        cell = rows[number][column]
        assert cell in "│┆┃┼┤╮╯", f"a rail breaks off in line {number}"
        if "◄" in rows[number] and cell in "┤╮╯":
            return number
        if cell in "╮╯":
            return None


EDGES = st.builds(
    Edge,
    st.sampled_from(NAMES[:-1]),
    st.sampled_from(NAMES[1:]),
    st.sampled_from([None, "yes", "no"]),
    conditional=st.booleans(),
    waits=st.booleans(),
)


@given(st.lists(EDGES, min_size=1, max_size=12, unique=True))
def test_the_edges_that_are_seen_are_those_that_are_there(edges: list[Edge]) -> None:
    drawn = graph_of(*edges).draw_ascii()
    there = [(edge.source.strip("_"), edge.target.strip("_"), edge.data or "") for edge in edges]
    assert sorted(seen(drawn)) == sorted(Way(*each) for each in there)
