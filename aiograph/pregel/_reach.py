"""Graphs that a node holds: the node itself, or what its function can call. A guess for the latter. Pure.

Looked at are what a function captures, its defaults, globals and bound arguments, what hangs by name on
objects among these, and functions that it calls. The code itself is not run, so a graph that is made while
the node runs is not found.
"""

from collections.abc import Iterator
from functools import partial
from inspect import getattr_static, unwrap
from types import CodeType, FunctionType, MethodType
from typing import Any

from aiograph.pregel._graph import PlannedGraph
from aiograph.pregel._plan import PlannedNode

_FUNCTIONS = (FunctionType, MethodType, partial)

AnyGraph = PlannedGraph[Any, Any, Any, Any]


def graphs_in(node: PlannedNode) -> tuple[AnyGraph, ...]:
    """The graphs that a node is or may call, in no order that means anything."""
    if isinstance(node.action, PlannedGraph):
        return (node.action,)
    found = {id(graph): graph for graph in _graphs(node.action, set())}
    return tuple(found.values())


def _graphs(action: Any, seen: set[int]) -> Iterator[AnyGraph]:
    if id(action) in seen:
        return
    seen.add(id(action))
    for value in _reached(action):
        if isinstance(value, PlannedGraph):
            yield value
        elif isinstance(value, _FUNCTIONS):
            yield from _graphs(value, seen)


def _reached(action: Any) -> Iterator[Any]:
    """The values that a function can get hold of by itself."""
    if isinstance(action, partial):
        yield from (action.func, *action.args, *action.keywords.values())
        return
    owner = getattr(action, "__self__", None)
    function = unwrap(getattr(action, "__func__", action))
    if not isinstance(function, FunctionType):
        call = getattr_static(type(action), "__call__", None)  # an object that is called like a function
        if isinstance(call, FunctionType):
            yield MethodType(call, action)
        return
    names = set(_names(function.__code__))
    held = [owner, *_held(function, names)]
    yield from held
    for each in held:
        attributes = getattr(each, "__dict__", {})
        yield from (attributes[name] for name in names if name in attributes)


def _held(function: FunctionType, names: set[str]) -> Iterator[Any]:
    yield from function.__defaults__ or ()
    yield from (function.__kwdefaults__ or {}).values()
    yield from (function.__globals__[name] for name in names if name in function.__globals__)
    for cell in function.__closure__ or ():
        try:
            yield cell.cell_contents
        except ValueError:  # a variable that is not assigned yet
            continue


def _names(code: CodeType) -> Iterator[str]:
    """Every global and attribute that the code, or code inside it, names."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names(constant)
