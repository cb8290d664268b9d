"""Building graphs: `StateGraph`, the two virtual nodes `START` and `END`, and conversations as states.

The builder speaks schemas; `_schema` reads them, `_signature` reads what annotations tell of nodes and
routers, `_analysis` finds what cannot work, `_expression` evaluates string conditions, and `_compile` makes
the plan that the engine runs, with `_writing` to turn what nodes return into writes. `message` has what
states that are conversations need; it is imported when it is first asked for.
"""

from typing import TYPE_CHECKING

from aiograph._lazy import on_demand
from aiograph.constants import END, START
from aiograph.graph.state import StateGraph

if TYPE_CHECKING:
    from aiograph.graph._compiled import CompiledStateGraph
    from aiograph.graph.message import MessageGraph, MessagesState, add_messages

__all__ = [
    "END",
    "START",
    "CompiledStateGraph",
    "MessageGraph",
    "MessagesState",
    "StateGraph",
    "add_messages",
]

__getattr__ = on_demand(
    __name__,
    {
        "CompiledStateGraph": "aiograph.graph._compiled",
        "MessageGraph": "aiograph.graph.message",
        "MessagesState": "aiograph.graph.message",
        "add_messages": "aiograph.graph.message",
    },
)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
