"""The painter of pictures keeps its threads; they start before any test looks for what is left behind."""

import pytest

from aiograph.drawing import Graph, Node


@pytest.fixture(scope="session")
def painter() -> None:
    Graph({"a": Node(id="a", name="a")}, ()).draw_svg()
