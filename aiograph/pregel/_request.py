"""What a caller asks of a run, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from aiograph.pregel._graph import Options
    from aiograph.pregel._run import Stops
    from aiograph.runtime import RunControl
    from aiograph.types import Durability, OnConflict, OnError, RunnableConfig


class Terms(NamedTuple):
    """How a run is done: as the graph has it, or as the caller has chosen."""

    output: str | Sequence[str]
    durability: Durability | None
    on_error: OnError
    on_conflict: OnConflict
    stops: Stops
    control: RunControl | None


class Request(NamedTuple):
    """What a caller asks of a run, checked and merged with the graph's defaults."""

    input: Any
    config: RunnableConfig
    context: Any
    terms: Terms
    options: Options
    """Those of the graph, which callers cannot change."""
