"""The contract of caches as tests: what the engine and its users rely on, in both colours.

Needs pytest; the tests are asynchronous and run under the plugin that anyio brings.
"""

import asyncio
import warnings
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeAlias
from unittest.mock import patch

import pytest

from aiograph import _ids
from aiograph.cache.base import BaseCache, FullKey, Namespace
from aiograph.errors import CheckpointSerializationError
from aiograph.warnings import CacheWarning

__all__ = ["CacheContract", "Clock", "Colour", "Verbs"]

Colour: TypeAlias = Literal["async", "sync"]

HOSTILE = ("'; DROP TABLE cached_values; --", 'a"b', "a%", "a_", "\\", "ключ 🔑", "a,b", "a\nb", "", "a\0b")
"""Text that means something to some parser or other; in a name or a key it is just text."""

KEY: FullKey = (("a", "b"), "key")


class Clock:
    """aiograph's wall clock, moved on by hand."""

    def __init__(self) -> None:
        self._ns = _ids.wall_ns()

    def __call__(self) -> int:
        return self._ns

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self._ns += round(seconds * 1_000_000_000)


class Verbs:
    """The verbs of a cache in one colour; the synchronous ones are called on worker threads."""

    def __init__(self, cache: BaseCache[Any], colour: Colour) -> None:
        self.cache = cache
        self._is_sync = colour == "sync"

    async def __call__(self, verb: str, *args: Any) -> Any:
        """Calls a verb by its synchronous name."""
        if self._is_sync:
            return await asyncio.to_thread(getattr(self.cache, verb), *args)
        return await getattr(self.cache, f"a{verb}")(*args)

    async def set(self, values: Mapping[FullKey, Any], ttl: float | None = None) -> None:
        """Keeps values, all for the same time."""
        await self("set", {key: (value, ttl) for key, value in values.items()})

    async def get(self, *keys: FullKey) -> dict[FullKey, Any]:
        """What is there of these."""
        found: dict[FullKey, Any] = await self("get", keys)
        return found

    async def clear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Removes what is in these namespaces."""
        await self("clear", namespaces)


@pytest.mark.anyio
class CacheContract(ABC):
    """What every cache has to do. Subclass it, name the subclass `Test...`, and say how to open one.

    What users call is tested twice: the asynchronous verbs, and the synchronous ones. A cache that leaves
    `can_expire` out, as it has a clock of its own, says so by a class attribute that is `False`.

    Examples:
        >>> from contextlib import asynccontextmanager
        >>> class TestMyCache(CacheContract):
        ...     @asynccontextmanager
        ...     async def open_cache(self):
        ...         yield MyCache()
    """

    can_expire: ClassVar[bool] = True
    """Whether values expire by aiograph's clock, `aiograph._ids.wall_ns`, which tests move."""

    @abstractmethod
    def open_cache(self) -> AbstractAsyncContextManager[BaseCache[Any]]:
        """An empty cache; left when the test is over."""

    @pytest.fixture
    async def cache(self) -> AsyncIterator[BaseCache[Any]]:
        """The cache under test."""
        async with self.open_cache() as cache:
            yield cache

    @pytest.fixture(params=["async", "sync"])
    def verbs(self, cache: BaseCache[Any], request: pytest.FixtureRequest) -> Verbs:
        """Its verbs in one colour."""
        return Verbs(cache, request.param)

    @pytest.fixture
    def clock(self) -> Iterator[Clock]:
        """Time stands still until the test moves it."""
        if not self.can_expire:
            pytest.skip("the cache has a clock of its own")
        clock = Clock()
        with patch.object(_ids, "wall_ns", clock):
            yield clock

    # -- values

    async def test_what_was_set_is_found(self, verbs: Verbs) -> None:
        await verbs.set({KEY: [("log", ["x"]), ("branch:to:b", None)]})
        assert await verbs.get(KEY) == {KEY: [("log", ["x"]), ("branch:to:b", None)]}

    async def test_what_was_not_set_is_not_found(self, verbs: Verbs) -> None:
        await verbs.set({KEY: 1})
        assert await verbs.get((KEY[0], "other"), (("a",), "key"), (("a", "b", "c"), "key")) == {}
        assert await verbs.get() == {}

    async def test_a_later_value_replaces_an_earlier_one(self, verbs: Verbs) -> None:
        await verbs.set({KEY: 1})
        await verbs.set({KEY: 2})
        assert await verbs.get(KEY) == {KEY: 2}

    async def test_nothing_is_a_value(self, verbs: Verbs) -> None:
        await verbs.set({KEY: None})
        assert await verbs.get(KEY) == {KEY: None}

    async def test_many_are_set_and_found_at_once(self, verbs: Verbs) -> None:
        many: dict[FullKey, Any] = {(("many",), str(number)): number for number in range(1500)}
        await verbs.set(many)
        assert await verbs.get(*many, KEY) == many

    async def test_a_key_that_is_asked_for_twice_is_found_once(self, verbs: Verbs) -> None:
        await verbs.set({KEY: 1})
        assert await verbs.get(KEY, KEY) == {KEY: 1}

    async def test_setting_nothing_does_nothing(self, verbs: Verbs) -> None:
        await verbs.set({})
        assert await verbs.get(KEY) == {}

    async def test_what_is_found_is_nobody_elses(self, verbs: Verbs) -> None:
        value = {"list": [1]}
        await verbs.set({KEY: value})
        value["list"].append(2)
        (await verbs.get(KEY))[KEY]["list"].append(3)
        assert await verbs.get(KEY) == {KEY: {"list": [1]}}

    async def test_names_and_keys_are_just_text(self, verbs: Verbs) -> None:
        values: dict[FullKey, Any] = {
            ((first, second), key): [first, second, key]
            for first in HOSTILE
            for second in HOSTILE
            for key in HOSTILE
        }
        await verbs.set(values)
        assert await verbs.get(*values) == values

    async def test_of_values_that_cannot_all_be_stored_none_is(self, verbs: Verbs) -> None:
        with pytest.raises(CheckpointSerializationError, match=r"a\[0\]"):
            await verbs.set({KEY: 1, (("z",), "z"): {"a": [object()]}})
        assert await verbs.get(KEY) == {}

    async def test_what_cannot_be_read_back_is_not_there(self, verbs: Verbs) -> None:
        class Fickle:
            """Stands for a class that nobody knows any more."""

        register: Any = verbs.cache.serde
        register.register(Fickle, name="fickle", encode=lambda value: 0, decode=lambda part: 1 / part)
        await verbs.set({KEY: Fickle(), (("z",), "z"): 1})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            assert await verbs.get(KEY, (("z",), "z")) == {(("z",), "z"): 1}
        assert [each.category for each in caught] == [CacheWarning]

    # -- clearing

    async def test_clearing_removes_everything(self, verbs: Verbs) -> None:
        await verbs.set({KEY: 1, (("z",), "z"): 2})
        await verbs.clear()
        assert await verbs.get(KEY, (("z",), "z")) == {}

    async def test_clearing_a_namespace_removes_all_within_it_and_nothing_else(self, verbs: Verbs) -> None:
        inside: list[FullKey] = [(("a", "b"), "1"), (("a", "b", "c"), "1"), (("x",), "1")]
        outside: list[FullKey] = [(("a",), "1"), (("a", "bb"), "1"), (("ab",), "1"), (("z", "a", "b"), "1")]
        await verbs.set(dict.fromkeys([*inside, *outside], 1))
        await verbs.clear([("a", "b"), ("x",)])
        assert set(await verbs.get(*inside, *outside)) == set(outside)

    async def test_clearing_no_namespaces_removes_nothing(self, verbs: Verbs) -> None:
        await verbs.set({KEY: 1})
        await verbs.clear([])
        assert await verbs.get(KEY) == {KEY: 1}

    async def test_what_was_cleared_can_be_set_again(self, verbs: Verbs) -> None:
        await verbs.set({KEY: 1}, 60)
        await verbs.clear()
        await verbs.set({KEY: 2})
        assert await verbs.get(KEY) == {KEY: 2}

    # -- time

    async def test_a_value_expires(self, verbs: Verbs, clock: Clock) -> None:
        await verbs.set({KEY: 1}, 10)
        clock.advance(9.5)
        assert await verbs.get(KEY) == {KEY: 1}
        clock.advance(0.5)
        assert await verbs.get(KEY) == {}

    async def test_a_value_without_a_time_to_live_is_kept(self, verbs: Verbs, clock: Clock) -> None:
        await verbs.set({KEY: 1})
        clock.advance(10**9)
        assert await verbs.get(KEY) == {KEY: 1}

    async def test_setting_a_value_again_has_its_time_start_anew(self, verbs: Verbs, clock: Clock) -> None:
        await verbs.set({KEY: 1}, 10)
        clock.advance(9)
        await verbs.set({KEY: 2}, 10)
        clock.advance(9)
        await verbs.set({(("z",), "z"): 0})  # has what has expired removed
        assert await verbs.get(KEY) == {KEY: 2}

    @pytest.mark.parametrize("ttl", [0, -1, float("nan")])
    async def test_no_time_to_live_is_refused(self, verbs: Verbs, ttl: float) -> None:
        with pytest.raises(ValueError, match="more than 0 seconds"):
            await verbs.set({KEY: 1}, ttl)

    # -- at once

    async def test_many_use_it_at_once(self, cache: BaseCache[Any]) -> None:
        keys: list[FullKey] = [(("at", "once"), str(number)) for number in range(50)]

        async def use(key: FullKey) -> dict[FullKey, Any]:
            await cache.aset({key: (key[1], None)})
            return await cache.aget([key])

        found = await asyncio.gather(*map(use, keys))
        assert found == [{key: key[1]} for key in keys]

    async def test_threads_use_it_at_once(self, cache: BaseCache[Any]) -> None:
        keys: list[FullKey] = [(("at", "once"), str(number)) for number in range(10)]

        def use(key: FullKey) -> dict[FullKey, Any]:
            cache.set({key: (key[1], None)})
            return cache.get([key])

        found = await asyncio.gather(*(asyncio.to_thread(use, key) for key in keys))
        assert found == [{key: key[1]} for key in keys]
