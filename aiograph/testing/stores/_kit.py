"""What the tests of a store are made with: its verbs in one colour, an embedder, and a clock to move."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeAlias
from unittest.mock import patch

import pytest

from aiograph import _ids
from aiograph.store.base import BaseStore, IndexConfig, Item, SearchItem, TTLConfig

Colour: TypeAlias = Literal["async", "sync"]

HOSTILE = (
    "'; DROP TABLE store; --",
    'a"b',
    "a%",
    "a_",
    "$",
    "\\",
    "ключ 🔑",
    "a[0]",
    "a\nb",
    "*",
    "a/b",
    " ",
)
"""Text that means something to some parser or other; as a label, key or field it is just text."""

AXES = ("red", "green", "blue")


def embed(texts: list[str]) -> list[list[float]]:
    """Counts words that are colours: a vector of three numbers for each text."""
    return [[float(text.count(axis)) for axis in AXES] for text in texts]


class Clock:
    """aiograph's wall clock, moved on by hand."""

    def __init__(self) -> None:
        self._ns = _ids.wall_ns()

    def __call__(self) -> int:
        return self._ns

    def advance(self, minutes: float) -> None:
        """Lets time pass."""
        self._ns += round(minutes * 60_000_000_000)


class Verbs:
    """The verbs of a store in one colour; the synchronous ones are called on worker threads."""

    def __init__(self, store: BaseStore, colour: Colour) -> None:
        self.store = store
        self._is_sync = colour == "sync"

    async def __call__(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a verb by its synchronous name."""
        if self._is_sync:
            return await asyncio.to_thread(getattr(self.store, verb), *args, **kwargs)
        return await getattr(self.store, f"a{verb}")(*args, **kwargs)

    async def put(self, namespace: tuple[str, ...], key: str, value: Any, **options: Any) -> None:
        """Puts a value."""
        await self("put", namespace, key, value, **options)

    async def get(self, namespace: tuple[str, ...], key: str, **options: Any) -> Item:
        """The item, which has to be there."""
        found = await self("get", namespace, key, **options)
        assert found is not None, f"nothing is stored at {key!r} in {namespace}"
        assert isinstance(found, Item)
        return found

    async def value(self, namespace: tuple[str, ...], key: str) -> Any:
        """The value at a key, or `None`; reading it does not lengthen its life."""
        found = await self("get", namespace, key, refresh_ttl=False)
        return None if found is None else found.value

    async def keys(self, prefix: tuple[str, ...] = (), **search: Any) -> list[str]:
        """The keys that a search finds, in order."""
        found: list[SearchItem] = await self("search", prefix, **search)
        return [item.key for item in found]


def keys_of(items: Iterable[Item]) -> list[str]:
    return [item.key for item in items]


@pytest.mark.anyio
class Part(ABC):
    """Some of the tests that make up the contract, and what they start from."""

    can_expire: ClassVar[bool] = True
    """Whether items can expire, by aiograph's clock: `aiograph._ids.wall_ns`, which tests move."""

    can_index: ClassVar[bool] = True
    """Whether items are found by what they are about."""

    @abstractmethod
    def open_store(
        self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None
    ) -> AbstractAsyncContextManager[BaseStore]:
        """An empty store with these options; left when the test is over."""

    @pytest.fixture
    async def store(self) -> AsyncIterator[BaseStore]:
        """The store under test, as plain as it can be."""
        async with self.open_store() as store:
            yield store

    @pytest.fixture(params=["async", "sync"])
    def verbs(self, store: BaseStore, request: pytest.FixtureRequest) -> Verbs:
        """Its verbs in one colour."""
        return Verbs(store, request.param)

    def require_index(self) -> None:
        """Skips a test of what is left out."""
        if not self.can_index:
            pytest.skip("the store has no index")

    def require_lifetimes(self) -> None:
        """Skips a test of what is left out."""
        if not self.can_expire:
            pytest.skip("items of the store cannot expire")

    @pytest.fixture
    def clock(self) -> Iterator[Clock]:
        """Time stands still until the test moves it."""
        clock = Clock()
        with patch.object(_ids, "wall_ns", clock):
            yield clock
