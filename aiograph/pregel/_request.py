"""What a caller asks of a run, as one value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache
    from aiograph.checkpoint.base import BaseCheckpointSaver
    from aiograph.pregel._migrate import Migrate
    from aiograph.pregel._run import Stops
    from aiograph.runtime import RunControl
    from aiograph.store.base import BaseStore
    from aiograph.types import Durability, OnConflict, OnError, RunnableConfig


class Request(NamedTuple):
    """What a caller asks of a run, checked and merged with the graph's defaults."""

    input: Any
    config: RunnableConfig
    context: Any
    output: str | Sequence[str]
    durability: Durability | None
    on_error: OnError
    recursion_limit: int
    """For configs that set none."""
    step_timeout: float | None
    store: BaseStore | None
    on_conflict: OnConflict
    stops: Stops
    checkpointer: BaseCheckpointSaver | bool | None
    control: RunControl | None
    migrate: Migrate | None
    cache: BaseCache[Any] | None
    storable: frozenset[type]
    """The types that the graph's schemas mention."""
