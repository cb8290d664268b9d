"""Histories with forks, copies and deletions: what is kept reads back equal, and nothing is left over."""

import asyncio
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    Begun,
    ChannelVersions,
    Checkpoint,
    Commit,
    Superstep,
    TaskWrites,
    config_for,
)
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.testing.savers._begun import begin
from tests.faults.backends import ALL, Backend, backend_of

THREADS, NAMESPACES, RUNS = ("t", "u"), ("", "inner"), ("r", "s")

_THREAD, _NAMESPACE, _RUN = map(st.sampled_from, (THREADS, NAMESPACES, RUNS))
_CHOICE = st.integers(0, 9)

OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), _THREAD, _NAMESPACE, _RUN, _CHOICE),
        st.tuples(st.just("go_on"), _THREAD, _NAMESPACE, _RUN, st.lists(_CHOICE, max_size=4), st.booleans()),
        st.tuples(st.just("write"), _THREAD, _NAMESPACE, _CHOICE),
        st.tuples(st.just("copy"), _THREAD),
        st.tuples(st.just("prune"), _THREAD),
        st.tuples(st.just("delete"), _THREAD),
        st.tuples(st.just("forget"), _RUN),
    ),
    max_size=25,
)
"""The names of methods of `History`, with their arguments."""


class Kept(NamedTuple):
    """A checkpoint as it should be found."""

    values: dict[str, Any]
    parent: str | None
    run: str
    writes: list[tuple[str, str, Any]]


class Place(NamedTuple):
    """Where a checkpoint belongs."""

    thread_id: str
    namespace: str
    parent: str | None


Line = dict[str, Kept]
"""Checkpoints of a namespace by id."""


class History:
    """Does the same to a saver and to plain dicts."""

    def __init__(self, saver: BaseCheckpointSaver) -> None:
        self.saver = saver
        self.lines: defaultdict[tuple[str, str], Line] = defaultdict(dict)
        """By thread and namespace."""
        self.count = 0

    async def do(self, operation: tuple[Any, ...]) -> None:
        verb, *details = operation
        await getattr(self, verb)(*details)

    async def put(self, thread_id: str, namespace: str, run: str, choice: int) -> None:
        """A checkpoint after any other one of its line; a long list in it differs in two places."""
        line = self.lines[thread_id, namespace]
        parent = chosen(line, choice)
        values = self._values(line[parent].values if parent else None, choice)
        checkpoint = self._checkpoint(values)
        config = config_for(thread_id, namespace, parent)
        versions: ChannelVersions = dict.fromkeys(values, self.count)
        metadata: Any = {"source": "loop", "run_id": run}
        await self.saver.aput(config, checkpoint, metadata, versions)
        line[checkpoint["id"]] = Kept(values, parent, run, [])

    async def go_on(self, thread_id: str, namespace: str, run: str, choices: list[int], begins: bool) -> None:
        """Supersteps of a run that goes on from the head: each is begun behind the one before, or awaited."""
        line = self.lines[thread_id, namespace]
        _, hold = await self.saver.ahold(config_for(thread_id, namespace))
        begun: list[Begun] = []
        for choice in choices:
            commit = self._superstep(Place(thread_id, namespace, max(line, default=None)), run, choice, hold)
            if begins:
                begun.append(await begin(self.saver, commit, begun[-1] if begun else None))
            else:
                await self.saver.acommit(commit)
        for each in begun:
            await each.certain_outcome()

    def _superstep(self, place: "Place", run: str, choice: int, hold: Hold) -> Commit:
        """One more checkpoint of a line, and with it what a task has written beside the one before."""
        line, parent = self.lines[place[:2]], place.parent
        values = self._values(line[parent].values if parent else None, choice)
        checkpoint = self._checkpoint(values)
        line[checkpoint["id"]] = Kept(values, parent, run, [])
        task = (f"task {self.count:06}", "w", [f"written {self.count}" * 10] * 9)
        if parent:
            line[parent].writes.append(task)
        writes = [self.saver.encode_writes(TaskWrites(task[0], "", [task[1:]]), hold)] if parent else []
        versions: ChannelVersions = dict.fromkeys(values, self.count)
        metadata: Any = {"source": "loop", "run_id": run}
        superstep = Superstep.of(config_for(*place), checkpoint, metadata, versions)
        return self.saver.encode_commit(superstep, writes, hold)

    def _values(self, before: dict[str, Any] | None, choice: int) -> dict[str, Any]:
        """Other values than any before; a long list among them differs in two places."""
        items = before["long"] if before else [f"item {number}" * 5 for number in range(60)]
        self.count += 1
        values: dict[str, Any] = {"n": self.count, "long": [*items, f"more {self.count}"]}
        values["long"][choice * 5] = f"changed {choice}" * 10
        return values

    def _checkpoint(self, values: dict[str, Any]) -> Checkpoint:
        return Checkpoint(
            v=1,
            id=f"1f000000-0000-6000-8000-{self.count:012}",
            ts="2026-01-31T08:00:00+00:00",
            channel_values=values,
            channel_versions=dict.fromkeys(values, self.count),
            versions_seen={},
            updated_channels=None,
        )

    async def write(self, thread_id: str, namespace: str, choice: int) -> None:
        line = self.lines[thread_id, namespace]
        checkpoint_id = chosen(line, choice)
        if checkpoint_id is None:
            return
        self.count += 1
        task_id, value = f"task {self.count:06}", [f"written {self.count}" * 10] * 9
        await self.saver.aput_writes(config_for(thread_id, namespace, checkpoint_id), [("w", value)], task_id)
        line[checkpoint_id].writes.append((task_id, "w", value))

    async def copy(self, thread_id: str) -> None:
        self.count += 1
        target = f"copy {self.count}"
        await self.saver.acopy_thread(thread_id, target)
        for (source, namespace), line in list(self.lines.items()):
            if source == thread_id:
                copied = {key: kept._replace(writes=[*kept.writes]) for key, kept in line.items()}
                self.lines[target, namespace] = copied

    async def prune(self, thread_id: str) -> None:
        await self.saver.aprune([thread_id])
        for line in self._of(thread_id):
            for checkpoint_id in sorted(line)[:-1]:
                del line[checkpoint_id]

    async def delete(self, thread_id: str) -> None:
        await self.saver.adelete_thread(thread_id)
        for line in self._of(thread_id):
            line.clear()

    async def forget(self, run: str) -> None:
        await self.saver.adelete_for_runs([run])
        for line in self.lines.values():
            for checkpoint_id in [key for key, kept in line.items() if kept.run == run]:
                del line[checkpoint_id]

    def _of(self, thread_id: str) -> Iterator[Line]:
        return (line for (owner, _), line in self.lines.items() if owner == thread_id)

    async def check(self) -> None:
        for (thread_id, namespace), line in self.lines.items():
            config = config_for(thread_id, namespace)
            found = {saved.checkpoint["id"]: kept(saved) async for saved in self.saver.alist(config)}
            assert found == line
            head = await self.saver.aget_tuple(config)
            assert (head and head.checkpoint["id"]) == max(line, default=None)

    async def leave(self) -> None:
        """Removes everything."""
        for thread_id, _ in self.lines:
            await self.saver.adelete_thread(thread_id)


