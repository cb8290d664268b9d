"""Building graphs: `StateGraph`, and the two virtual nodes `START` and `END`.

The builder speaks schemas; `_schema` reads them, `_signature` reads what annotations tell of nodes and
routers, `_analysis` finds what cannot work, `_expression` evaluates string conditions, and `_compile` makes
the plan that the engine runs, with `_writing` to turn what nodes return into writes.
"""

from aiograph.constants import END, START
from aiograph.graph.state import CompiledStateGraph, StateGraph

__all__ = ["END", "START", "CompiledStateGraph", "StateGraph"]
