"""Operations of the journal: merged into fewer steps, in pairs, and two under way at once."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import BaseCheckpointSaver, Begun, Commit, Superstep, TaskWrites, config_for
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres.aio import AsyncPostgresSaver
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.errors import CheckpointError, ConcurrentUpdateError
from aiograph.pregel._backlog import Backlog, Record, Storage, Withdrawal, merged
from aiograph.testing.faults import FaultySaver, SaverCall, delay_turns, fail_at
from aiograph.testing.savers._holds import Run
from tests._sql.outages import Proxy
from tests.faults.rig import BeginningSaver


def record(checkpoint: str, *writes: Any) -> Record:
    return Record(config_for("t", "", checkpoint), list(writes))


def commit(parent: str, *writes: Any) -> Commit:
    return Commit("t", "", parent, list(writes), f"after {parent}", {}, {})


def withdrawal(checkpoint: str, *tasks: str) -> Withdrawal:
    return Withdrawal(config_for("t", "", checkpoint), list(tasks))


def test_records_beside_one_checkpoint_travel_together() -> None:
    assert merged([record("1", "a"), record("1", "b"), record("2", "c")]) == [
        record("1", "a", "b"),
        record("2", "c"),
    ]


def test_records_travel_with_the_commit_that_follows_their_checkpoint() -> None:
    assert merged([record("1", "a"), record("1", "b"), commit("1", "c")]) == [commit("1", "a", "b", "c")]


def test_a_commit_that_follows_another_checkpoint_stands_alone() -> None:
    steps: list[Any] = [record("1", "a"), commit("2", "b")]
    assert merged(steps) == steps


def test_nothing_moves_across_a_withdrawal() -> None:
    steps: list[Any] = [record("1", "a"), withdrawal("1", "t"), record("1", "b"), commit("1")]
    assert merged(steps) == [record("1", "a"), withdrawal("1", "t"), commit("1", "b")]


def test_commits_are_never_merged() -> None:
    steps = [commit("1"), commit("2"), commit("2")]
    assert merged(steps) == steps


OPERATIONS = st.lists(
    st.builds(
        lambda make, checkpoint, what: make(checkpoint, what),
        st.sampled_from([record, commit, withdrawal]),
        st.sampled_from("12"),
        st.sampled_from("abc"),
    )
)


def spelled_out(operations: Any) -> list[Any]:
    """Each write, commit and withdrawal by itself, in order."""
    found: list[Any] = []
    for operation in operations:
        if isinstance(operation, Withdrawal):
            found.append(operation)
            continue
        found += [(operation.config, write) for write in operation.writes]
        if isinstance(operation, Commit):
            found.append(operation._replace(writes=[]))
    return found


@given(OPERATIONS)
def test_everything_is_done_in_the_order_in_which_it_was_handed_over(operations: Any) -> None:
    assert spelled_out(merged(operations)) == spelled_out(operations)


# -- pairs


class Keeping:
    """A run with its backlog, over a database."""

    def __init__(self, saver: FaultySaver, run: Run) -> None:
        self.saver = saver
        self.run = run
        self.backlog = Backlog(Storage(saver, run.hold, "t"))

    @property
    def verbs(self) -> list[str]:
        """What the saver was asked for since the run has started."""
        return [call.verb for call in self.saver.calls[1:]]

    @property
    def done(self) -> int:
        """How many calls of it have returned."""
        return len(self.saver.calls) - len(self.saver.in_flight)

    async def stored(self) -> list[int]:
        return [
            found.checkpoint["channel_values"]["n"] async for found in self.saver.alist(config_for("t", ""))
        ]


@pytest.fixture(params=[True, False], ids=["begun", "awaited"])
async def keeping(request: pytest.FixtureRequest) -> AsyncIterator[Keeping]:
    async with AsyncSqliteSaver.from_conn_string(":memory:") as inner:
        saver = FaultySaver(inner, begins=request.param)
        yield Keeping(saver, await Run.start(saver))


async def test_a_checkpoint_that_leads_goes_with_the_one_that_is_put_next(keeping: Keeping) -> None:
    keeping.backlog.lead(keeping.run.encode(n=1))
    await keeping.backlog.put(keeping.run.encode(n=2))
    assert keeping.verbs == ["acommit"]
    assert await keeping.stored() == [2, 1]


async def test_a_checkpoint_that_leads_goes_with_the_one_that_is_added_next(keeping: Keeping) -> None:
    keeping.backlog.lead(keeping.run.encode(n=1))
    keeping.backlog.add(keeping.run.encode(n=2))
    await keeping.backlog.flush()
    assert keeping.verbs == ["acommit"]
    assert await keeping.stored() == [2, 1]


async def test_a_checkpoint_that_leads_does_not_wait_for_another(keeping: Keeping) -> None:
    keeping.backlog.lead(keeping.run.encode(n=1))
    for _ in range(20):
        await asyncio.sleep(0)
    assert keeping.verbs == ["acommit"]
    await keeping.backlog.put(keeping.run.encode(n=2))
    assert keeping.verbs == ["acommit", "acommit"]
    assert await keeping.stored() == [2, 1]


async def test_one_that_is_being_written_is_waited_for(keeping: Keeping) -> None:
    keeping.saver.before = [delay_turns(50)]
    keeping.backlog.lead(keeping.run.encode(n=1))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    await keeping.backlog.put(keeping.run.encode(n=2))
    assert keeping.verbs == ["acommit", "acommit"]
    assert await keeping.stored() == [2, 1]


async def test_nothing_overtakes_a_checkpoint_that_leads(keeping: Keeping) -> None:
    run = keeping.run
    keeping.backlog.lead(run.encode(n=1))
    writes = [keeping.saver.encode_writes(TaskWrites("task", "", [("n", 2)]), run.hold)]
    keeping.backlog.add(Record(run.config, writes))
    await keeping.backlog.put(run.encode(n=2))
    assert keeping.verbs == ["acommit", "acommit"]
    found = [each.pending_writes async for each in keeping.saver.alist(config_for("t", ""))]
    assert found == [[], [("task", "n", 2)]]


async def test_flushing_writes_a_checkpoint_that_leads(keeping: Keeping) -> None:
    keeping.backlog.lead(keeping.run.encode(n=1))
    await keeping.backlog.flush()
    assert await keeping.stored() == [1]


async def test_a_pair_takes_the_room_of_two(keeping: Keeping) -> None:
    keeping.saver.before = [delay_turns(50)]
    before = keeping.done
    keeping.backlog.lead(keeping.run.encode(n=1))
    for n in (2, 3):
        keeping.backlog.add(keeping.run.encode(n=n))
        await keeping.backlog.room()
        assert keeping.done == before + 1
    await keeping.backlog.flush()
    assert await keeping.stored() == [3, 2, 1]


async def test_one_that_waits_behind_something_that_fails_is_not_written(keeping: Keeping) -> None:
    keeping.saver.before = [delay_turns(10), fail_at(1, CheckpointError, verb="acommit")]
    keeping.backlog.add(keeping.run.encode(n=1))
    await asyncio.sleep(0)
    keeping.backlog.lead(keeping.run.encode(n=2))
    for _ in range(50):
        await asyncio.sleep(0)
    for _ in range(2):
        with pytest.raises(CheckpointError):
            await keeping.backlog.put(keeping.run.encode(n=3))
    assert await keeping.stored() == []


@pytest.mark.parametrize("recorded", [False, True])
async def test_one_that_has_gone_alone_leaves_no_more_room_than_others(
    keeping: Keeping, recorded: bool
) -> None:
    run = keeping.run
    await keeping.backlog.put(run.encode(n=1))
    if recorded:
        writes = [keeping.saver.encode_writes(TaskWrites("task", "", [("n", 2)]), run.hold)]
        keeping.backlog.add(Record(run.config, writes))
    keeping.backlog.lead(run.encode(n=2))
    await keeping.backlog.flush()
    keeping.saver.before = [delay_turns(50)]
    before = keeping.done
    keeping.backlog.add(run.encode(n=3))
    await keeping.backlog.room()
    assert keeping.done == before
    keeping.backlog.add(run.encode(n=4))
    await keeping.backlog.room()
    assert keeping.done > before
    await keeping.backlog.flush()


@pytest.mark.parametrize("turns", [0, 3])
async def test_behind_one_that_fails_nothing_is_written(keeping: Keeping, turns: int) -> None:
    keeping.saver.before = [fail_at(1, CheckpointError, verb="acommit")]
    keeping.backlog.lead(keeping.run.encode(n=1))
    for _ in range(turns):
        await asyncio.sleep(0)
    for n in (2, 3):
        with pytest.raises(CheckpointError):
            await keeping.backlog.put(keeping.run.encode(n=n))
    keeping.backlog.lead(keeping.run.encode(n=4))
    with pytest.raises(CheckpointError):
        await keeping.backlog.flush()
    assert await keeping.stored() == []


@pytest.mark.parametrize("error", [CheckpointError, asyncio.CancelledError, SystemExit])
async def test_behind_one_that_fails_while_whoever_put_it_is_cancelled_nothing_is_written(
    keeping: Keeping, error: type[BaseException]
) -> None:
    keeping.saver.before = [delay_turns(3), fail_at(2, error, verb="acommit")]
    putting = asyncio.create_task(keeping.backlog.put(keeping.run.encode(n=1)))
    await asyncio.sleep(0)
    putting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await putting
    keeping.backlog.add(keeping.run.encode(n=2))
    with pytest.raises((CheckpointError, SystemExit)):
        await keeping.backlog.flush()
    assert keeping.verbs == ["acommit", "acommit"], "the one that was put, and once more"
    assert await keeping.stored() == []


# -- two under way


class NotingSaver(AsyncSqliteSaver):
    """Notes what it is asked for, and when that is stored."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.noted: list[str] = []

    async def acommit(self, commit: Commit) -> None:
        self.noted.append("awaited")
        await super().acommit(commit)

    def begin_commit(self, commit: Commit, after: Begun | None = None) -> Begun | None:
        begun = super().begin_commit(commit, after)
        self.noted.append("begun behind" if after else "begun")
        return begun and NotedCommit(begun, self.noted)

    async def _arecord(self, *details: Any) -> None:
        self.noted.append("recorded")
        await super()._arecord(*details)


