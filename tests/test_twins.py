"""Every asynchronous verb `ax` of a public class has its synchronous twin `x`, with the same parameters."""

import inspect
import pkgutil
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple

import aiograph
from aiograph.bridge import blocking

MINIMUM_PAIRS = 8
"""Pairs that exist by now: fewer means that this test no longer sees them. Raise it as verbs arrive."""

ONE_COLOUR = {
    "asetup": "the asynchronous savers have an asynchronous `setup` too, as LangGraph's do",
    "ahold": "what the engine calls of a saver; a user calls `aget_tuple`",
    "aclaim": "what the engine calls of a saver; a user has nothing to claim",
    "awithdraw": "what the engine calls of a saver; a user calls `awithdraw_writes`",
    "acommit": "what the engine calls of a saver; a user calls `aput`",
    "arecord": "what the engine calls of a saver; a user calls `aput_writes`",
}
"""Asynchronous methods that are meant to have no twin, and why."""

ASYNC_RESULTS = ("AsyncIterator", "AsyncGenerator", "Awaitable", "Coroutine", "AbstractAsyncContextManager")


class Pair(NamedTuple):
    owner: type
    async_name: str
    sync_name: str

    def __str__(self) -> str:
        return f"{self.owner.__name__}.{self.async_name}"


# -- finding ---------------------------------------------------------------------------------------


def public_classes() -> list[type]:
    """The classes of the package that can be imported from a path without an underscore."""
    members = [member for module in public_modules() for member in vars(module).values()]
    classes = {member for member in members if isinstance(member, type) and is_public(member)}
    return sorted(classes, key=lambda cls: (cls.__module__, cls.__qualname__))


def public_modules() -> Iterator[ModuleType]:
    yield aiograph
    for found in pkgutil.walk_packages(aiograph.__path__, "aiograph.", onerror=fail_to_import):
        if not any(part.startswith("_") for part in found.name.split(".")):
            yield import_module(found.name)


def fail_to_import(name: str) -> None:
    raise ImportError(f"{name} cannot be imported")


def is_public(cls: type) -> bool:
    """A protocol is none of them: it says what is asked of a class of somebody else's."""
    is_ours = cls.__module__.split(".")[0] == "aiograph" and not cls.__name__.startswith("_")
    return is_ours and not getattr(cls, "_is_protocol", False)


def pairs(classes: Iterable[type]) -> list[Pair]:
    """Verbs that a class defines in either colour, whether or not the other half is there."""
    found = {Pair(cls, *names) for cls in classes for names in named_pairs(cls)}
    return sorted((pair for pair in found if pair.async_name not in ONE_COLOUR), key=str)


def named_pairs(cls: type) -> Iterator[tuple[str, str]]:
    for name, member in vars(cls).items():
        if name.startswith("_"):
            continue
        if name.startswith("a") and is_async(member):
            yield name, name[1:]
        if (origin := getattr(member, "__aiograph_twin_of__", None)) is not None:
            yield origin, name


def is_async(member: object) -> bool:
    """Whether calling it gives something to await, to iterate or to enter asynchronously."""
    function = inspect.unwrap(getattr(member, "__func__", member))  # type: ignore[arg-type]  # not only functions
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return True
    result = str(getattr(function, "__annotations__", {}).get("return", ""))
    return result.split("[")[0].rpartition(".")[2] in ASYNC_RESULTS


# -- judging ---------------------------------------------------------------------------------------


def differences(pair: Pair) -> list[str]:
    """What tells the twins apart that should not."""
    missing = [name for name in pair[1:] if not hasattr(pair.owner, name)]
    if missing:
        return [f"{pair} has no twin `{name}`" for name in missing]
    verb, twin = (parameters(getattr(pair.owner, name)) for name in pair[1:])
    if verb == [each for each in twin if each[0] != "timeout" or each in verb]:
        return []
    return [f"{pair} takes {verb}, its twin {twin}"]


def parameters(function: Callable[..., Any]) -> list[tuple[str, str, object]]:
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.kind.name, each.default) for each in found]


# -- the package -----------------------------------------------------------------------------------


def test_every_async_verb_has_a_twin_with_the_same_parameters() -> None:
    compared = pairs(public_classes())
    assert [fault for pair in compared for fault in differences(pair)] == []
    assert len(compared) >= MINIMUM_PAIRS


def test_exceptions_from_the_rule_still_exist() -> None:
    known = {name for cls in public_classes() for name in vars(cls)}
    assert set(ONE_COLOUR) <= known


# -- these tests can fail --------------------------------------------------------------------------


class Faulty:
    """One fault of each kind."""

    async def aalone(self) -> None: ...

    async def aget(self, key: str) -> None: ...

    def get(self, key: str, default: object = None) -> None: ...

    async def aput(self, key: str = "x") -> None: ...

    def put(self, key: str = "y") -> None: ...

    def astream(self, *, mode: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def stream(self, mode: str) -> Iterator[str]:
        raise NotImplementedError

    @asynccontextmanager
    async def aopen(self, path: str) -> AsyncIterator[None]:
        yield

    async def _ahidden(self) -> None: ...

    def answer(self) -> int:
        return 42

    def orphan(self) -> None: ...

    orphan.__aiograph_twin_of__ = "aorphan"  # type: ignore[attr-defined]  # as a derived twin is marked


class Sound:
    """Twins as they should be."""

    async def aget(self, key: str, *, default: object = None) -> None: ...

    get = blocking(aget)

    async def await_for(self, timeout: float) -> None: ...  # noqa: ASYNC109  # the case at hand

    def wait_for(self, timeout: float) -> None: ...

    def astream(self, mode: str) -> AsyncIterator[str]:
        raise NotImplementedError

    def stream(self, mode: str, *, timeout: float | None = None) -> Iterator[str]:
        raise NotImplementedError


def test_every_kind_of_fault_is_found() -> None:
    faulty = {pair.async_name for pair in pairs([Faulty]) if differences(pair)}
    assert faulty == {"aalone", "aget", "aput", "astream", "aopen", "aorphan"}


def test_twins_may_differ_by_a_timeout_only() -> None:
    found = pairs([Sound])
    assert [pair.async_name for pair in found] == ["aget", "astream", "await_for"]
    assert [fault for pair in found for fault in differences(pair)] == []
