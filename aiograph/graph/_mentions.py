"""Whether the code of a node could interrupt or route: a guess from the names it uses, without calling it.

Errs on the side of "could": where code cannot be seen (builtins, objects with a `__call__`, compiled
graphs), where another runnable is called, and where a name merely looks right, the answer is yes.
Followed are nested functions, closures, defaults, methods of the same object and global functions, so that
a helper may do the asking; not classes, and not what hangs on a module or another object.
"""

from collections.abc import Iterator, Set
from functools import partial
from inspect import getattr_static, isbuiltin
from types import CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

_RUNNABLE_VERBS = frozenset({"invoke", "ainvoke", "stream", "astream"})
_INTERRUPT = frozenset({"interrupt"}) | _RUNNABLE_VERBS
_ROUTING = frozenset({"Command", "Send"}) | _RUNNABLE_VERBS

_READ = 100
"""How many functions are read for one node before it is given the benefit of the doubt."""


def mentions_interrupt(action: Any) -> bool:
    """Whether a node's code could call `interrupt()`."""
    return _mentions(action, _INTERRUPT, set())


def mentions_routing(action: Any) -> bool:
    """Whether a node's code could return a `Command` or a `Send`."""
    return _mentions(action, _ROUTING, set())


class _Function(NamedTuple):
    function: FunctionType
    owner: Any = None
    """The object that the function is a method of, if any."""


def _mentions(action: Any, names: Set[str], seen: set[FunctionType]) -> bool:
    if isinstance(action, partial):
        held = (action.func, *action.args, *action.keywords.values())
        return _is_hidden(action.func) or any(_uses(value, names, seen) for value in held)
    found = _as_function(action)
    if found is None:
        return True
    function, owner = found
    if function in seen:
        return False
    seen.add(function)
    if len(seen) > _READ or not names.isdisjoint(_all_names(function)):
        return True
    return any(_uses(value, names, seen) for value in _reached(function, owner))


def _as_function(action: Any) -> _Function | None:
    if isinstance(action, MethodType) and isinstance(action.__func__, FunctionType):
        return _Function(action.__func__, action.__self__)
    if not isinstance(action, FunctionType):
        action = getattr_static(action, "__wrapped__", action)  # such as what functools.cache returns
    return _Function(action) if isinstance(action, FunctionType) else None


def _uses(value: Any, names: Set[str], seen: set[FunctionType]) -> bool:
    if isinstance(value, FunctionType | MethodType | partial):
        return getattr(value, "__name__", None) in names or _mentions(value, names, seen)
    return _is_hidden(value)


def _is_hidden(value: Any) -> bool:
    """Whether a value may run code that cannot be seen, a node or a graph perhaps."""
    if isinstance(value, type | FunctionType | MethodType | partial) or isbuiltin(value):
        return False
    return callable(value) or hasattr(type(value), "invoke") or hasattr(type(value), "ainvoke")


def _all_names(function: FunctionType) -> Iterator[str]:
    """The names in a function's code, and the proper names of the globals among them."""
    for name in _code_names(function.__code__):
        yield name
        yield getattr(function.__globals__.get(name), "__name__", name)


def _code_names(code: CodeType) -> Iterator[str]:
    """Every global, attribute, import and captured variable that the code, or code inside it, names."""
    yield from code.co_names
    yield from code.co_freevars
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_names(constant)


def _reached(function: FunctionType, owner: Any) -> Iterator[Any]:
    """The values that may hold code and that a function can get hold of by itself."""
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from _captured(function)
    for name in set(_code_names(function.__code__)):
        yield function.__globals__.get(name)
        method = getattr_static(owner, name, None)
        if isinstance(method, FunctionType):
            yield MethodType(method, owner)


def _captured(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            continue