class NotedCommit(NamedTuple):
    begun: Begun
    noted: list[str]

    async def certain_outcome(self) -> None:
        await self.begun.certain_outcome()
        self.noted.append("stored")


class Behind:
    """A run with its backlog, over a saver that begins things."""

    def __init__(self, saver: BaseCheckpointSaver, run: Run) -> None:
        self.saver = saver
        self.run = run
        self.backlog = Backlog(Storage(saver, run.hold, "t"))

    def add(self, *numbers: int) -> None:
        for n in numbers:
            self.backlog.add(self.run.encode(n=n))

    async def stored(self) -> list[int]:
        listed = self.saver.alist(config_for("t", ""))
        return [found.checkpoint["channel_values"]["n"] async for found in listed]


@pytest.fixture
async def noting() -> AsyncIterator[NotingSaver]:
    async with NotingSaver(":memory:") as saver:
        yield saver


@pytest.fixture
async def behind(noting: NotingSaver) -> Behind:
    return Behind(noting, await Run.start(noting))


async def test_a_checkpoint_is_begun_behind_the_one_that_is_under_way(
    behind: Behind, noting: NotingSaver
) -> None:
    behind.add(1, 2, 3)
    assert noting.noted == ["begun", "begun behind"]
    await behind.backlog.room()
    assert noting.noted == ["begun", "begun behind", "stored", "begun behind", "stored"]
    await behind.backlog.flush()
    assert await behind.stored() == [3, 2, 1]


