"""What a graph fixes for all of its runs, and what a caller asks of one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiograph.pregel._options import default_recursion_limit
from aiograph.pregel._terms import NO_STOPS, Stops, Terms

if TYPE_CHECKING:
    from aiograph._context import Means
    from aiograph.cache.base import BaseCache
    from aiograph.checkpoint.base import BaseCheckpointSaver, Retention
    from aiograph.pregel._interface import Interface
    from aiograph.pregel._migrate import Migrate
    from aiograph.pregel._watch import LoopWatch
    from aiograph.stats import Collector
    from aiograph.store.base import BaseStore
    from aiograph.types import Durability, OnConflict, OnError, RunnableConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `compile` fixes for all runs of a graph."""

    checkpointer: BaseCheckpointSaver | bool | None = None
    store: BaseStore | None = None
    config: RunnableConfig | None = None
    recursion_limit: int = field(default_factory=default_recursion_limit)
    """For configs that set none."""
    step_timeout: float | None = None
    on_error: OnError = "cancel"
    on_conflict: OnConflict = "raise"
    durability: Durability | None = None
    retention: Retention | None = None
    watch: LoopWatch | None = None
    """Looks for what blocks the loops on which the graph runs."""
    migrate: Migrate | None = None
    """Carries a thread over that a graph of another shape has stored."""
    stats: Collector | Literal[False] | None = None
    """`None` leaves it to a graph around this one."""
    stops: Stops = NO_STOPS
    build_context: Callable[[dict[str, Any]], Any] | None = None
    """Makes a context of the type that the graph declares out of a dict."""
    default_context: Callable[[], Any] | None = None
    """Makes one where the caller gives none; `None` if that type has no defaults."""
    cache: BaseCache[Any] | None = None
    storable: frozenset[type] = frozenset()
    """The types that the schemas mention: a saver has to know them, and so has a cache."""
    interface: Interface | None = None
    """The graph's schemas; `None` where only channels tell what goes in and out."""


class Request(NamedTuple):
    """What a caller asks of a run, checked and merged with the graph's defaults."""

    input: Any
    config: RunnableConfig
    context: Any
    terms: Terms
    options: Options
    """Those of the graph, which callers cannot change."""

    @property
    def means(self) -> Means:
        """What the run is given."""
        means = self.terms.means
        return means if self.context is None else means._replace(context=self.context)
