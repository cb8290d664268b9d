"""What savers on databases have in their tables, and how often they go there: SQLite and PostgreSQL alike."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias, TypedDict, cast

import psycopg
import pytest

from aiograph._cancel import Begun
from aiograph._sql.session import Change, Counters, Guard, Query, Row, Session
from aiograph._sql.sqlite import SqliteDatabase
from aiograph.checkpoint._relational._saver import SqlSaver
from aiograph.checkpoint.base import ChannelVersions, Commit, Superstep, TaskWrites, config_for
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.errors import CheckpointDeserializationError, CheckpointStorageError, ConcurrentUpdateError
from aiograph.graph import END, START, StateGraph
from aiograph.testing.faults import FaultySaver, fail_at
from aiograph.testing.savers import Verbs, make_checkpoint
from aiograph.types import Durability, RunnableConfig

Ask: TypeAlias = Callable[[str], list[Any]]
"""The rows of a statement, by a connection that is not the saver's."""

THREAD = config_for("t", "")
TABLES = ("checkpoints", "checkpoint_blobs", "checkpoint_writes", "checkpoint_heads")
MESSAGES = [f"{number} " * 200 for number in range(60)]
"""A value in many parts."""


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where the database is."""
    if request.param == "sqlite":
        return str(tmp_path / "checkpoints.db")
    conninfo: str = request.getfixturevalue("postgres_database")
    return conninfo


@pytest.fixture
async def saver(address: str) -> AsyncIterator[SqlSaver]:
    kind = AsyncPostgresSaver if "postgres" in address.partition(":")[0] else AsyncSqliteSaver
    async with kind.from_conn_string(address) as saver:
        await saver.asetup()
        yield saver


@pytest.fixture
def ask(saver: SqlSaver, address: str) -> Ask:
    def ask(sql: str) -> list[Any]:
        if isinstance(saver, AsyncSqliteSaver):
            with closing(sqlite3.connect(address, isolation_level=None)) as connection:
                return connection.execute(sql).fetchall()
        with psycopg.connect(address, autocommit=True) as postgres:
            cursor = postgres.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []

    return ask


def count(ask: Ask, table: str) -> int:
    ((number,),) = ask(f"SELECT count(*) FROM {table}")
    return int(number)


def require_no_orphan(ask: Ask) -> None:
    """Whatever stands in the tables, something needs it; and what is needed stands there."""
    checkpoints = set(ask("SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoints"))
    assert set(ask("SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoint_writes")) <= checkpoints
    newest = {line[:2]: max(each[2] for each in checkpoints if each[:2] == line[:2]) for line in checkpoints}
    heads = ask("SELECT thread_id, checkpoint_ns, checkpoint_id FROM checkpoint_heads")
    assert {(thread, namespace): head for thread, namespace, head in heads} == newest
    blobs = ask("SELECT thread_id, address, refs FROM checkpoint_blobs")
    refs = {(thread, bytes(address)): bytes(refs) for thread, address, refs in blobs}
    assert refs.keys() == _reach(ask, refs)


def _reach(ask: Ask, refs: dict[tuple[str, bytes], bytes]) -> set[tuple[str, bytes]]:
    roots = ask(
        "SELECT thread_id, refs FROM checkpoints UNION ALL SELECT thread_id, refs FROM checkpoint_writes"
    )
    found: set[tuple[str, bytes]] = set()
    left = [(thread, bytes(joined)) for thread, joined in roots]
    while left:
        thread, joined = left.pop()
        for start in range(0, len(joined), 16):
            key = (thread, joined[start : start + 16])
            if key not in found:
                found.add(key)
                left.append((thread, refs[key]))
    return found


async def grow(
    saver: SqlSaver, config: RunnableConfig, lengths: Sequence[int], run_id: str = ""
) -> list[Any]:
    """Puts checkpoints with so many messages, and writes beside each."""
    verbs, configs = Verbs(saver, "async"), []
    metadata: Any = {"run_id": run_id}
    for length in lengths:
        checkpoint = make_checkpoint({"messages": MESSAGES[:length], "note": f"{run_id}{length}" * 300})
        config = await verbs.put(config, checkpoint, metadata)
        await verbs("put_writes", config, [("messages", MESSAGES[: length + 1])], "task")
        configs.append(config)
    return configs


# -- clean-ups leave nothing behind ----------------------------------------------------------------


async def test_a_used_thread_has_no_orphan(saver: SqlSaver, ask: Ask) -> None:
    await grow(saver, THREAD, [10, 20, 30])
    require_no_orphan(ask)


async def test_keeping_the_latest_leaves_no_orphan(saver: SqlSaver, ask: Ask) -> None:
    first, *_ = await grow(saver, THREAD, [10, 20, 30])
    await grow(saver, first, [15])
    await grow(saver, config_for("t", "child:1"), [5, 6])
    await grow(saver, config_for("other", ""), [10, 20])
    before = await saver.aget_tuple(THREAD)
    await saver.aprune(["t"])
    require_no_orphan(ask)
    assert await saver.aget_tuple(THREAD) == before
    assert count(ask, "checkpoints") == 4


async def test_deleted_runs_leave_no_orphan(saver: SqlSaver, ask: Ask) -> None:
    *_, kept = await grow(saver, THREAD, [10, 20, 30], "kept")
    await grow(saver, kept, [40, 50], "gone")
    await grow(saver, config_for("t", "child:1"), [60], "gone")
    await saver.adelete_for_runs(["gone"])
    require_no_orphan(ask)
    assert count(ask, "checkpoints") == 3
    assert count(ask, "checkpoint_heads") == 1
    found = await saver.aget(THREAD)
    assert found is not None
    assert found["channel_values"]["messages"] == MESSAGES[:30]


@pytest.mark.parametrize("strategy", ["delete", "delete_thread", "delete_for_runs"])
async def test_a_deleted_thread_leaves_no_rows(saver: SqlSaver, ask: Ask, strategy: str) -> None:
    await grow(saver, THREAD, [10, 20], "run")
    await grow(saver, config_for("t", "child:1"), [10], "run")
    if strategy == "delete":
        await saver.aprune(["t"], strategy="delete")
    elif strategy == "delete_thread":
        await saver.adelete_thread("t")
    else:
        await saver.adelete_for_runs(["run"])
    assert [count(ask, table) for table in TABLES] == [0, 0, 0, 0]


async def test_withdrawn_writes_leave_no_rows(saver: SqlSaver, ask: Ask) -> None:
    (config,) = await grow(saver, THREAD, [1])
    await saver.awithdraw_writes(config, ["task"])
    assert count(ask, "checkpoint_writes") == 0


async def test_a_refused_superstep_leaves_no_rows(saver: SqlSaver, ask: Ask) -> None:
    await grow(saver, THREAD, [10])
    _, hold = await saver.ahold(THREAD)
    await grow(saver, THREAD, [20])
    before = [count(ask, table) for table in TABLES]
    checkpoint = make_checkpoint({"messages": MESSAGES})
    task = saver.encode_writes(TaskWrites("late", "", [("messages", MESSAGES)]), hold)
    superstep = Superstep.of(config_for("t", "", hold.newest), checkpoint, {}, {"messages": 9})
    commit = saver.encode_commit(superstep, [task], hold)
    with pytest.raises(ConcurrentUpdateError, match="nothing was stored"):
        await saver.acommit(commit)
    assert [count(ask, table) for table in TABLES] == before


# -- what is written -------------------------------------------------------------------------------


def bytes_written(saver: SqlSaver) -> int:
    return saver._session.counters.bytes_written


async def test_a_fork_writes_no_value_again(saver: SqlSaver, ask: Ask) -> None:
    first, _ = await grow(saver, THREAD, [50, 60])
    blobs, before = count(ask, "checkpoint_blobs"), bytes_written(saver)
    found, hold = await saver.ahold(first)
    assert found is not None
    checkpoint = make_checkpoint({**found.checkpoint["channel_values"], "new": 1})
    await saver.acommit(saver.encode_commit(Superstep.of(first, checkpoint, {}, {"new": 2}), (), hold))
    assert count(ask, "checkpoint_blobs") == blobs
    assert bytes_written(saver) - before < 1500
    forked = await saver.aget(THREAD)
    assert forked is not None
    assert forked["channel_values"] == checkpoint["channel_values"]


class Counted(TypedDict):
    how_far_the_run_has_come: int


async def goes_on(state: Counted) -> Counted:
    return {"how_far_the_run_has_come": state["how_far_the_run_has_come"] + 1}


async def test_names_that_change_with_each_superstep_take_no_rows_of_their_own(
    saver: SqlSaver, ask: Ask
) -> None:
    builder = StateGraph(Counted).add_sequence([(name, goes_on) for name in ("first", "second", "third")])
    graph = builder.add_edge(START, "first").add_edge("third", END).compile(checkpointer=saver)
    for turn in range(1, 4):
        state = await graph.ainvoke({"how_far_the_run_has_come": turn}, THREAD)
        assert state == {"how_far_the_run_has_come": turn + 3}
        # in the second turn all names have been seen, and from then on they are the same
        assert count(ask, "checkpoint_blobs") == (0 if turn == 1 else 1)
    assert [found async for found in graph.aget_state_history(THREAD)][-1].next == ("__start__",)


async def test_names_that_come_again_are_stored_once(saver: SqlSaver, ask: Ask) -> None:
    def is_over(state: Counted) -> str:
        return END if state["how_far_the_run_has_come"] > 5 else "only"

    builder = StateGraph(Counted).add_node("only", goes_on).add_edge(START, "only")
    graph = builder.add_conditional_edges("only", is_over).compile(checkpointer=saver)
    await graph.ainvoke({"how_far_the_run_has_come": 0}, THREAD)
    assert count(ask, "checkpoint_blobs") == 1
    lengths = [length for (length,) in ask("SELECT length(checkpoint) FROM checkpoints")]
    assert max(lengths) - min(lengths) > len("how_far_the_run_has_come")


async def test_a_run_sends_what_has_changed(saver: SqlSaver) -> None:
    _, hold = await saver.ahold(THREAD)
    config, costs = THREAD, []
    for step in range(40):
        values = {"fixed": MESSAGES, "messages": MESSAGES[: step + 1]}
        checkpoint = make_checkpoint(values, versions={"fixed": 1, "messages": step + 1})
        changed: ChannelVersions = {"messages": step + 1} if step else checkpoint["channel_versions"]
        before = bytes_written(saver)
        await saver.acommit(saver.encode_commit(Superstep.of(config, checkpoint, {}, changed), (), hold))
        costs.append(bytes_written(saver) - before)
        config = config_for("t", "", checkpoint["id"])
    assert sum(costs[1:]) / 39 < len(MESSAGES[0]) + 2000
    assert costs[0] > sum(map(len, MESSAGES))


async def test_a_copy_is_made_by_the_server(saver: SqlSaver, ask: Ask) -> None:
    await grow(saver, THREAD, [20, 40, 60])
    before = [count(ask, table) for table in TABLES]
    rows, size = saver._session.counters.rows_written, bytes_written(saver)
    await saver.acopy_thread("t", "copy")
    assert [count(ask, table) for table in TABLES] == [2 * each for each in before]
    assert saver._session.counters.rows_written - rows < 10
    assert bytes_written(saver) - size < 200
    require_no_orphan(ask)


# -- the head of a run that has it already ---------------------------------------------------------


async def commits(saver: SqlSaver, count: int) -> list[Commit]:
    """Consecutive supersteps of one run, encoded and not stored yet."""
    _, hold = await saver.ahold(THREAD)
    config, made = THREAD, []
    for number in range(count):
        after = config["configurable"].get("checkpoint_id")
        checkpoint = make_checkpoint({"n": number}, versions={"n": number + 1}, after=after)
        task = saver.encode_writes(TaskWrites(f"task {number}", "", [("n", number)]), hold)
        versions = checkpoint["channel_versions"]
        superstep = Superstep.of(config, checkpoint, {}, versions)
        made.append(saver.encode_commit(superstep, [task] if number else (), hold))
        config = config_for("t", "", checkpoint["id"])
    return made


def stored(ask: Ask) -> dict[str, list[Any]]:
    return {table: sorted(ask(f"SELECT * FROM {table}"), key=str) for table in TABLES}


@pytest.mark.parametrize("repeated", [0, 1, 2], ids=["the first", "one between", "the last"])
async def test_a_write_that_arrives_again_at_once_changes_nothing(
    saver: SqlSaver, ask: Ask, repeated: int
) -> None:
    for number, commit in enumerate(await commits(saver, 3)):
        await saver.acommit(commit)
        if number == repeated:
            before = stored(ask)
            await saver.acommit(commit)
            assert stored(ask) == before


@pytest.mark.parametrize("repeated", [0, 1], ids=["the first", "one between"])
async def test_a_write_that_arrives_again_when_others_have_followed_is_refused(
    saver: SqlSaver, ask: Ask, repeated: int
) -> None:
    run = await commits(saver, 4)
    for commit in run[:3]:
        await saver.acommit(commit)
    before = stored(ask)
    with pytest.raises(ConcurrentUpdateError, match="nothing was stored"):
        await saver.acommit(run[repeated])
    assert stored(ask) == before
    await saver.acommit(run[3])  # the run goes on as if nothing had happened
    require_no_orphan(ask)


async def test_a_run_that_has_lost_the_head_does_not_move_it(saver: SqlSaver, ask: Ask) -> None:
    first, second, third = await commits(saver, 3)
    await saver.acommit(first)
    await saver.acommit(second)
    _, other = await saver.ahold(THREAD)
    await saver.aclaim(THREAD, other)
    before = stored(ask)
    with pytest.raises(ConcurrentUpdateError, match="nothing was stored"):
        await saver.acommit(third)
    assert stored(ask) == before


class Count(TypedDict):
    n: int


async def add_one(state: Count) -> Count:
    await asyncio.sleep(0)
    return {"n": state["n"] + 1}


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.parametrize("failing", range(1, 8))
async def test_a_superstep_that_was_not_stored_is_followed_by_none(
    saver: SqlSaver, ask: Ask, durability: Durability, failing: int
) -> None:
    builder = StateGraph(Count).add_node("add", add_one).add_edge(START, "add")
    builder.add_conditional_edges("add", lambda state: END if state["n"] == 6 else "add", ["add", END])
    mishap = fail_at(failing, lambda: CheckpointStorageError("down"), verb="acommit")
    graph = builder.compile(checkpointer=FaultySaver(saver, before=mishap))
    with pytest.raises(CheckpointStorageError, match="down"):
        await graph.ainvoke({"n": 0}, THREAD, durability=durability)
    # the first time stores two: the input, and the state that has taken it in
    assert count(ask, "checkpoints") == (0 if failing == 1 else failing)
    names = "SELECT checkpoint_id FROM checkpoints"
    assert ask(f"SELECT 1 FROM checkpoints WHERE parent_checkpoint_id NOT IN ({names})") == []
    again: Count | None = {"n": 0} if failing == 1 else None
    assert await graph.ainvoke(again, THREAD, durability=durability) == {"n": 6}
    require_no_orphan(ask)


# -- how often it goes there -----------------------------------------------------------------------


class CountingSession:
    """Counts the trips to a database."""

    def __init__(self, inner: Session) -> None:
        self._inner = inner
        self.reads = self.writes = 0

    @property
    def counters(self) -> Counters:
        return self._inner.counters

    async def fetch(self, query: Query, about: object) -> list[Row]:
        self.reads += 1
        return await self._inner.fetch(query, about)

    async def follow(self, plan: Any, about: object) -> Any:
        """What SQLite's has besides: in the same process, several queries are one trip."""
        self.reads += 1
        assert isinstance(self._inner, SqliteDatabase)
        return await self._inner.follow(plan, about)

    async def write(
        self, changes: Sequence[Change | Guard], about: object, order: tuple[str, ...] = ()
    ) -> None:
        self.writes += 1
        await self._inner.write(changes, about, order)

    def begin_write(
        self,
        changes: Sequence[Change | Guard],
        about: object,
        order: tuple[str, ...] = (),
        after: Begun | None = None,
    ) -> Begun | None:
        self.writes += 1
        return self._inner.begin_write(changes, about, order, after)

    async def aclose(self) -> None:
        await self._inner.aclose()


