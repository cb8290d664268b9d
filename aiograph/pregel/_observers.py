"""Who looks on while a graph runs: a watch over its loop, a meter of its stages. Most runs have neither.

What observers are made of is imported when there is one, not with the engine.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Literal

from aiograph._context import current_task

if TYPE_CHECKING:
    from aiograph.pregel._emit import Emitter
    from aiograph.pregel._meter import Meter
    from aiograph.pregel._place import Place
    from aiograph.pregel._watch import LoopWatch
    from aiograph.stats import Collector

_NOBODY: AbstractContextManager[None] = nullcontext()


def watched(watch: LoopWatch | None) -> AbstractContextManager[None]:
    """Watches the running loop for the length of the block, if there is a watch."""
    return _NOBODY if watch is None else watch.on_this_loop()


def measured(
    stats: Collector | Literal[False] | None, graph: str, place: Place, emitter: Emitter | None
) -> AbstractContextManager[Meter | None]:
    """A meter for one run, which lasts as long as the block; `None` if nobody wants to know."""
    outer = current_task.get()
    around = None if outer is None else outer.run.collector
    collector = around if stats is None else stats
    if collector is None or collector is False:
        return _NOBODY
    from aiograph.pregel._meter import metered

    return metered(collector, graph, place, emitter, is_nested=around is collector)
