"""Mermaid text as a picture; painted by mermaidx (the `viz` extra), without a browser or a network."""

import re
from importlib import import_module
from typing import Any

from aiograph.errors import MissingExtraError

_CONFIG = {
    # room for the titles of boxes, which arrows would run into
    "flowchart": {"subGraphTitleMargin": {"top": 4, "bottom": 16}},
    # Mermaid refuses more than 500 edges or 50,000 characters unless told otherwise
    "maxEdges": 10_000,
    "maxTextSize": 10_000_000,
}
_TITLE = re.compile(
    r'(<rect [^>]*\bx="(-?[\d.]+)"[^>]*/><g class="cluster-label" transform="translate\()-?[\d.]+'
)
"""The left side of a box, and where its title stands."""
_WIDTH = re.compile(r'viewBox="\S+ \S+ ([\d.]+) ')


def svg(source: str) -> str:
    """The picture as SVG.

    Raises:
        MissingExtraError: The `viz` extra is not installed.
    """
    painted: str = _mermaidx().render(source, config=_CONFIG).svg()
    # Mermaid puts titles in the middle, where the arrows are that enter a box
    return _TITLE.sub(lambda found: f"{found[1]}{float(found[2]) + 8:g}", painted)


def png(source: str, *, scale: float, background: str | None) -> bytes:
    """The picture as PNG.

    Raises:
        MissingExtraError: The `viz` extra is not installed.
    """
    drawn = svg(source)
    width = _WIDTH.search(drawn)
    assert width is not None  # Mermaid's pictures have a size
    painted: bytes = _mermaidx().svg_to_png(drawn, width=float(width[1]) * scale, background=background)
    return painted


def _mermaidx() -> Any:
    try:
        return import_module("mermaidx")
    except ImportError as error:
        raise MissingExtraError("a picture of a graph", "viz") from error
