"""Pictures: painted without a network, whatever the nodes are called."""

import re
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from aiograph.drawing import Edge, Graph, Node
from aiograph.errors import MissingExtraError

ODD = ['a"b', "end", "<b>x</b>", "a|b", "1. one", "`tick`", "x;y %%z", "日本", "x\ny", "graph", "{{j}}"]
ODD += ["[z](u)", "#35;", "$$x$$", "</svg>", "", "&amp;", "a-->b", "- item", "\\n", "click"]


def graph_of(*names: str) -> Graph:
    nodes = {name: Node(id=name, name=name) for name in names}
    return Graph(nodes, tuple(Edge(names[0], name, name, conditional=True) for name in names[1:]))


def size(png: bytes) -> tuple[int, int]:
    assert png.startswith(b"\x89PNG\r\n")
    width, height = struct.unpack(">II", png[16:24])
    return width, height


@pytest.mark.usefixtures("painter")
def test_a_picture_shows_every_name_as_it_is(tmp_path: Path) -> None:
    painted = graph_of(*ODD).draw_svg(tmp_path / "odd.svg")
    shown = ["".join(each.itertext()).strip() for each in ElementTree.fromstring(painted).iter()]
    assert [name for name in ODD if " ".join(name.split()) not in shown] == []
    assert (tmp_path / "odd.svg").read_text(encoding="utf-8") == painted


@pytest.mark.usefixtures("painter")
def test_the_title_of_a_box_stands_on_its_left_where_no_arrow_enters() -> None:
    node = Node(id="team:a", name="a")
    painted = Graph({node.id: node}, ()).draw_svg()
    title = r'<g class="cluster-label" transform="translate\(([\d.]+)'
    box = re.search(r'<rect [^>]*x="([\d.]+)"[^>]*/>' + title, painted)
    assert box is not None
    assert float(box[2]) == float(box[1]) + 8


@pytest.mark.usefixtures("painter")
def test_a_png_is_as_large_as_asked_for(tmp_path: Path) -> None:
    graph = graph_of("a", "b")
    small, large = graph.draw_mermaid_png(scale=1), graph.draw_png(tmp_path / "large.png", scale=3)
    assert (tmp_path / "large.png").read_bytes() == large
    assert size(large)[0] == pytest.approx(3 * size(small)[0], rel=0.02)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mermaidx", None)
    with pytest.raises(MissingExtraError, match=r"a picture of a graph needs the 'viz' extra: pip install"):
        graph_of("a", "b").draw_svg()
