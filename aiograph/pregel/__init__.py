"""The engine: supersteps over channels.

The way through one superstep, a file per stage: `_tasks` (who runs) → `_execute`, `_attempt` (run them) →
`_apply` (fold their writes) → `_journal` (keep) → `_emit` (show). `_loop` is where they meet; `_open` and
`_start` come before. `_compiled` holds the verbs that run a graph, `_threads` those about its threads, and
`_graph` what a graph is. `_calls` runs tasks that code calls in the middle of a superstep. What the other
files are for stands, by subject, on the page `docs/concepts/design.md`.
"""

from typing import TYPE_CHECKING

from aiograph._lazy import on_demand

if TYPE_CHECKING:
    from aiograph.pregel._builder import NodeBuilder
    from aiograph.pregel._compiled import Pregel

__all__ = ["NodeBuilder", "Pregel"]

__getattr__ = on_demand(
    __name__,
    {
        "NodeBuilder": "aiograph.pregel._builder",
        "Pregel": "aiograph.pregel._compiled",
    },
)
