"""How a run is done: what the graph says, and what a caller may choose in its place."""

from collections.abc import Sequence
from typing import NamedTuple

from aiograph._context import Means
from aiograph.types import OnConflict, OnError


class Stops(NamedTuple):
    """The nodes before and after which a run stops, whatever they do."""

    before: frozenset[str]
    after: frozenset[str]


NO_STOPS = Stops(frozenset(), frozenset())


class Terms(NamedTuple):
    """How a run is done: as the graph has it, or as the caller has chosen."""

    output: str | Sequence[str]
    """The channel, or channels, that the result is read from."""
    means: Means
    """What it is given but for a context."""
    on_error: OnError
    on_conflict: OnConflict
    stops: Stops
    """Where it stops for whoever runs it."""
