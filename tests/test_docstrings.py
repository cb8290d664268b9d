"""The examples in docstrings run, and show what they say."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import aiograph

MODULES = [found.name for found in pkgutil.walk_packages(aiograph.__path__, "aiograph.")]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_the_examples_of_a_module_run(name: str) -> None:
    result = doctest.testmod(import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples() -> None:
    assert doctest.testmod(import_module("aiograph.types")).attempted > 0
