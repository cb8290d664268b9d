"""The shape of a run's config, below everything that has to know it."""

from typing import Any, Literal, TypedDict

Durability = Literal["sync", "async", "exit"]
"""When a superstep's checkpoint is written.

- `"sync"`: before the next superstep starts.
- `"async"`: while the next one runs; at most one in flight and one gathering.
- `"exit"`: once, when the run ends, in whatever way.
"""


class RunnableConfig(TypedDict, total=False):
    """Options of one run; every key may be left out.

    `configurable` holds `thread_id`, `checkpoint_ns`, `checkpoint_id` and whatever the graph's nodes
    want to read; its plain entries become checkpoint metadata.
    """

    tags: list[str]
    metadata: dict[str, Any]
    configurable: dict[str, Any]
    recursion_limit: int
    max_concurrency: int | None
    run_name: str | None
    run_id: Any
    callbacks: Any