async def test_records_wait_for_all_that_was_begun(behind: Behind, noting: NotingSaver) -> None:
    behind.add(1, 2)
    writes = [noting.encode_writes(TaskWrites("task", "", [("n", 2)]), behind.run.hold)]
    behind.backlog.add(Record(behind.run.config, writes))
    await behind.backlog.flush()
    assert noting.noted == ["begun", "begun behind", "stored", "stored", "recorded"]
    behind.add(3)
    assert noting.noted[-1] == "begun"
    await behind.backlog.flush()


async def test_what_is_put_waits_for_all_that_was_begun(behind: Behind, noting: NotingSaver) -> None:
    behind.add(1, 2)
    await behind.backlog.put(behind.run.encode(n=3))
    assert noting.noted.count("stored") == 3
    await behind.backlog.put(behind.run.encode(n=4))
    assert noting.noted[-1] == "awaited"
    assert await behind.stored() == [4, 3, 2, 1]


async def test_behind_one_that_is_put_nothing_is_begun(behind: Behind, noting: NotingSaver) -> None:
    putting = asyncio.create_task(behind.backlog.put(behind.run.encode(n=1)))
    await asyncio.sleep(0)
    behind.add(2)
    assert noting.noted == ["awaited"]
    await putting
    await behind.backlog.flush()
    assert noting.noted == ["awaited", "begun", "stored"]


