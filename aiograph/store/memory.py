"""`InMemoryStore`: a store in this process's memory, for tests and for what need not outlive it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import ClassVar, NamedTuple

from aiograph import _ids
from aiograph._forking import lock_for_all
from aiograph.store._batch import Address, Batch, Found, Hit, Put, Search, Stored, listed, plan_batch
from aiograph.store._checks import check_ttl_config
from aiograph.store._index import IndexConfig, VectorIndex
from aiograph.store._model import Namespace, Op, Result, TTLConfig
from aiograph.store._nearness import Vector, nearness
from aiograph.store.base import BaseStore

__all__ = ["InMemoryStore"]

_MINUTE = 60_000_000
"""Microseconds, which is what times are kept in."""

_SWEEP_MINUTES = 5.0

Vectors = Mapping[str, Vector]
"""By text."""


class _Row(NamedTuple):
    stored: Stored
    ttl: float | None
    expires_at: int | None
    vectors: Sequence[Vector]

    def is_expired(self, now: int) -> bool:
        return self.expires_at is not None and self.expires_at <= now

    def refreshed(self, now: int) -> "_Row":
        return self._replace(expires_at=_expiry(self.ttl, now))


class _Place:
    """A namespace: its own rows, and the namespaces below it."""

    __slots__ = ("below", "rows")

    def __init__(self) -> None:
        self.below: dict[str, _Place] = {}
        self.rows: dict[str, _Row] = {}

    @property
    def is_empty(self) -> bool:
        return not self.below and not self.rows

    def walk(self, namespace: Namespace) -> Iterator[tuple[Namespace, "_Place"]]:
        """This place, named `namespace`, and all below it."""
        waiting = [(namespace, self)]
        while waiting:
            name, place = waiting.pop()
            yield name, place
            waiting += [((*name, label), child) for label, child in place.below.items()]


class _Rows:
    """All rows of a store, by namespace and key. Knows nothing of time but which rows can expire."""

    def __init__(self) -> None:
        self._root = _Place()
        self.mortal: set[Address] = set()
        """Where rows are that can expire."""

    def get(self, address: Address) -> _Row | None:
        place = self._at(address.namespace)
        return None if place is None else place.rows.get(address.key)

    def keep(self, address: Address, row: _Row) -> None:
        place = self._root
        for label in address.namespace:
            place = place.below.setdefault(label, _Place())
        place.rows[address.key] = row
        if row.expires_at is None:
            self.mortal.discard(address)
        else:
            self.mortal.add(address)

    def remove(self, address: Address) -> None:
        """Removes a row, and the places that have become empty by it."""
        path = [self._root]
        for label in address.namespace:
            if label not in path[-1].below:
                return
            path.append(path[-1].below[label])
        path[-1].rows.pop(address.key, None)
        self.mortal.discard(address)
        for label in reversed(address.namespace):
            if not path.pop().is_empty:
                return
            del path[-1].below[label]

    def below(self, prefix: Namespace) -> Iterator[tuple[Namespace, Mapping[str, _Row]]]:
        """The rows of each namespace that begins so."""
        place = self._at(prefix)
        return (
            (name, each.rows) for name, each in (() if place is None else place.walk(prefix)) if each.rows
        )

    def _at(self, namespace: Namespace) -> _Place | None:
        place = self._root
        for label in namespace:
            if label not in place.below:
                return None
            place = place.below[label]
        return place


class _Reading(NamedTuple):
    """What a batch reads, as it is at one moment."""

    items: Mapping[Address, _Row]
    candidates: Mapping[int, Sequence[tuple[Address, _Row]]]
    """For each search, the rows where it looks."""
    namespaces: Mapping[int, list[Namespace]]


_lock = lock_for_all()
"""Held while a store's rows are read or changed."""