@pytest.fixture
def trips(saver: SqlSaver) -> CountingSession:
    saver._session = session = CountingSession(saver._session)
    if isinstance(saver, AsyncSqliteSaver):
        saver._database = cast(SqliteDatabase, session)
    return session


async def test_a_superstep_is_one_trip(saver: SqlSaver, trips: CountingSession) -> None:
    await grow(saver, THREAD, [1])
    trips.reads = trips.writes = 0
    found, hold = await saver.ahold(THREAD)
    assert found is not None
    writes = [
        saver.encode_writes(TaskWrites(f"task {each}", "", [("a", MESSAGES)]), hold) for each in range(3)
    ]
    checkpoint = make_checkpoint({"a": MESSAGES})
    await saver.acommit(
        saver.encode_commit(Superstep.of(found.config, checkpoint, {}, {"a": 1}), writes, hold)
    )
    assert (trips.reads, trips.writes) == (1, 1)


async def test_a_list_is_one_trip_per_page(saver: SqlSaver, trips: CountingSession) -> None:
    verbs = Verbs(saver, "async")
    await verbs.put_chain("t", 120)
    trips.reads = 0
    assert len(await verbs.listed(THREAD)) == 120
    assert trips.reads == 3
    assert len(await verbs.listed(THREAD, limit=10)) == 10
    assert trips.reads == 4
    assert len(await verbs.threads()) == 1
    assert trips.reads == 5


