"""A batch of operations, decided: what is read and written, each key once, and how answers are made of it.

Stores that plan their batches here agree on all that is not storage: reads see what was there before the
batch, of several puts to a key the last one counts, values are JSON, and nothing happens if any operation
is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, NamedTuple, TypeVar

import orjson

from aiograph.checkpoint.serde._filter import Condition, fulfils
from aiograph.checkpoint.serde._metadata import dump_json
from aiograph.checkpoint.serde.base import UnstorableValueError
from aiograph.errors import StoreQueryError, StoreValueError
from aiograph.store._checks import check_op
from aiograph.store._filter import parse_filter
from aiograph.store._index import VectorIndex
from aiograph.store._model import (
    GetOp,
    Item,
    ListNamespacesOp,
    Namespace,
    Op,
    PutOp,
    Result,
    SearchItem,
    SearchOp,
)

T = TypeVar("T")

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Address(NamedTuple):
    """Where an item is."""

    namespace: Namespace
    key: str


class Put(NamedTuple):
    """A value to be stored."""

    value: bytes
    """As JSON."""
    ttl: float | None
    """Minutes."""
    texts: tuple[str, ...]
    """What is to be indexed."""


class Search(NamedTuple):
    """A search whose filter is parsed."""

    prefix: Namespace
    conditions: tuple[Condition, ...]
    query: str | None
    limit: int
    offset: int
    refreshes: bool

    def fits(self, value: bytes) -> bool:
        """Whether a stored value fulfils all conditions."""
        if not self.conditions:
            return True
        document = orjson.loads(value)
        return all(fulfils(document, condition) for condition in self.conditions)

    def page(self, ranked: Iterable[T]) -> list[T]:
        """The part of what was found that is asked for; looks no further."""
        return list(islice(ranked, self.offset, self.offset + self.limit))


class Stored(NamedTuple):
    """What a store holds at an address; times in microseconds since 1970."""

    value: bytes
    created_at: int
    updated_at: int


class Hit(NamedTuple):
    """What a search has found."""

    address: Address
    stored: Stored
    score: float | None


class Found(NamedTuple):
    """What a store has read for a batch; searches and listings by the position of their operation."""

    items: Mapping[Address, Stored]
    hits: Mapping[int, Sequence[Hit]]
    namespaces: Mapping[int, list[Namespace]]


class Batch(NamedTuple):
    """Operations, sorted by kind."""

    ops: Sequence[Op]
    gets: Mapping[Address, bool]
    """Each item once, and whether any operation wants its time to live to start anew."""
    searches: Mapping[int, Search]
    listings: Mapping[int, ListNamespacesOp]
    puts: Mapping[Address, Put | None]
    """`None` deletes."""

    @property
    def queries(self) -> list[str]:
        """What is searched for by meaning."""
        return [search.query for search in self.searches.values() if search.query is not None]

    @property
    def texts(self) -> list[str]:
        """What is to be indexed."""
        return [text for put in self.puts.values() if put is not None for text in put.texts]

    def results(self, found: Found) -> list[Result]:
        """An answer for each operation, in order; no two share a value."""
        return [self._result(position, op, found) for position, op in enumerate(self.ops)]

    def _result(self, position: int, op: Op, found: Found) -> Result:
        match op:
            case GetOp():
                address = Address(op.namespace, op.key)
                stored = found.items.get(address)
                return None if stored is None else Item(**_fields(address, stored))
            case SearchOp():
                return [
                    SearchItem(**_fields(hit.address, hit.stored), score=hit.score)
                    for hit in found.hits[position]
                ]
            case ListNamespacesOp():
                return found.namespaces[position]
            case PutOp():
                return None


def plan_batch(ops: Iterable[Op], index: VectorIndex | None) -> Batch:
    """Checks and sorts operations.

    Raises:
        InvalidNamespaceError, StoreQueryError, StoreValueError, TypeError: An operation cannot be done; none
            is.
    """
    ops = list(ops)
    gets: dict[Address, bool] = {}
    searches: dict[int, Search] = {}
    listings: dict[int, ListNamespacesOp] = {}
    puts: dict[Address, PutOp] = {}
    for position, op in enumerate(ops):
        check_op(op)
        match op:
            case GetOp(namespace, key, refresh):
                gets[Address(namespace, key)] = gets.get(Address(namespace, key), False) or refresh
            case SearchOp():
                searches[position] = _search(op, index)
            case ListNamespacesOp():
                listings[position] = op
            case PutOp(namespace, key):
                puts[Address(namespace, key)] = op
    return Batch(ops, gets, searches, listings, {address: _put(op, index) for address, op in puts.items()})


def _search(op: SearchOp, index: VectorIndex | None) -> Search:
    if op.query is not None and index is None:
        raise StoreQueryError(
            f"search(query={op.query!r}): the store has no index; make it with index=, or leave the query out"
        )
    return Search(op.namespace_prefix, parse_filter(op.filter), op.query, op.limit, op.offset, op.refresh_ttl)


def _put(op: PutOp, index: VectorIndex | None) -> Put | None:
    if op.value is None:
        return None
    value = encode_value(op)
    if index is None or op.index is False:
        return Put(value, op.ttl, ())
    return Put(value, op.ttl, index.texts(orjson.loads(value), op.index))


def encode_value(op: PutOp) -> bytes:
    """The value that an operation puts, as JSON.

    Raises:
        StoreValueError: Something in it cannot be stored; the message gives the path.
        TypeError: It is no dict.
    """
    if not isinstance(op.value, Mapping):
        raise TypeError(
            f"the value of {op.key!r} in {op.namespace!r} is a dict, not a {type(op.value).__name__}"
        )
    try:
        return dump_json(dict(op.value), "value")
    except UnstorableValueError as error:
        raise StoreValueError(
            f"{op.key!r} in {op.namespace!r}: cannot store {error.path}: {error.reason}"
        ) from error


def listed(namespaces: Iterable[Namespace], op: ListNamespacesOp) -> list[Namespace]:
    """Those that are asked for, in order."""
    fitting = {
        namespace[: op.max_depth]
        for namespace in namespaces
        if all(condition.holds(namespace) for condition in op.match_conditions or ())
    }
    return sorted(fitting)[op.offset : op.offset + op.limit]


def _fields(address: Address, stored: Stored) -> dict[str, Any]:
    return {
        "namespace": address.namespace,
        "key": address.key,
        "value": orjson.loads(stored.value),
        "created_at": _moment(stored.created_at),
        "updated_at": _moment(stored.updated_at),
    }


def _moment(microseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=microseconds)
