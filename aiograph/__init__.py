"""aiograph: an asyncio-native runtime for stateful graphs.

Nodes are plain functions over a shared state, edges decide what runs next, an engine runs them in
supersteps, and every step can be checkpointed, so that a run can be stopped, continued and inspected.

The map of the house; imports point only down this list:

- `constants`, `errors`, `types`, `typing`, `warnings`, `managed`: the public vocabulary
- `bridge`: synchronous callers, threads and loops
- `channels`: what holds one key of the state
- `messages`: what people, models and tools say
- `drawing`, `stats`: what a graph looks like, and what its runs did, as values
- `checkpoint`, `store`, `cache`: what is kept of threads, beyond threads, and of work done before; the
  contract of each is its `base`, and what implements it is seen by nothing below `testing`
- `runtime`, `config`: what a node can ask for
- `pregel`: the engine
- `graph`, `func`: the builders, of graphs and of workflows as functions
- `tools`, `models`, `prebuilt`: what agents are made of, and agents
- `testing`, `cli`: contracts to test your own parts with, and the command line
"""

from typing import TYPE_CHECKING

from aiograph._lazy import on_demand
from aiograph.constants import END, START

if TYPE_CHECKING:
    from aiograph.checkpoint.memory import InMemorySaver
    from aiograph.graph import StateGraph
    from aiograph.pregel import Pregel
    from aiograph.types import Command, RetryPolicy, Send

__all__ = ["END", "START", "Command", "InMemorySaver", "Pregel", "RetryPolicy", "Send", "StateGraph"]

_HOMES = {
    "Command": "aiograph.types",
    "InMemorySaver": "aiograph.checkpoint.memory",
    "Pregel": "aiograph.pregel",
    "RetryPolicy": "aiograph.types",
    "Send": "aiograph.types",
    "StateGraph": "aiograph.graph",
}


__getattr__ = on_demand(__name__, _HOMES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
