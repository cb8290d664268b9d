"""What builders take for a node, a router and an error handler, and what it tells of itself."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Protocol, TypeAlias, TypedDict, TypeVar

from aiograph.graph._signature import annotations_of, answers_of, outline_of
from aiograph.graph._spec import HandlerSpec
from aiograph.pregel._callable import INJECTED_IN_HANDLERS, bind
from aiograph.pregel._plan import Plan
from aiograph.types import plain_name

if TYPE_CHECKING:
    from aiograph.pregel import Pregel
    from aiograph.types import CachePolicy, RetryPolicies, Timeout

S = TypeVar("S", contravariant=True)


class _Runnable(Protocol[S]):
    """An object that can stand for a node: a compiled graph, or any other with `ainvoke`."""

    def ainvoke(self, input: S, /) -> Awaitable[Any]: ...


class _SyncRunnable(Protocol[S]):
    """An object that can stand for a node, of the synchronous kind."""

    def invoke(self, input: S, /) -> Any: ...


# the first form says nothing more than the second, but is what mypy can infer lambdas from
_Function = Callable[[S], Any] | Callable[Concatenate[S, ...], Any]

NodeAction: TypeAlias = "_Function[S] | _Runnable[S] | _SyncRunnable[S] | Pregel[Any, Any, Any, Any]"
"""What can be a node: it takes the state first, and by name what else it wants of a run.

Any compiled graph can: it need not have all keys of the graph around it.
"""

Router = _Function[S]
"""Looks at the state and answers with a name, a key of the path map, a `Send`, or a list of them."""


class NodeOptions(TypedDict, total=False):
    """What `add_node` takes besides, whatever a node's input is."""

    defer: bool
    metadata: Mapping[str, Any] | None
    tags: Sequence[str]
    retry_policy: RetryPolicies | None
    destinations: Mapping[str, str] | Sequence[str] | None
    timeout: Timeout | None
    error_handler: Any
    cache_policy: CachePolicy | None
    priority: int
    inline: bool


def named(node: Any, action: Any) -> tuple[str, Any]:
    """A node's name and what it does; a callable by itself has the name that it was defined with.

    Raises:
        TypeError: There is no action, or the name is no text.
        ValueError: The callable has no name of its own.
    """
    if isinstance(node, str):
        if action is None:
            raise TypeError(f"node {node!r} has no action: pass a function or an object with `ainvoke`")
        return plain_name(node), action
    if action is not None:
        raise TypeError(f"a node's name must be a string, not {node!r}")
    name = getattr(node, "name", None) or getattr(node, "__name__", None)
    if not isinstance(name, str) or name == "<lambda>":
        raise ValueError(f"{node!r} has no name of its own: use add_node('name', ...)")
    return name, node


def plan_of(action: Any) -> Plan | None:
    """The plan of a graph; `None` if it is none."""
    plan = getattr(action, "plan", None)
    return plan if isinstance(plan, Plan) else None


def handler(action: Any, name: str) -> HandlerSpec | None:
    """An error handler, if there is one.

    Raises:
        ValueError: It requires what cannot be passed.
    """
    if action is None:
        return None
    call = bind(action, name, injected=INJECTED_IN_HANDLERS)
    return HandlerSpec(name=name, call=call, outline=outline_of(action, annotations_of(action)))


def answers_to(path: Any, path_map: Mapping[Any, str] | Sequence[str] | None) -> dict[Any, str] | None:
    """Where the answers of a router lead; `None` if that is not known before it answers."""
    if isinstance(path_map, Mapping):
        return dict(path_map)
    if path_map is not None:
        return {name: name for name in path_map}
    if isinstance(path, str) or (answers := answers_of(path)) is None:
        return None
    return {answer: answer for answer in answers}