class InMemoryStore(BaseStore):
    """Keeps values in memory, encoded, so that later changes to live objects do not reach them.

    One store may serve any number of threads and event loops at once. Without an index it never waits, so
    its synchronous verbs may be called from asynchronous code too.

    Args:
        index: How items are found by what they are about.
        ttl: How items expire. Expired ones take up memory until they are swept: by `sweep_ttl`, and by a put
            when `sweep_interval_minutes` have passed, five unless told otherwise.

    Raises:
        TypeError: `embed` of the index cannot make vectors.
        ValueError: Something in `index` or `ttl` is missing, unknown or senseless.

    Examples:
        >>> store = InMemoryStore()
        >>> store.put(("users", "ann"), "food", {"likes": "pasta"})
        >>> store.search(("users",), filter={"likes": "pasta"})[0].namespace
        ('users', 'ann')
    """

    supports_ttl: ClassVar[bool] = True

    def __init__(self, *, index: IndexConfig | None = None, ttl: TTLConfig | None = None) -> None:
        self._index = None if index is None else VectorIndex(index)
        self.ttl_config = ttl = TTLConfig() if ttl is None else ttl
        check_ttl_config(ttl)
        self._omits_expired = ttl.get("omit_expired", True)
        self._sweep_minutes = ttl.get("sweep_interval_minutes", _SWEEP_MINUTES)
        # a subclass may wait in verbs of its own
        self.needs_no_loop = index is None and type(self) is InMemoryStore
        self._rows = _Rows()
        self._last = 0
        """When something was last put; later puts are later, whatever the clock says."""
        self._next_sweep = 0

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        batch = plan_batch(ops, self._index)
        texts, queries = await self._vectors(batch)
        with _lock:
            reading = self._read(batch, _now())
        hits = {
            position: search.page(_ranked(search, reading.candidates[position], queries, self._index))
            for position, search in batch.searches.items()
        }
        with _lock:
            self._refresh(batch, reading, hits)
            self._write(batch.puts, texts)
        items = {address: row.stored for address, row in reading.items.items()}
        return batch.results(Found(items, hits, reading.namespaces))

    async def asweep_ttl(self) -> int:
        with _lock:
            return self._sweep(_now())

    async def _vectors(self, batch: Batch) -> tuple[Vectors, Vectors]:
        """Of what is put, and of what is searched for."""
        if self._index is None or not (batch.texts or batch.queries):
            return {}, {}
        return await self._index.embed(batch.texts, batch.queries)

    # -- under the lock

    def _read(self, batch: Batch, now: int) -> _Reading:
        items = {
            address: row
            for address in batch.gets
            if (row := self._rows.get(address)) is not None and self._is_there(row, now)
        }
        candidates = {
            position: list(self._visible(search.prefix, now)) for position, search in batch.searches.items()
        }
        namespaces = {position: listed(self._namespaces(now), op) for position, op in batch.listings.items()}
        return _Reading(items, candidates, namespaces)

    def _visible(self, prefix: Namespace, now: int) -> Iterator[tuple[Address, _Row]]:
        for namespace, rows in self._rows.below(prefix):
            for key, row in rows.items():
                if self._is_there(row, now):
                    yield Address(namespace, key), row

    def _namespaces(self, now: int) -> Iterator[Namespace]:
        for namespace, rows in self._rows.below(()):
            if any(self._is_there(row, now) for row in rows.values()):
                yield namespace

    def _is_there(self, row: _Row, now: int) -> bool:
        return not (self._omits_expired and row.is_expired(now))

    def _refresh(self, batch: Batch, reading: _Reading, hits: Mapping[int, Sequence[Hit]]) -> None:
        """Starts the time to live of what was read anew, if it is still there."""
        if not self._rows.mortal:
            return
        read = {address for address in reading.items if batch.gets[address]}
        for position, found in hits.items():
            if batch.searches[position].refreshes:
                read |= {hit.address for hit in found}
        now = _now()
        for address in read & self._rows.mortal:
            row = self._rows.get(address)
            if row is not None:
                self._rows.keep(address, row.refreshed(now))

    def _write(self, puts: Mapping[Address, Put | None], vectors: Vectors) -> None:
        if not puts:
            return
        now = self._last = max(_now(), self._last + 1)
        self._sweep_if_due(now)
        for address, put in puts.items():
            if put is None:
                self._rows.remove(address)
            else:
                self._rows.keep(address, self._row(address, put, vectors, now))

    def _row(self, address: Address, put: Put, vectors: Vectors, now: int) -> _Row:
        old = self._rows.get(address)
        created_at = old.stored.created_at if old is not None and self._is_there(old, now) else now
        stored = Stored(put.value, created_at, now)
        return _Row(stored, put.ttl, _expiry(put.ttl, now), [vectors[text] for text in put.texts])

    def _sweep_if_due(self, now: int) -> None:
        if self._sweep_minutes is not None and now >= self._next_sweep:
            self._sweep(now)
            self._next_sweep = now + round(self._sweep_minutes * _MINUTE)

    def _sweep(self, now: int) -> int:
        expired = [
            address
            for address in self._rows.mortal
            if (row := self._rows.get(address)) is not None and row.is_expired(now)
        ]
        for address in expired:
            self._rows.remove(address)
        return len(expired)


def _now() -> int:
    return _ids.wall_ns() // 1_000


def _expiry(ttl: float | None, now: int) -> int | None:
    return None if ttl is None else now + round(ttl * _MINUTE)


def _ranked(
    search: Search,
    candidates: Iterable[tuple[Address, _Row]],
    queries: Vectors,
    index: VectorIndex | None,
) -> Iterable[Hit]:
    """What a search finds, in order."""
    if search.query is None or index is None:
        newest_first = sorted(candidates, key=lambda found: (-found[1].stored.updated_at, found[0]))
        return (Hit(address, row.stored, None) for address, row in _fitting(search, newest_first))
    scores = _scores(queries[search.query], list(_fitting(search, candidates)), index)
    return sorted(scores, key=lambda hit: (-(hit.score or 0.0), hit.address))


def _fitting(search: Search, candidates: Iterable[tuple[Address, _Row]]) -> Iterator[tuple[Address, _Row]]:
    """Those that the filter lets through."""
    return ((address, row) for address, row in candidates if search.fits(row.stored.value))


def _scores(query: Vector, rows: Sequence[tuple[Address, _Row]], index: VectorIndex) -> list[Hit]:
    """The rows that have vectors, each with the score of its nearest one."""
    indexed = [(address, row) for address, row in rows if row.vectors]
    vectors = [vector for _, row in indexed for vector in row.vectors]
    scores = iter(nearness(query, vectors, index.distance))
    return [Hit(address, row.stored, max(islice(scores, len(row.vectors)))) for address, row in indexed]
