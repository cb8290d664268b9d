"""The contract of caches: values under namespaces and keys, which may be lost at any time and may expire.

The asynchronous verbs are the contract; each synchronous twin is derived. A subclass may define either colour
of a verb, and the other works.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Self, TypeAlias, TypeVar

from aiograph import _ids
from aiograph.bridge import blocking, complete_verb, require_verbs
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.errors import CheckpointDeserializationError
from aiograph.warnings import CacheWarning

__all__ = ["BaseCache", "FullKey", "Namespace"]

ValueT = TypeVar("ValueT")

Namespace: TypeAlias = tuple[str, ...]
"""What a value belongs to. A namespace is within those that it begins with."""

FullKey: TypeAlias = tuple[Namespace, str]
"""`(namespace, key)`"""


class BaseCache(Generic[ValueT]):
    """Base of all caches.

    To write one, define `get`, `set` and `clear`, each as an asynchronous method with an `a` in front, or as
    a plain one; plain methods are called on worker threads. `aiograph.testing.caches.CacheContract` holds the
    tests that a cache has to pass.

    Args:
        serde: How values become bytes; by default a `JsonPlusSerializer`.

    Raises:
        TypeError: At construction, when neither colour of one of those verbs is defined.
    """

    VERBS: ClassVar[tuple[str, ...]] = ("get", "set", "clear")
    """Verbs that a cache must define, in either colour."""

    serde: SerializerProtocol

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        require_verbs(cls, BaseCache, "cache", cls.VERBS)
        return super().__new__(cls)

    def __init__(self, *, serde: SerializerProtocol | None = None) -> None:
        if serde is None:
            from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer

            serde = JsonPlusSerializer()
        self.serde = serde

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in BaseCache.VERBS:
            complete_verb(cls, verb)

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        """The values that are there, each as an object of its own.

        One that has expired is not there. One that cannot be read back is not there either, which a
        `CacheWarning` tells.

        Raises:
            CacheError: The storage failed.
        """
        raise NotImplementedError

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, float | None]]) -> None:
        """Keeps values, each for a number of seconds, or for good; what was there is replaced.

        On cancellation all are kept, or none.

        Raises:
            CheckpointSerializationError: A value cannot be stored; none was.
            CacheError: The storage failed.
        """
        raise NotImplementedError

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        """Removes what is in these namespaces and all within them; without any, everything.

        Raises:
            CacheError: The storage failed.
        """
        raise NotImplementedError

    get = blocking(aget)
    set = blocking(aset)
    clear = blocking(aclear)

    def allow_types(self, types: Iterable[type]) -> None:
        """Lets the serializer store instances of these types, those of a compiled graph's schemas."""
        allow = getattr(self.serde, "allow", None)
        if allow is not None:
            allow(types)

    # -- for those who write one

    def decoded(self, stored: Mapping[FullKey, tuple[str, bytes]]) -> dict[FullKey, ValueT]:
        """The values of typed blobs. Those that cannot be read back are left out, with a warning."""
        values: dict[FullKey, ValueT] = {}
        for key, blob in stored.items():
            try:
                values[key] = self.serde.loads_typed(blob)
            except CheckpointDeserializationError as error:
                warnings.warn(f"what is cached for {key[0]} is left out: {error}", CacheWarning, stacklevel=3)
        return values


def expiry(ttl: float | None) -> int | None:
    """When something expires that is kept from now on, in nanoseconds since 1970.

    Raises:
        ValueError: It would not be kept for any time.
    """
    if ttl is None:
        return None
    if not ttl > 0:
        raise ValueError(f"a cached value is kept for more than 0 seconds, not {ttl}")
    return _ids.wall_ns() + int(ttl * 1_000_000_000)
