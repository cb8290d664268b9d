"""What a model is told of its tools, and which of them it has to call. Pure."""

from collections.abc import Sequence
from typing import Any

from aiograph.tools import ToolSpec, spec_of

FREE_CHOICES = {"auto": "auto", "any": "any", "required": "any", "none": "none"}
"""Choices that name no tool, and how adapters are told of them."""


def specs_of(tools: Sequence[Any]) -> tuple[ToolSpec, ...]:
    """What a model is told of `tools`."""
    return tuple(map(spec_of, tools))


def checked_choice(choice: str | None, specs: Sequence[ToolSpec]) -> str | None:
    """The choice in its one spelling.

    Raises:
        ValueError: It names no tool that there is.
    """
    if choice is None or choice in FREE_CHOICES:
        return choice and FREE_CHOICES[choice]
    names = [spec.name for spec in specs]
    if choice not in names:
        known = ", ".join(map(repr, (*names, *FREE_CHOICES)))
        raise ValueError(f"tool_choice={choice!r} is no tool of the model's; there are {known}")
    return choice
