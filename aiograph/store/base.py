"""The contract of long-term stores: JSON values under namespaces and keys, shared by all threads of a graph.

Whatever a store is asked is an operation, a plain value, and `abatch` is the one verb that carries out
operations; all others are made of it, and each synchronous twin is derived.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Literal, Self, cast

from aiograph.bridge import blocking, complete_verb, require_verbs
from aiograph.errors import InvalidNamespaceError
from aiograph.store._checks import check_op
from aiograph.store._embeddings import (
    AEmbeddingsFunc,
    Embed,
    Embeddings,
    EmbeddingsFunc,
    ensure_embeddings,
)
from aiograph.store._index import IndexConfig
from aiograph.store._model import (
    NOT_PROVIDED,
    GetOp,
    Item,
    ListNamespacesOp,
    MatchCondition,
    Namespace,
    NamespaceMatchType,
    NamespacePath,
    NotProvided,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
    TTLConfig,
)
from aiograph.store._paths import get_text_at_path, tokenize_path

__all__ = [
    "NOT_PROVIDED",
    "AEmbeddingsFunc",
    "BaseStore",
    "Embed",
    "Embeddings",
    "EmbeddingsFunc",
    "GetOp",
    "IndexConfig",
    "InvalidNamespaceError",
    "Item",
    "ListNamespacesOp",
    "MatchCondition",
    "NamespaceMatchType",
    "NamespacePath",
    "NotProvided",
    "Op",
    "PutOp",
    "Result",
    "SearchItem",
    "SearchOp",
    "TTLConfig",
    "ensure_embeddings",
    "get_text_at_path",
    "tokenize_path",
]


class BaseStore:
    """Base of all stores.

    To write one, define `abatch`, or `batch` as a plain method, which is called on worker threads.
    `aiograph.testing.stores.StoreContract` holds the tests that a store has to pass.

    Namespaces are tuples of labels: text that is not empty and has neither a dot nor a NUL in it. Values are
    dicts of what JSON knows; tuples become lists, enums and UUIDs become their value or text. What you get is
    yours: changing it changes nothing that is stored.

    Raises:
        TypeError: At construction, when neither colour of `batch` is defined.
    """

    supports_ttl: ClassVar[bool] = False
    """Whether items can expire."""

    ttl_config: TTLConfig | None = None
    """How items expire unless a call says otherwise."""

    needs_no_loop: bool = False
    """Whether no verb ever waits, so that synchronous ones may be called anywhere, event loops included."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        require_verbs(cls, BaseStore, "store", ["batch"])
        return super().__new__(cls)

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for verb in _OVERRIDABLE:
            complete_verb(cls, verb)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Carries out operations, all or none, and returns a result for each, in order.

        Reads see what was there before the batch, wherever they stand in it. Of several puts to one key, the
        last one counts. On cancellation either all or none is done.

        Raises:
            InvalidNamespaceError: A namespace or key cannot be stored. Nothing was done, as with what
                follows.
            StoreQueryError: A filter or limit makes no sense, or a query meets a store without an index.
            StoreValueError: A value cannot be stored; the message gives the path to it.
        """
        raise NotImplementedError

    async def aget(self, namespace: Namespace, key: str, *, refresh_ttl: bool | None = None) -> Item | None:
        """The item at a key, or `None`.

        Args:
            namespace: Where it is.
            key: Its key there.
            refresh_ttl: Whether its time to live starts anew; by default as `ttl_config` says.
        """
        return cast("Item | None", await self._ask(GetOp(namespace, key, self._refreshes(refresh_ttl))))

    async def asearch(
        self,
        namespace_prefix: Namespace,
        /,
        *,
        query: str | None = None,
        filter: Mapping[str, Any] | None = None,
        limit: int = 10,
        offset: int = 0,
        refresh_ttl: bool | None = None,
    ) -> list[SearchItem]:
        """The items in a namespace and all below it: those put last first, or those nearest to a query.

        Args:
            namespace_prefix: Where to look; `()` is everywhere.
            query: What the items should be about. The store needs an index, and items that are not indexed
                are not found.
            filter: What has to be true of values: `{"colour": "red", "size": {"$gt": 3, "$lte": 9}}`, with
                the operators `$eq`, `$ne`, `$gt`, `$gte`, `$lt` and `$lte`, at any depth. Numbers compare
                as numbers and text as text; a field that is not there, or of another kind, does not match.
            limit: At most this many of those that match.
            offset: Leave out this many first.
            refresh_ttl: Whether the time to live of what is returned starts anew; by default as
                `ttl_config` says.
        """
        refresh = self._refreshes(refresh_ttl)
        op = SearchOp(namespace_prefix, filter, limit, offset, query, refresh)
        return cast("list[SearchItem]", await self._ask(op))

    async def aput(
        self,
        namespace: Namespace,
        key: str,
        value: Mapping[str, Any],
        index: Literal[False] | Sequence[str] | None = None,
        *,
        ttl: float | NotProvided | None = NOT_PROVIDED,
    ) -> None:
        """Stores a value, in place of the one that was there.

        Args:
            namespace: Where; at least one label.
            key: Its key there.
            value: A dict of what JSON knows.
            index: Paths to what queries find it by, such as `["title", "notes[*].text"]`; `None`: those of
                the store's index; `False`: no query finds it.
            ttl: Minutes until the item expires, fractions included; `None`: never. By default as `ttl_config`
                says.

        Raises:
            NotImplementedError: A `ttl` was given, but items of this store cannot expire.
        """
        if value is None:
            raise TypeError("a value is a dict; to delete an item, call adelete")
        await self._ask(PutOp(namespace, key, value, index, self._lifetime(ttl)))

    async def adelete(self, namespace: Namespace, key: str) -> None:
        """Deletes an item; nothing happens if there is none."""
        await self._ask(PutOp(namespace, key, None))

    async def alist_namespaces(
        self,
        *,
        prefix: NamespacePath | None = None,
        suffix: NamespacePath | None = None,
        max_depth: int | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[Namespace]:
        """The namespaces that hold items, in the order of their labels.

        Args:
            prefix: What they begin with; `"*"` stands for any one label.
            suffix: What they end with; likewise.
            max_depth: Cut longer ones to this many labels; each is listed once.
            limit: At most this many.
            offset: Leave out this many first.
        """
        conditions = [] if prefix is None else [MatchCondition("prefix", prefix)]
        conditions += [] if suffix is None else [MatchCondition("suffix", suffix)]
        op = ListNamespacesOp(tuple(conditions), max_depth, limit, offset)
        return cast("list[Namespace]", await self._ask(op))

    async def asweep_ttl(self) -> int:
        """Removes expired items and returns how many there were.

        Raises:
            NotImplementedError: Items of this store cannot expire.
        """
        raise NotImplementedError(f"items of {type(self).__name__} cannot expire")

    async def _ask(self, op: Op) -> Result:
        check_op(op)
        [result] = await self.abatch([op])
        return result

    def _refreshes(self, asked: bool | None) -> bool:
        return (self.ttl_config or {}).get("refresh_on_read", True) if asked is None else asked

    def _lifetime(self, asked: float | NotProvided | None) -> float | None:
        ttl = (self.ttl_config or {}).get("default_ttl") if isinstance(asked, NotProvided) else asked
        if ttl is not None and not self.supports_ttl:
            raise NotImplementedError(f"items of {type(self).__name__} cannot expire; leave out ttl")
        return ttl

    batch = blocking(abatch)
    get = blocking(aget)
    search = blocking(asearch)
    put = blocking(aput)
    delete = blocking(adelete)
    list_namespaces = blocking(alist_namespaces)
    sweep_ttl = blocking(asweep_ttl)


_OVERRIDABLE = ("batch", "get", "search", "put", "delete", "list_namespaces", "sweep_ttl")
