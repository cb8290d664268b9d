"""The examples in docstrings run, and show what they say."""

import doctest
import inspect
import pkgutil
from importlib import import_module
from types import ModuleType
from typing import Any

import pytest

import aiograph

MODULES = [found.name for found in pkgutil.walk_packages(aiograph.__path__, "aiograph.")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_of_a_module_run(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples() -> None:
    assert doctest.testmod(import_module("aiograph.types")).attempted > 0


# -- everything public has one -----------------------------------------------------------------------


def public_things() -> dict[str, Any]:
    """Public classes and functions of public modules, and what is public of those classes."""
    modules = [import_module(name) for name in MODULES if "._" not in name]
    things = {
        f"{thing.__module__}.{thing.__qualname__}": thing
        for module in modules
        for name, thing in vars(module).items()
        if is_public(name, thing, module)
    }
    members = {
        f"{name}.{member}": getattr(thing, member)
        for name, thing in things.items()
        if inspect.isclass(thing)
        for member, value in vars(thing).items()
        if is_public_member(member, value)
    }
    return {**things, **members}


def is_public(name: str, thing: Any, module: ModuleType) -> bool:
    if not (inspect.isclass(thing) or inspect.isfunction(thing)):
        return False
    if hasattr(module, "__all__"):
        return name in module.__all__
    return not name.startswith("_") and thing.__module__ == module.__name__


def is_public_member(name: str, value: Any) -> bool:
    if name.startswith(("_", "test_")):  # the tests of a contract say in their names what they say
        return False
    return isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(value)


def test_everything_public_has_a_docstring() -> None:
    assert sorted(name for name, thing in public_things().items() if not inspect.getdoc(thing)) == []


def test_public_things_are_found() -> None:
    assert {"aiograph.graph.state.StateGraph", "aiograph.pregel._compiled.Pregel.ainvoke"} < {
        *public_things()
    }
