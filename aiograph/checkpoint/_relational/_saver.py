"""The one implementation of all savers that keep checkpoints in tables."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence, Set
from functools import partial
from typing import Any, ClassVar, NamedTuple, Self

from aiograph._ids import microseconds
from aiograph._sql.session import Change, Query, Session, followed
from aiograph.bridge import blocking, off_loop
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint._relational import _reading as reading
from aiograph.checkpoint._relational import _statements as statements
from aiograph.checkpoint._relational._cache import CACHED_BYTES, NOTHING, CellCache, Known
from aiograph.checkpoint._relational._dialect import Dialect
from aiograph.checkpoint._relational._reading import Brought, Wants
from aiograph.checkpoint._relational._sealing import SealedCells, Sealer
from aiograph.checkpoint._relational._walking import with_cells
from aiograph.checkpoint._retention import Retention
from aiograph.checkpoint._statistics import Statistics
from aiograph.checkpoint.base import (
    Begun,
    CheckpointTuple,
    Commit,
    PruneStrategy,
    ThreadInfo,
    checked_names,
    thread_of,
)
from aiograph.checkpoint.serde._cells import Cell, Cells
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde._stored import (
    EncodedCheckpoint,
    EncodedWrites,
    Key,
    Listing,
    StoredCheckpoint,
    deletes_all,
    overtaken,
    place_text,
    require_limit,
    taken,
    thread_name,
)
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import Decoded, EncodingSaver, Sought, decode
from aiograph.types import RunnableConfig

_PAGE = 50
"""Checkpoints, or threads, that are read at once."""

_LARGE = 1_000_000
"""Bytes from which decoding leaves the loop: they would hold it up for milliseconds."""


class SqlSaver(EncodingSaver):
    """Keeps checkpoints in the tables of a database.

    A subclass says which database, and how to open it.

    Args:
        session: The database.
        serde: How values become bytes.
        cached_bytes: How much of what was read and written is kept in memory, so that it need not be fetched
            again. What others write is seen all the same.
    """

    dialect: ClassVar[Dialect]
    takes_pairs = True

    def __init__(
        self, session: Session, *, serde: SerializerProtocol | None = None, cached_bytes: int = CACHED_BYTES
    ) -> None:
        super().__init__(serde=serde, kept_bytes=cached_bytes // 2)
        self._session = session
        self._cache = CellCache(cached_bytes // 2)
        self._binds = self._seal is not PLAIN

    @property
    def statistics(self) -> Statistics:
        counters, tally = self._session.counters, self._tally
        return Statistics(
            puts=tally.puts,
            gets=tally.gets,
            cached_gets=tally.cached_gets,
            bytes_written=counters.bytes_written,
            seconds=counters.seconds,
            retries=counters.retries,
        )

    async def aclose(self) -> None:
        """Closes the database. What was asked before is done; what is asked later is an error."""
        await self._session.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()

    # -- writing

    async def acommit(self, commit: Commit) -> None:
        key: Key = commit.checkpoint.key
        sealer = await self._sealer(key.thread_id, commit.checkpoint.lineage)
        cells = _cells_of(commit)
        await self._session.write(self._changes(commit, cells, sealer), key, key[:2])
        self._note(commit, cells)

    def begin_commit(self, commit: Commit, after: Begun | None = None) -> Begun | None:
        key: Key = commit.checkpoint.key
        lineage = commit.checkpoint.lineage
        if commit.step is None or (lineage is None and self._binds):
            return None  # nothing would keep it from being stored without the one before, or it takes a wait
        cells = _cells_of(commit)
        changes = self._changes(commit, cells, Sealer(self._seal, lineage or key.thread_id))
        before = after.writing if isinstance(after, _BegunCommit) else None
        writing = self._session.begin_write(changes, key, key[:2], before)
        return None if writing is None else _BegunCommit(writing, partial(self._note, commit, cells))

    def _changes(self, commit: Commit, cells: Cells, sealer: Sealer) -> statements.Statements:
        key: Key = commit.checkpoint.key
        commits = _commits_in(commit)
        changes = self._admission(key, commit, sealer.lineage)
        changes += [self._insert_writes(each, sealer) for each in commits if _stores_writes(each)]
        changes += statements.insert_cells(self.dialect, sealer, key.thread_id, cells)
        changes += [self._insert_checkpoint(each, sealer) for each in commits]
        return changes

    def _note(self, commit: Commit, cells: Cells) -> None:
        """Notes that a commit is stored."""
        for _ in _commits_in(commit):
            self._tally.put()
        if commit.step is not None:
            self._cache.follow(commit.checkpoint.key[:2], cells, commit.checkpoint.reached)

    def _admission(self, key: Key, commit: Commit, lineage: str) -> statements.Statements:
        """What a commit asks of the head of its namespace, and does to it."""
        if commit.step is None:
            return statements.push_head(self.dialect, key, lineage)
        refusal = partial(overtaken, key)
        head = statements.take_head(self.dialect, key[:2], lineage, commit.step, refusal)
        admission: statements.Statements = [head]
        if commit.required_parent is not None:
            admission.append(statements.has_checkpoint(Key(*key[:2], commit.required_parent), refusal))
        return admission

    def _insert_writes(self, commit: Commit, sealer: Sealer) -> Change:
        checkpoint: EncodedCheckpoint = commit.checkpoint
        parent = Key(*checkpoint.key[:2], str(commit.parent_id))
        places = checkpoint.parent_places
        return statements.insert_writes(
            self.dialect, sealer, parent, commit.writes, whole=True, places=places
        )

    def _insert_checkpoint(self, commit: Commit, sealer: Sealer) -> Change:
        checkpoint: EncodedCheckpoint = commit.checkpoint
        key, parent_id, metadata = checkpoint.key, commit.parent_id, commit.metadata
        return statements.insert_checkpoint(self.dialect, sealer, key, parent_id, checkpoint, metadata)

    async def aclaim(self, config: RunnableConfig, hold: Hold) -> None:
        thread_id, namespace, _ = thread_of(config)
        sealer = await self._sealer(thread_id, hold.memory.lineage)
        refusal = partial(overtaken, Key(thread_id, namespace, str(hold.newest)))
        line = thread_id, namespace
        guard = statements.take_head(self.dialect, line, sealer.lineage, hold.claim(), refusal)
        await self._session.write([guard], place_text(thread_id, namespace), line)

    async def _arecord(self, key: Key, writes: Sequence[EncodedWrites], hold: Hold | None) -> None:
        sealer = await self._sealer(key.thread_id, None if hold is None else hold.memory.lineage)
        cells = {address: cell for task in writes for address, cell in task.cells.items()}
        changes = [
            *_admission_beside(self.dialect, key, hold),
            *statements.insert_cells(self.dialect, sealer, key.thread_id, cells),
            statements.insert_writes(self.dialect, sealer, key, writes, whole=hold is not None),
        ]
        await self._session.write(changes, key, key[:2])

    async def _awithdraw(self, key: Key, task_ids: Sequence[str], hold: Hold | None) -> None:
        changes = [*_admission_beside(self.dialect, key, hold), statements.delete_writes(key, task_ids)]
        await self._session.write(changes, key, key[:2])

    async def _sealer(self, thread_id: str, lineage: str | None) -> Sealer:
        """What seals the rows of a thread; without its lineage, that is looked up where it matters."""
        if lineage is None and self._binds:
            rows = await self._session.fetch(reading.lineage_of(thread_id), f"thread {thread_id!r}")
            lineage = rows[0][0] if rows else None
        return Sealer(self._seal, lineage or thread_id)

    # -- housekeeping

    async def adelete_thread(self, thread_id: str) -> None:
        name = thread_name(thread_id)
        await self._change(name, statements.delete_thread(self.dialect, name))
        self._cache.forget(name)
        self._memos.forget(name)

    async def adelete_for_runs(self, run_ids: Sequence[str]) -> None:
        wanted = checked_names(run_ids, "run_id")
        if not wanted:
            return
        condition = statements.of_runs(self.dialect, wanted)
        rows = await self._session.fetch(reading.threads_of_runs(condition, wanted), f"runs {wanted}")
        for (thread_id,) in rows:
            await self._change(thread_id, statements.delete_runs(self.dialect, thread_id, wanted))

    async def acopy_thread(self, source_thread_id: str, target_thread_id: str) -> None:
        source, target = thread_name(source_thread_id), thread_name(target_thread_id)
        changes = statements.copy_thread(self.dialect, source, target, partial(taken, target))
        await self._session.write(changes, f"copying thread {source!r} to {target!r}", (source,))

    async def aprune(self, thread_ids: Sequence[str], *, strategy: PruneStrategy = "keep_latest") -> None:
        delete_all = deletes_all(strategy)
        for name in checked_names(thread_ids, "thread_id"):
            if delete_all:
                await self.adelete_thread(name)
            else:
                await self._change(name, statements.delete_older(self.dialect, name))

    async def asweep(self, retention: Retention, thread_ids: Sequence[str] | None = None) -> None:
        oldest = retention.checked().oldest()
        before = None if oldest is None else microseconds(oldest)
        if thread_ids is None:
            thread_ids = [row[0] for row in await self._session.fetch(reading.all_threads(), "threads")]
        for name in checked_names(thread_ids, "thread_id"):
            outdated = statements.delete_outdated(self.dialect, name, retention.keep_last, before)
            await self._change(name, outdated)

    async def _change(self, thread_id: str, changes: statements.Statements) -> None:
        await self._session.write(changes, f"thread {thread_id!r}", (thread_id,))

    # -- reading

    async def _afind(self, config: RunnableConfig) -> Sought:
        thread_id, namespace, checkpoint_id = place = thread_of(config)
        known = self._cache.known((thread_id, namespace))
        named = "" if checkpoint_id is None else f", checkpoint {checkpoint_id!r}"
        about = place_text(thread_id, namespace) + named
        ask = partial(reading.read_one, self.dialect, *place)
        brought = await self._arows(ask, about, known.whole)
        found = reading.found(self._content, self._seal, brought, known)
        self._tally.get(cached=known is not NOTHING and not any(brought.cells.values()))
        return Sought(found.checkpoints[0] if found.checkpoints else None, found.head, found.lineage)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: Mapping[str, Any] | None = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        listing = Listing.of(config, filter, before, limit)
        thread_id, namespace = listing.thread_id, listing.namespace or ""
        known = NOTHING if thread_id is None else self._cache.known((thread_id, namespace))
        left, after = limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            page = await self._apage(listing, known, after, size)
            for stored in page:
                yield (await self._adecode_aside(stored)).found
            if len(page) < size:
                return
            left = None if left is None else left - size
            after = page[-1].key

    async def _apage(
        self, listing: Listing, known: Known, after: Key | None, size: int
    ) -> list[StoredCheckpoint]:
        ask = partial(reading.read_page, self.dialect, listing, after, size)
        brought = await self._arows(ask, f"checkpoints of thread {listing.thread_id!r}", known.whole)
        return reading.found(self._content, self._seal, brought, known).checkpoints

    async def _arows(self, ask: Callable[[Wants], Query], about: str, known: Set[bytes]) -> Brought:
        """The rows that a query brings, and those of the cells that they lead to, unless these are known."""
        if known:
            query = ask(Wants(cells=False, lineage=self._binds))
            fetch = partial(self._session.fetch, about=about)
            brought = await followed(with_cells(self.dialect, query, known), fetch)
            if brought.is_whole:
                return brought
            # a clean-up has come between: one statement sees the database as it is at one moment
        query = ask(Wants(cells=True, lineage=self._binds))
        return reading.parted(await self._session.fetch(query, about))

    async def alist_threads(self, *, limit: int | None = None) -> AsyncIterator[ThreadInfo]:
        require_limit(limit)
        left, after = limit, None
        while left is None or left > 0:
            size = _PAGE if left is None else min(left, _PAGE)
            rows = await self._session.fetch(reading.read_threads(size, after), "threads")
            for row in rows:
                yield reading.thread_info(row)
            if len(rows) < size:
                return
            left = None if left is None else left - size
            after = rows[-1][1], rows[-1][0]

    async def _adecode(self, stored: StoredCheckpoint) -> Decoded:
        decoded = await self._adecode_aside(stored)
        if isinstance(cells := stored.cells, SealedCells):
            self._cache.learn(stored.key[:2], cells.known, cells.opened)
        return decoded

    async def _adecode_aside(self, stored: StoredCheckpoint) -> Decoded:
        """Decodes, off the loop if there is much."""
        work = partial(decode, self._content, stored, self._memos)
        return await off_loop(work) if stored.size > _LARGE else work()

    # -- the other colour

    close = blocking(aclose)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


class _BegunCommit(NamedTuple):
    """See `Begun`."""

    writing: Begun
    note: Callable[[], None]
    """To be called when it is stored."""

    async def certain_outcome(self) -> None:
        await self.writing.certain_outcome()
        self.note()


def _commits_in(commit: Commit) -> list[Commit]:
    """A commit, and before it what is stored in one go with it."""
    return [commit] if commit.ahead is None else [commit.ahead, commit]


def _stores_writes(commit: Commit) -> bool:
    return bool(commit.writes) and commit.parent_id is not None


def _cells_of(commit: Commit) -> dict[bytes, Cell]:
    """The cells that a commit stores."""
    cells: dict[bytes, Cell] = {}
    for each in _commits_in(commit):
        cells.update(each.checkpoint.cells)
        if _stores_writes(each):
            cells.update(pair for task in each.writes for pair in task.cells.items())
    return cells


def _admission_beside(dialect: Dialect, key: Key, hold: Hold | None) -> statements.Statements:
    """What has to hold before something is written beside a checkpoint; clean-ups are kept away by it."""
    if hold is None:
        return statements.keep_thread(dialect, key.thread_id)
    refusal = partial(overtaken, key)
    owned: statements.Statements = [statements.has_epoch(key, hold.epoch, refusal)]
    if hold.required_parent(key.checkpoint_id) is not None:
        owned.append(statements.has_checkpoint(key, refusal))
    return owned