def chosen(line: Line, choice: int) -> str | None:
    return sorted(line)[choice % len(line)] if line else None


def kept(saved: Any) -> Kept:
    parent = saved.parent_config and saved.parent_config["configurable"]["checkpoint_id"]
    return Kept(
        saved.checkpoint["channel_values"], parent, saved.metadata["run_id"], saved.pending_writes or []
    )


# -- what is left over -----------------------------------------------------------------------------

_SOURCES = "SELECT thread_id, refs FROM checkpoints UNION ALL SELECT thread_id, refs FROM checkpoint_writes"
_BLOBS = "SELECT thread_id, address, refs FROM checkpoint_blobs"

Cells = dict[tuple[str, bytes], bytes]
"""References by thread and address."""


def rows(backend: Backend, sql: str) -> list[tuple[Any, ...]]:
    if backend.name == "sqlite":
        with closing(sqlite3.connect(backend.address)) as connection:
            return connection.execute(sql).fetchall()
    with psycopg.connect(backend.address) as connection:
        return connection.execute(sql.encode()).fetchall()


def stored(backend: Backend, saver: Any) -> tuple[Cells, list[tuple[str, bytes]]]:
    """The cells that there are, and what refers to them from outside."""
    if isinstance(saver, InMemorySaver):
        threads = saver._threads.items()
        cells = {(name, key): cell.refs for name, thread in threads for key, cell in thread.cells.items()}
        lines = [(name, line) for name, thread in threads for line in thread.lines.values()]
        return cells, [(name, cell.refs) for name, line in lines for cell in line.cells()]
    cells = {(thread_id, address): refs for thread_id, address, refs in rows(backend, _BLOBS)}
    return cells, [(thread_id, refs) for thread_id, refs in rows(backend, _SOURCES)]


def reached(cells: Cells, sources: Iterable[tuple[str, bytes]]) -> set[tuple[str, bytes]]:
    """Follows references; one that leads nowhere is an error."""
    found: set[tuple[str, bytes]] = set()
    todo = list(sources)
    while todo:
        thread_id, refs = todo.pop()
        for start in range(0, len(refs), 16):
            place = thread_id, refs[start : start + 16]
            if place not in found:
                found.add(place)
                todo.append((thread_id, cells[place]))
    return found


def check_nothing_is_left_over(backend: Backend, saver: BaseCheckpointSaver, threads: set[str]) -> None:
    cells, sources = stored(backend, saver)
    assert cells.keys() == reached(cells, sources)
    if backend.name != "memory":
        assert [backend.lost_rows(thread_id) for thread_id in sorted(threads)] == [{}] * len(threads)


# -- the test --------------------------------------------------------------------------------------


async def live_through(backend: Backend, operations: list[Any]) -> None:
    async with backend.saver() as saver:
        history = History(saver)
        try:
            for operation in operations:
                await history.do(operation)
            await end(backend, history)
        finally:
            await history.leave()
        assert stored(backend, saver) == ({}, [])


async def end(backend: Backend, history: History) -> None:
    threads = {thread_id for thread_id, _ in history.lines}
    await history.check()
    check_nothing_is_left_over(backend, history.saver, threads)
    for thread_id in THREADS:
        await history.prune(thread_id)
    await history.check()
    check_nothing_is_left_over(backend, history.saver, threads)


def live_through_many(backend: Backend, examples: int) -> None:
    @settings(max_examples=examples)
    @given(OPERATIONS)
    def one(operations: list[Any]) -> None:
        asyncio.run(live_through(backend, operations))

    one()


@pytest.fixture(params=ALL)
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Backend:
    backend = backend_of(request, tmp_path)
    with backend.saver() as saver:
        saver.delete_thread("t")  # the tables are there from now on
    return backend


def test_what_is_kept_reads_back_equal_and_nothing_is_left_over(backend: Backend) -> None:
    live_through_many(backend, 60)


@pytest.mark.long
def test_thousands_of_histories(backend: Backend) -> None:
    live_through_many(backend, 3000)
