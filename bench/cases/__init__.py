"""The cases: each module here describes one graph shape, and lists its rows in `CASES` under its `TOPIC`."""

from importlib import import_module
from pkgutil import iter_modules

from bench._case import Case

ORDER = (
    "Supersteps",
    "Whole runs",
    "Side by side",
    "State",
    "Agents",
    "Streams",
    "Threads and crowds",
    "Interrupts and looking at state",
    "Savers",
    "What savers write",
    "Serializers",
    "Growth",
    "Building, importing, memory",
)
"""Of topics in tables and plots; others follow."""


def topics() -> dict[str, list[Case]]:
    """Every case by topic; in a topic by the names of modules, and then as listed there."""
    found: dict[str, list[Case]] = {}
    for module in (import_module(f"{__name__}.{each.name}") for each in iter_modules(__path__)):
        found.setdefault(module.TOPIC, []).extend(module.CASES)
    places = {topic: place for place, topic in enumerate(ORDER)}
    return dict(sorted(found.items(), key=lambda item: places.get(item[0], len(ORDER))))


def all_cases() -> list[Case]:
    """Every case, in the order of `topics`."""
    return [case for cases in topics().values() for case in cases]
