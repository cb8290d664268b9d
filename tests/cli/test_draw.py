"""`aiograph draw`, as it is typed."""

import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from aiograph.cli._app import app
from aiograph.drawing import Graph, Node

NESTED = """
from graphs import State, compiled, one
from aiograph.graph import START, StateGraph

graph = StateGraph(State).add_node("inner", compiled).add_edge(START, "inner").compile()
"""


def typed(*words: str) -> Result:
    return CliRunner().invoke(app, ("draw", *words))


@pytest.fixture(scope="session")
def painter() -> None:
    """Starts the painter of pictures, whose threads are kept, before the test looks for any left behind."""
    Graph({"a": Node(id="a", name="a")}, ()).draw_svg()


@pytest.fixture(autouse=True)
def here(folder: Path) -> Path:
    return folder


@pytest.mark.parametrize("target", ["graphs:counting", "graphs:compiled", "graphs:made_later"])
def test_a_graph_is_drawn_in_characters(target: str) -> None:
    result = typed(target)
    assert result.exit_code == 0
    assert [line[1:-1].strip() for line in result.stdout.splitlines() if line[0] in "│("] == [
        "start",
        "one",
        "two",
        "end",
    ]


def test_the_format_can_be_named() -> None:
    assert typed("graphs:counting", "--format", "mermaid").stdout.startswith("flowchart TD\n")


@pytest.mark.usefixtures("painter")
def test_the_name_of_the_output_tells_the_format(here: Path) -> None:
    for name in ("graph.mmd", "graph.svg", "graph.png", "graph.txt"):
        assert typed("graphs:counting", "--output", name).output == ""
    beginnings = [(here / f"graph.{suffix}").read_bytes()[:4] for suffix in ("mmd", "svg", "png")]
    assert beginnings == [b"flow", b"<svg", b"\x89PNG"]
    assert (here / "graph.txt").read_text(encoding="utf-8") == typed("graphs:counting").stdout


@pytest.mark.usefixtures("painter")
def test_a_picture_can_be_piped() -> None:
    assert typed("graphs:counting", "--format", "png").stdout_bytes.startswith(b"\x89PNG")


def test_xray_shows_what_is_in_a_graph_within_the_graph(here: Path) -> None:
    (here / "nested.py").write_text(NESTED)
    assert "inner:two" not in typed("nested").stdout
    assert "inner:two" in typed("nested", "--xray").stdout


def test_what_the_module_prints_stays_out_of_the_drawing(here: Path) -> None:
    (here / "noisy.py").write_text("from graphs import counting as graph\nprint('noise')\n")
    result = typed("noisy", "--format", "mermaid")
    assert result.stdout.startswith("flowchart")
    assert "noise" in result.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("graphs:nothing",), "graphs has no 'nothing'"),
        (("graphs:counting", "--format", "gif"), "there is no 'gif'; there are ascii, mermaid, svg, png"),
        (("graphs:counting", "--output", "no/such/folder"), "--output no/such/folder cannot be written"),
    ],
)
def test_what_cannot_be_drawn_is_refused(words: tuple[str, ...], told: str) -> None:
    result = typed(*words)
    assert (result.exit_code, result.stdout) == (2, "")
    assert told in " ".join(result.stderr.replace("│", " ").split())


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mermaidx", None)
    result = typed("graphs:counting", "--format", "svg")
    assert result.exit_code == 1
    assert "needs the 'viz' extra: pip install 'aiograph[viz]'" in result.stderr