@pytest.mark.parametrize(
    "clean_up",
    [
        lambda saver: saver.aprune(["t"]),
        lambda saver: saver.adelete_thread("t"),
        lambda saver: saver.acopy_thread("t", "copy"),
    ],
    ids=["prune", "delete_thread", "copy_thread"],
)
async def test_a_clean_up_is_one_trip(saver: SqlSaver, trips: CountingSession, clean_up: Any) -> None:
    await grow(saver, THREAD, [10, 20])
    trips.reads = trips.writes = 0
    await clean_up(saver)
    assert (trips.reads, trips.writes) == (0, 1)


# -- damage ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM checkpoint_blobs WHERE address IN (SELECT address FROM checkpoint_blobs LIMIT 1)",
        "UPDATE checkpoint_blobs SET refs = checkpoint_blobs.address",
        "UPDATE checkpoint_blobs SET type = 'list+'",
        "UPDATE checkpoint_blobs SET blob = refs",
        "UPDATE checkpoints SET type = 'unknown'",
        "UPDATE checkpoints SET checkpoint = refs",
    ],
)
async def test_damaged_rows_are_an_error_that_tells_where(saver: SqlSaver, ask: Ask, damage: str) -> None:
    (config,) = await grow(saver, THREAD, [60])
    ask(damage)
    where = f"^thread 't', checkpoint '{config['configurable']['checkpoint_id']}', "
    with pytest.raises(CheckpointDeserializationError, match=where):
        await saver.aget_tuple(THREAD)
    with pytest.raises(CheckpointDeserializationError, match=where):
        await Verbs(saver, "async").listed(THREAD)
