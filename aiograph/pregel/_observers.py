"""Who looks on while a graph runs: a watch over its loop, a meter of its stages. Most runs have neither.

What observers are made of is imported when there is one, not with the engine.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiograph.pregel._emit import Emitter
    from aiograph.pregel._meter import Meter
    from aiograph.pregel._place import Place
    from aiograph.pregel._request import Options

NOBODY: AbstractContextManager[None] = nullcontext()
"""Those who look on while most graphs run."""


def observed(
    options: Options, graph: str, place: Place, emitter: Emitter | None
) -> AbstractContextManager[Meter | None]:
    """Watches and measures one run, for the length of the block; gives a meter if anybody wants to know."""
    around = None if place.nested is None else place.nested.task.run.collector
    collector = around if options.stats is None else options.stats
    watched = NOBODY if options.watch is None else options.watch.on_this_loop()
    if collector is None or collector is False:
        return watched
    from aiograph.pregel._meter import metered

    return _both(watched, metered(collector, graph, place, emitter, is_nested=around is collector))


@contextmanager
def _both(watched: AbstractContextManager[None], measured: AbstractContextManager[Meter]) -> Iterator[Meter]:
    with watched, measured as meter:
        yield meter