async def test_one_that_leads_is_begun_with_the_one_behind_it(behind: Behind, noting: NotingSaver) -> None:
    behind.backlog.lead(behind.run.encode(n=1))
    assert noting.noted == []
    behind.add(2, 3)
    assert noting.noted == ["begun", "begun behind"]
    await behind.backlog.flush()
    assert await behind.stored() == [3, 2, 1]


async def test_the_first_of_two_that_fail_is_told_and_nothing_is_stored(
    behind: Behind, noting: NotingSaver
) -> None:
    overtaken = Behind(noting, await Run.start(noting))
    behind.add(1, 2)
    await behind.backlog.flush()
    overtaken.add(3)
    first = overtaken.run.config["configurable"]["checkpoint_id"]
    overtaken.add(4, 5)
    for _ in range(2):
        with pytest.raises(ConcurrentUpdateError, match=first):
            await overtaken.backlog.flush()
    assert await behind.stored() == [2, 1]


async def test_what_cannot_be_begun_is_told_when_its_turn_comes(behind: Behind, noting: NotingSaver) -> None:
    behind.add(1)
    await noting.aclose()
    behind.add(2)
    with pytest.raises(CheckpointError, match="closed"):
        await behind.backlog.flush()


async def test_a_cancellation_leaves_everything_that_was_begun_to_be_stored(behind: Behind) -> None:
    behind.add(1, 2)
    flushing = asyncio.create_task(behind.backlog.flush())
    await asyncio.sleep(0)
    flushing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await flushing
    assert await behind.stored() == [2, 1]


async def test_a_loop_that_is_shut_down_stores_everything_that_was_begun(tmp_path: Path) -> None:
    path = str(tmp_path / "saved.db")

    async def left_alone() -> None:
        saver = NotingSaver(path)
        Behind(saver, await Run.start(saver)).add(1, 2, 3)

    await asyncio.to_thread(lambda: asyncio.run(left_alone()))
    async with NotingSaver(path) as saver:
        assert await Behind(saver, await Run.start(saver)).stored() == [3, 2, 1]


class Faulty(NamedTuple):
    """A run with its backlog, over a saver on which things go wrong."""

    saver: FaultySaver
    inner: AsyncSqliteSaver
    behind: Behind


@pytest.fixture
async def faulty() -> AsyncIterator[Faulty]:
    async with AsyncSqliteSaver(":memory:") as inner:
        saver = FaultySaver(inner)
        yield Faulty(saver, inner, Behind(saver, await Run.start(saver)))


def commit_fails(number: int, error: Any) -> Any:
    return fail_at(number, error, verb="acommit")


async def test_an_answer_that_is_lost_is_told_by_the_next_one(faulty: Faulty) -> None:
    faulty.saver.after = [commit_fails(1, ConnectionResetError)]
    faulty.behind.add(1, 2, 3)
    await faulty.behind.backlog.flush()
    assert await faulty.behind.stored() == [3, 2, 1]


async def test_what_is_found_stored_is_counted_once(faulty: Faulty) -> None:
    behind = Behind(faulty.inner, faulty.behind.run)
    behind.add(1, 2, 3)
    first = behind.backlog._under_way[0]
    behind.backlog._under_way[0] = (first[0], LostAnswer(first[1]))
    await behind.backlog.flush()
    assert faulty.inner.statistics.puts == 3


class LostAnswer(NamedTuple):
    begun: Begun

    async def certain_outcome(self) -> None:
        await self.begun.certain_outcome()
        raise ConnectionResetError


