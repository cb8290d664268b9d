"""Building graphs: `StateGraph`, the two virtual nodes `START` and `END`, and conversations as states.

The builder speaks schemas; `_schema` reads them, `_signature` reads what annotations tell of nodes and
routers, `_analysis` finds what cannot work, `_expression` evaluates string conditions, and `_compile` makes
the plan that the engine runs, with `_writing` to turn what nodes return into writes. `message` has what
states that are conversations need; it is imported when it is first asked for.
"""

from typing import TYPE_CHECKING, Any

from aiograph.constants import END, START
from aiograph.graph.state import CompiledStateGraph, StateGraph

if TYPE_CHECKING:
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

_OF_MESSAGES = frozenset({"MessageGraph", "MessagesState", "add_messages"})


def __getattr__(name: str) -> Any:
    if name in _OF_MESSAGES:
        from aiograph.graph import message

        return getattr(message, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
