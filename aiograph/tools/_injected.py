"""What a tool gets that no model gives: state, store, runtime, config and the call's id.

A parameter is injected by its annotation alone. Markers of LangChain and LangGraph are known by their names,
so that tools which were written for those get what they ask for. The other way round, LangChain leaves out of
what models see whatever derives from its own markers, so ours do, once one of its tools is made of them.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Generic, NamedTuple, TypeVar, Union, get_args, get_origin

from aiograph.errors import AiographError
from aiograph.runtime import ExecutionInfo, Runtime
from aiograph.store.base import BaseStore
from aiograph.types import RunnableConfig, StreamWriter

ContextT = TypeVar("ContextT")
StateT = TypeVar("StateT")


class _Free:
    """Stands for `object`, which Python lets no class exchange for another base."""


class _Marker(_Free):
    """A marker of what no model may give."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        _join_langchain()
        return handler(source)


class _MarkedByType(_Free):
    """What no model may give, by its type alone."""


class _Unchecked:
    """Annotates a field that Pydantic takes as it is: of a state or a config it may not know the type."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Callable[[Any], Any]) -> Any:
        from pydantic_core.core_schema import any_schema

        _join_langchain()
        return any_schema()


def _join_langchain() -> None:
    """Has LangChain know our markers as its own, if it is there.

    Pydantic asks for schemas when a tool of LangChain is made: after LangChain was imported, and before it
    looks at markers. To import it here would cost everybody half a second who has it installed.
    """
    theirs = sys.modules.get("langchain_core.tools.base")
    for ours, name in ((_Marker, "InjectedToolArg"), (_MarkedByType, "_DirectlyInjectedToolArg")):
        base = getattr(theirs, name, None)
        if base is not None and not issubclass(ours, base):
            ours.__bases__ = (base,)


class InjectedState(_Marker):
    """Marks a parameter of a tool that receives the graph's state: `Annotated[dict, InjectedState]`.

    Args:
        field: The one key of the state that is wanted; all of it by default.
    """

    def __init__(self, field: str | None = None) -> None:
        self.field = field


class InjectedStore(_Marker):
    """Marks a parameter of a tool that receives the graph's store: `Annotated[BaseStore, InjectedStore]`."""


class InjectedToolCallId(_Marker):
    """Marks a parameter of a tool that receives the call's id: `Annotated[str, InjectedToolCallId]`."""


@dataclass(frozen=True, kw_only=True)  # no slots, as `Runtime` has none
class ToolRuntime(_MarkedByType, Generic[ContextT, StateT]):
    """What a tool can get hold of beside its arguments. Take it as a parameter with this annotation."""

    state: Annotated[StateT, _Unchecked]
    """What the tools' node was called with."""
    context: Annotated[ContextT, _Unchecked]
    """What the caller of the graph passed as `context=`."""
    config: Annotated[RunnableConfig, _Unchecked]
    stream_writer: StreamWriter
    """Puts a value on the `"custom"` stream."""
    tool_call_id: str | None
    store: BaseStore | None
    """The graph's store; `None` if there is none."""
    tools: Sequence[Any] = ()
    """The tools that the node has."""
    execution_info: ExecutionInfo | None = None
    """Which piece of work this is: `task_id` is the call's own, and stays when it runs again."""
    server_info: Any = None
    runtime: Annotated[Runtime[ContextT] | None, _Unchecked] = None
    """The runtime that all this comes from."""
    messages_key: str = "messages"
    """The key of the state that holds messages, for tools' nodes that are called with a list of them."""


class Injection(NamedTuple):
    """What one parameter receives."""

    value: Callable[[ToolRuntime[Any, Any]], Any] | None
    """`None` if nothing is known of it but that no model may give it."""


class NothingToInjectError(AiographError, LookupError):
    """The state has no such field as a tool wants to be given."""


def injection_of(annotation: Any) -> Injection | None:
    """What a parameter with this annotation receives; `None` if it is for the model to give."""
    bare, markers = _parts(annotation)
    for marker in markers:
        found = _MARKERS.get(_name_of(marker))
        if found is not None:
            return found(marker)
        if _is_plain_marker(marker):
            return Injection(None)
    return _by_type(bare)


def _parts(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """The bare type, without `None`, and what is annotated beside it."""
    if get_origin(annotation) is Annotated:
        bare, markers = _parts(annotation.__origin__)
        return bare, (*markers, *annotation.__metadata__)
    if get_origin(annotation) in (Union, UnionType):
        rest = [each for each in get_args(annotation) if each is not NoneType]
        if len(rest) == 1:
            return _parts(rest[0])
    return annotation, ()


def _by_type(bare: Any) -> Injection | None:
    cls = get_origin(bare) or bare
    if not isinstance(cls, type):
        return None
    if cls is ToolRuntime:
        return Injection(lambda runtime: runtime)
    if cls is Runtime:
        return Injection(lambda runtime: runtime.runtime)
    if issubclass(cls, BaseStore):
        return Injection(lambda runtime: runtime.store)
    return _FOREIGN[cls.__name__](cls) if _is_foreign(cls) and cls.__name__ in _FOREIGN else None


def _is_foreign(cls: type) -> bool:
    return cls is RunnableConfig or cls.__module__.startswith(("langgraph.", "langchain_core."))


def _copied(cls: Any) -> Injection:
    """For LangGraph's class of the same name, whose tools Pydantic gives nothing else."""
    names = ("state", "context", "config", "stream_writer", "tool_call_id", "store")
    return Injection(lambda runtime: cls(**{name: getattr(runtime, name) for name in names}))


_FOREIGN: Mapping[str, Callable[[Any], Injection]] = {
    "RunnableConfig": lambda cls: Injection(lambda runtime: runtime.config),
    "ToolRuntime": _copied,
    "BaseStore": lambda cls: Injection(lambda runtime: runtime.store),
}


def _name_of(marker: Any) -> str:
    return (marker if isinstance(marker, type) else type(marker)).__name__


def _is_plain_marker(marker: Any) -> bool:
    """Whether it is LangChain's `InjectedToolArg`, or derives from it: that says not what is injected."""
    cls = marker if isinstance(marker, type) else type(marker)
    return any(base.__name__ == "InjectedToolArg" for base in cls.__mro__)


def _of_state(marker: Any) -> Injection:
    field = None if isinstance(marker, type) else getattr(marker, "field", None)
    if field is None:
        return Injection(lambda runtime: runtime.state)
    return Injection(lambda runtime: _field(runtime, field))


def _field(runtime: ToolRuntime[Any, Any], field: str) -> Any:
    state = runtime.state
    if isinstance(state, Mapping):
        if field in state:
            return state[field]
        known: Any = sorted(state)
    elif isinstance(state, list):
        if field == runtime.messages_key:
            return state
        known = "messages alone"
    elif hasattr(state, field):
        return getattr(state, field)
    else:
        known = type(state).__name__
    raise NothingToInjectError(f"a tool wants the field {field!r} of the state, which has {known}")


_MARKERS: Mapping[str, Callable[[Any], Injection]] = {
    "InjectedState": _of_state,
    "InjectedStore": lambda marker: Injection(lambda runtime: runtime.store),
    "InjectedToolCallId": lambda marker: Injection(lambda runtime: runtime.tool_call_id),
}