@pytest.mark.parametrize("side", ["before", "during", "after"])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_the_saver_breaks_off_is_stored_once_more(faulty: Faulty, side: str, number: int) -> None:
    setattr(faulty.saver, side, [commit_fails(number, asyncio.CancelledError)])
    faulty.behind.add(1, 2, 3)
    await faulty.behind.backlog.flush()
    faulty.behind.add(4)
    await faulty.behind.backlog.flush()
    assert await faulty.behind.stored() == [4, 3, 2, 1]


@pytest.mark.parametrize("turns", range(0, 40, 3))
async def test_nothing_is_begun_while_something_is_stored_once_more(turns: int) -> None:
    async def take_longer(call: SaverCall) -> None:
        await delay_turns(3 if call.is_begun else 20)(call)

    saver = FaultySaver(BeginningSaver(), before=[take_longer, commit_fails(1, asyncio.CancelledError)])
    behind = Behind(saver, await Run.start(saver))
    behind.add(1)
    await delay_turns(turns)(saver.calls[0])
    behind.add(2)
    await behind.backlog.flush()
    assert await behind.stored() == [2, 1]


async def test_what_the_saver_breaks_off_is_found_stored_by_the_next_one(faulty: Faulty) -> None:
    """Nobody is told that both are stored, and the first cannot be stored once more: it is not the newest."""
    faulty.saver.after = [commit_fails(1, asyncio.CancelledError), commit_fails(2, ConnectionResetError)]
    faulty.behind.add(1, 2, 3)
    await faulty.behind.backlog.flush()
    assert await faulty.behind.stored() == [3, 2, 1]


class WithoutHolds(InMemorySaver):
    """Does not ask who is at the head of a thread, and breaks off what it begins."""

    def encode_commit(self, superstep: Superstep, writes: Sequence[Any], hold: Hold | None = None) -> Commit:
        return super().encode_commit(superstep, writes)

    def begin_commit(self, commit: Commit, after: Begun | None = None) -> Begun:
        return BrokenOff()


class BrokenOff(NamedTuple):
    async def certain_outcome(self) -> None:
        raise asyncio.CancelledError


async def test_that_the_second_of_two_can_be_stored_says_nothing_where_nobody_asks_for_the_first() -> None:
    saver = WithoutHolds()
    behind = Behind(saver, await Run.start(saver))
    behind.add(1, 2, 3)
    await behind.backlog.flush()
    assert await behind.stored() == [3, 2, 1]


@pytest.mark.parametrize("numbers", [[1], [1, 2]])
async def test_what_the_saver_breaks_off_twice_fails(faulty: Faulty, numbers: list[int]) -> None:
    async def break_off(call: SaverCall) -> None:
        if call.verb == "acommit" and (call.of_verb == 1 or not call.is_begun):
            raise asyncio.CancelledError

    faulty.saver.before = [break_off]
    faulty.behind.add(*numbers)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="broke off"):
            await faulty.behind.backlog.flush()
    assert await faulty.behind.stored() == []


@pytest.mark.parametrize("error", [ConnectionResetError, SystemExit])
@pytest.mark.parametrize("number", [1, 2])
async def test_when_one_of_two_fails_nothing_is_left_under_way(
    faulty: Faulty, error: Any, number: int
) -> None:
    faulty.saver.before = [commit_fails(number, error), delay_turns(9)]
    faulty.behind.add(1, 2, 3)
    with pytest.raises(error):
        await faulty.behind.backlog.flush()
    assert faulty.saver.in_flight == []
    assert await faulty.behind.stored() == [1][: number - 1]


@pytest.mark.parametrize("first", [0, 1])
async def test_when_the_answers_to_both_are_lost_neither_fails(postgres_database: str, first: int) -> None:
    """Both are stored by then. The first is repeated in vain, the second is found to be there."""
    async with (
        Proxy(postgres_database).serving() as proxy,
        AsyncPostgresSaver.from_conn_string(proxy.conninfo) as saver,
    ):
        saver._database._settings = saver._database._settings._replace(silence=0.3)
        await saver.asetup()
        behind = Behind(saver, await Run.start(saver))
        behind.add(*range(first))
        await behind.backlog.flush()
        proxy.lose_answers()
        behind.add(10, 11)
        assert len(behind.backlog._under_way) == 2
        await behind.backlog.flush()
        behind.add(12)
        await behind.backlog.flush()
        assert await behind.stored() == [12, 11, 10, *range(first)]
        assert saver.statistics.retries >= 1
