"""A node and an edge of a drawing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiograph.constants import END, START

INSIDE = ":"
"""Stands between the names of a node and of one within it; no name contains it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A node of a drawing."""

    id: str
    """Unique in its graph: the name, behind those of the nodes that it is within, as in `outer:inner`."""
    name: str
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the node was added with."""
    is_deferred: bool = False
    """Whether it waits until nothing else is left to run."""
    priority: int = 0

    @property
    def is_virtual(self) -> bool:
        """Whether it is START or END, at which nothing runs."""
        return self.name in (START, END)

    @property
    def label(self) -> str:
        """What to call it in a drawing."""
        return self.name.strip("_") if self.is_virtual else self.name

    @property
    def notes(self) -> str:
        """What else a drawing says of it; empty for most nodes."""
        notes = ["deferred"] if self.is_deferred else []
        notes += [f"priority {self.priority}"] if self.priority else []
        return ", ".join(notes)


@dataclass(frozen=True, slots=True)
class Edge:
    """What may follow what."""

    source: str
    """The id of a node, as is `target`."""
    target: str
    data: str | None = None
    """The answer that takes this way, where it is not the name of the target, or the channel that the source
    writes; drawn as the label."""
    conditional: bool = False
    """Whether it is decided in the run if this way is taken. Drawn dashed."""
    waits: bool = False
    """Whether the target waits for other nodes besides the source. Drawn thick."""
