"""The cases: each module here describes one graph shape and lists its rows in `CASES`."""

from importlib import import_module
from pkgutil import iter_modules

from bench._case import Case


def all_cases() -> list[Case]:
    """Every case, in the order of the modules' names and then of their lists."""
    modules = [import_module(f"{__name__}.{found.name}") for found in iter_modules(__path__)]
    return [case for module in modules for case in module.CASES]
