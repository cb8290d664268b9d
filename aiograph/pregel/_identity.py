"""What tells one piece of user code from another, also from itself before it was changed. Pure.

A function is told by its code, its defaults and what it closes over, a partial by what it binds, an object by
the code of its class, a compiled graph by its nodes. What a function calls, and what an object holds, is not
looked at.
"""

import functools
from collections.abc import Iterable
from hashlib import blake2b
from types import CodeType, FunctionType, MethodType
from typing import Any

from aiograph.pregel._plan import Plan, PlannedNode

_PLAIN = (str, bytes, int, float, complex, bool, type(None), type(...))


def name_of(action: Any) -> str:
    """What to call a piece of code: its module and qualified name, or those of its class."""
    while isinstance(action, functools.partial):
        action = action.func
    named = action if hasattr(action, "__qualname__") else type(action)
    return f"{getattr(named, '__module__', None)}.{named.__qualname__}"


def digest_of(*actions: Any) -> str:
    """32 hexadecimal digits that depend on the code of these alone."""
    told = repr([_Teller().tell(action) for action in actions])
    return blake2b(told.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def node_digest(node: PlannedNode) -> str:
    """The digest of all that makes a node's writes: its code, its edges, and the code of its routers."""
    action = None if node.call is None else node.call.action
    routers = [part for route in node.routes for part in (route.name, route.call.action)]
    return digest_of(action, node.write, node.after, *routers)


class _Teller:
    """Tells one thing, as nested lists of text. What refers to itself is told once."""

    def __init__(self) -> None:
        self._told: set[int] = set()

    def tell(self, value: Any) -> Any:
        if isinstance(value, _PLAIN):
            return repr(value)
        if isinstance(value, tuple | list):
            return [type(value).__name__, *map(self.tell, value)]
        if isinstance(value, dict):
            return ["dict", *([self.tell(key), self.tell(item)] for key, item in value.items())]
        if isinstance(value, set | frozenset):
            return ["set", *sorted(map(repr, map(self.tell, value)))]
        if id(value) in self._told:
            return "again"
        self._told.add(id(value))
        return [name_of(value), *self._parts(value)]

    def _parts(self, value: Any) -> Iterable[Any]:
        match value:
            case CodeType():
                yield from (value.co_code.hex(), value.co_names, value.co_varnames)
                yield from map(self.tell, value.co_consts)
            case FunctionType():
                yield self.tell(value.__code__)
                yield from map(self.tell, (value.__defaults__, value.__kwdefaults__))
                yield from (self.tell(cell.cell_contents) for cell in value.__closure__ or () if _holds(cell))
            case MethodType():
                yield from (name_of(value.__self__), self.tell(value.__func__))
            case functools.partial():
                yield from map(self.tell, (value.func, value.args, value.keywords))
            case Plan():
                yield from (node_digest(node) for node in value.nodes.values())
            case _:
                yield from self._object(value)

    def _object(self, value: Any) -> Iterable[Any]:
        plan = getattr(value, "plan", None)
        if isinstance(plan, Plan):
            yield self.tell(plan)
            return
        for name in ("__call__", "ainvoke", "invoke"):
            found = (vars(cls)[name] for cls in type(value).__mro__ if name in vars(cls))
            yield from (self.tell(each) for each in found if isinstance(each, FunctionType))


def _holds(cell: Any) -> bool:
    """Whether a cell has a value; one that is filled in later has none yet."""
    try:
        cell.cell_contents  # noqa: B018  # looking is what tells
    except ValueError:
        return False
    return True
