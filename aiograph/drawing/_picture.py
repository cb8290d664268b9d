"""Mermaid text as a picture; painted by mermaidx (the `viz` extra), without a browser or a network."""

from importlib import import_module
from typing import Any

from aiograph.errors import MissingExtraError

_CONFIG = {"flowchart": {"subGraphTitleMargin": {"top": 4, "bottom": 24}}}
"""Room for the titles of boxes, which arrows would run through."""


def svg(source: str) -> str:
    """The picture as SVG.

    Raises:
        MissingExtraError: The `viz` extra is not installed.
    """
    painted: str = _diagram(source).svg()
    return painted


def png(source: str, *, scale: float, background: str | None) -> bytes:
    """The picture as PNG.

    Raises:
        MissingExtraError: The `viz` extra is not installed.
    """
    painted: bytes = _diagram(source).png(scale=scale, background=background)
    return painted


def _diagram(source: str) -> Any:
    try:
        mermaidx = import_module("mermaidx")
    except ImportError as error:
        raise MissingExtraError("a picture of a graph", "viz") from error
    return mermaidx.render(source, config=_CONFIG)
