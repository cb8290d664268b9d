"""What savers that store cells have in common: encoding, memory, errors that say where, listings."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from aiograph._ids import moment_of
from aiograph.checkpoint._hold import Hold
from aiograph.checkpoint.base import (
    ChannelVersions,
    Checkpoint,
    CheckpointTuple,
    Superstep,
    TaskWrites,
    config_for,
)
from aiograph.checkpoint.serde._blocks import Root
from aiograph.checkpoint.serde._cells import Cell, CellReader
from aiograph.checkpoint.serde._dividing import CellWriter
from aiograph.checkpoint.serde._document import Labels, Names, label, read_document, write_document
from aiograph.checkpoint.serde._encoding import Memory
from aiograph.checkpoint.serde._seal import PLAIN
from aiograph.checkpoint.serde._stored import EncodedCheckpoint, Key, Listing, Skeleton
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encoded import EncodingSaver
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.checkpoint.sqlite.aio import AsyncSqliteSaver
from aiograph.constants import ERROR
from aiograph.errors import (
    CheckpointDeserializationError,
    CheckpointQueryError,
    CheckpointSerializationError,
)
from aiograph.testing.savers import make_checkpoint

SERDE = JsonPlusSerializer()
KEY = Key("t", "child:1", "id")
THREAD = config_for("t", "")
LARGE = ["x" * 1000] * 3


class PickySerializer:
    """A serializer of somebody else's, with errors of its own."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        raise CheckpointSerializationError("not today")

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        raise NotImplementedError


class Encoder(EncodingSaver):
    """Encodes, and stores nothing."""

    def alist(self, *args: Any, **options: Any) -> AsyncIterator[CheckpointTuple]:
        raise NotImplementedError

    async def adelete_thread(self, thread_id: str) -> None:
        raise NotImplementedError


def encoded(checkpoint: Checkpoint, hold: Hold | None = None, **changed: int) -> EncodedCheckpoint:
    commit = Encoder().encode_commit(Superstep.of(THREAD, checkpoint, {}, {**changed}), (), hold)
    assert isinstance(commit.checkpoint, EncodedCheckpoint)
    return commit.checkpoint


def fresh_hold() -> Hold:
    return Hold(None, None, Memory(None, {}, ()))


# -- errors ----------------------------------------------------------------------------------------


def test_a_refused_value_is_named_with_its_thread_checkpoint_and_channel() -> None:
    checkpoint = make_checkpoint({"messages": [1, {"x": object()}]})
    expected = (
        rf"^thread 't', namespace 'ns', checkpoint '{checkpoint['id']}': cannot store messages\[1\]\.x: "
    )
    with pytest.raises(CheckpointSerializationError, match=expected):
        Encoder().encode_commit(Superstep.of(config_for("t", "ns"), checkpoint, {}, {"messages": 1}), ())


def test_a_refused_write_is_named_with_its_task_and_channel() -> None:
    with pytest.raises(CheckpointSerializationError, match=r"^task 'id': cannot store messages\.x: "):
        Encoder().encode_writes(TaskWrites("id", "", [("messages", {"x": object()})]))


def test_errors_of_other_serializers_are_named_too() -> None:
    with pytest.raises(CheckpointSerializationError, match=r"^task 'id': channel 'a': not today"):
        Encoder(serde=PickySerializer()).encode_writes(TaskWrites("id", "", [("a", 1)]))


async def test_a_value_without_a_version_is_refused() -> None:
    with pytest.raises(CheckpointSerializationError, match=r"values without versions: \['a'\]"):
        await Encoder().aput(THREAD, make_checkpoint({"a": 1}, versions={}), {}, {})


@pytest.mark.parametrize("ts", ["yesterday", "", None, 7])
def test_a_checkpoint_without_a_time_is_refused(ts: Any) -> None:
    checkpoint = make_checkpoint({})
    checkpoint["ts"] = ts
    with pytest.raises(CheckpointSerializationError, match="is not a time in ISO 8601"):
        encoded(checkpoint)


# -- writes ----------------------------------------------------------------------------------------


def test_of_several_special_writes_the_last_one_counts() -> None:
    task = TaskWrites("id", "path", [(ERROR, "first"), ("a", 1), (ERROR, "last")])
    writes = Encoder().encode_writes(task).writes
    read = CellReader(SERDE, {}).value
    assert [(write.position, read(write.cell)) for write in writes] == [(-1, "last"), (1, 1)]


def test_a_write_does_not_bring_what_its_run_has_stored() -> None:
    saver, hold = Encoder(), fresh_hold()
    task = TaskWrites("id", "", [("a", LARGE)])
    assert saver.encode_writes(task, hold).cells != {}
    saver.encode_commit(Superstep.of(THREAD, make_checkpoint({"a": LARGE}), {}, {"a": 1}), (), hold)
    assert saver.encode_writes(task, hold).cells == {}
    assert saver.encode_writes(task).cells != {}


# -- what a hold remembers -------------------------------------------------------------------------


def test_what_a_run_has_stored_is_not_stored_again() -> None:
    hold = fresh_hold()
    first = encoded(make_checkpoint({"a": LARGE}), hold, a=1)
    again = encoded(make_checkpoint({"a": LARGE, "b": LARGE}), hold, b=2)
    assert first.cells != {}
    assert again.cells == {}
    assert again.values["a"] == again.values["b"] == first.values["a"]


def test_what_is_no_longer_part_of_the_newest_checkpoint_is_forgotten() -> None:
    hold = fresh_hold()
    first = encoded(make_checkpoint({"a": LARGE}), hold, a=1)
    encoded(make_checkpoint({"a": 1}), hold, a=2)
    assert encoded(make_checkpoint({"a": LARGE}), hold, a=3).cells == first.cells


def test_a_channel_that_has_not_changed_is_not_encoded() -> None:
    hold = fresh_hold()
    first = encoded(make_checkpoint({"a": "old", "b": 1}), hold, a=1, b=1)
    second = encoded(make_checkpoint({"a": object(), "b": 2}), hold, b=2)
    assert second.values["a"] is first.values["a"]
    assert second.values["b"] != first.values["b"]


def test_without_a_hold_everything_is_stored() -> None:
    checkpoint = make_checkpoint({"a": LARGE})
    assert encoded(checkpoint).cells == encoded(checkpoint, fresh_hold(), a=1).cells


def test_a_refused_superstep_leaves_the_memory_as_it_was() -> None:
    hold = fresh_hold()
    first = encoded(make_checkpoint({"a": LARGE}), hold, a=1)
    before = hold.memory
    with pytest.raises(CheckpointSerializationError):
        encoded(make_checkpoint({"a": LARGE, "b": object()}), hold, b=2)
    assert hold.memory is before
    assert before.checkpoint_id == first.key.checkpoint_id


async def test_a_run_remembers_what_it_has_read() -> None:
    async with AsyncSqliteSaver.from_conn_string(":memory:") as saver:
        await saver.aput(THREAD, make_checkpoint({"a": LARGE}), {}, {"a": 1})
        _, hold = await saver.ahold(THREAD)
    after = make_checkpoint({"a": LARGE, "b": LARGE})
    assert encoded(after, hold, b=2).cells.keys().isdisjoint(encoded(make_checkpoint({"a": LARGE})).cells)


# -- checkpoints as a whole ------------------------------------------------------------------------

versions = st.dictionaries(st.text(max_size=3), st.integers() | st.text(max_size=3) | st.floats(0, 9))
skeletons = st.builds(
    Skeleton,
    st.just(1),
    st.text(max_size=3),
    versions,
    st.dictionaries(st.text(max_size=3), versions, max_size=3),
    st.none() | st.lists(st.text(max_size=3), max_size=3),
)


@given(skeletons, st.dictionaries(st.text(), st.sampled_from(["x", "x" * 500, LARGE])))
def test_a_checkpoint_comes_back(skeleton: Skeleton, values: dict[str, Any]) -> None:
    writer = CellWriter(SERDE, PLAIN)
    roots = {name: writer.root(value).cell for name, value in values.items()}
    document = write_document(writer, skeleton, roots, label(writer, skeleton, {}))
    reader = CellReader(SERDE, writer.found)
    read, cells = read_document(reader, KEY, document.cell, 0)
    assert read == skeleton
    assert {name: reader.value(cell) for name, cell in cells.items()} == values


def test_a_checkpoint_of_many_channels_comes_back_in_order() -> None:
    writer = CellWriter(SERDE, PLAIN)
    roots = {f"channel {number}": writer.root(number).cell for number in range(1200)}
    skeleton = Skeleton(1, "", {}, {}, None)
    document = write_document(writer, skeleton, roots, label(writer, skeleton, {}))
    _, cells = read_document(CellReader(SERDE, writer.found), KEY, document.cell, 0)
    assert list(cells) == list(roots)


@given(skeletons, st.dictionaries(st.text(), st.integers()))
@example(Skeleton(1, "", {f"channel {number}": 2**70 + number for number in range(300)}, {}, None), {})
@example(Skeleton(1, "", {"\ud800": 1}, {"node": {"\ud800": 1}}, ["\ud800"]), {})
def test_the_short_way_of_our_own_serializer_leads_to_the_same_bytes(
    skeleton: Skeleton, values: dict[str, int]
) -> None:
    def written(serde: SerializerProtocol) -> tuple[Root, Mapping[bytes, Cell]]:
        writer = CellWriter(serde, PLAIN)
        cells = {name: writer.root(value).cell for name, value in values.items()}
        return write_document(writer, skeleton, cells, label(writer, skeleton, {})), writer.found

    assert written(SERDE) == written(OnlyTyped())


class OnlyTyped:
    """The same serializer, of which nothing is known but what every serializer has."""

    dumps_typed = SERDE.dumps_typed
    loads_typed = SERDE.loads_typed


class Backwards(JsonPlusSerializer):
    """One that is derived from ours, and stores other bytes."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        tag, data = super().dumps_typed(obj)
        return tag, data[::-1]

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        tag, blob = data
        return super().loads_typed((tag, blob[::-1]))


class Around:
    """One that has ours do what it does not do itself."""

    def __init__(self) -> None:
        self.inner = JsonPlusSerializer()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        tag, data = self.inner.dumps_typed(obj)
        return tag, data[::-1]

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        tag, blob = data
        return self.inner.loads_typed((tag, blob[::-1]))


@pytest.mark.parametrize("make", [Backwards, Around])
def test_a_serializer_that_is_made_of_ours_sees_all_that_is_stored(
    make: Callable[[], SerializerProtocol],
) -> None:
    serde = make()
    writer = CellWriter(serde, PLAIN)
    skeleton = Skeleton(1, "", {"channel": 1}, {"node": {"channel": 1}}, ["channel"])
    value = [f"item {number}" for number in range(300)]
    cells = {"channel": writer.root(value).cell}
    document = write_document(writer, skeleton, cells, label(writer, skeleton, {}))
    reader = CellReader(serde, writer.found)
    read, cells = read_document(reader, KEY, document.cell, 0)
    assert read == skeleton
    assert reader.value(cells["channel"]) == value


@pytest.mark.parametrize("names", [1, 20, 200])
def test_labels_that_are_remembered_are_those_that_would_be_made(names: int) -> None:
    channels: ChannelVersions = {f"channel {number}": 1 for number in range(names)}
    memo: dict[Names, Labels] = {}
    for _ in range(2):
        for skeleton in (Skeleton(1, "", channels, {}, None), Skeleton(1, "", channels, {"node": {}}, None)):
            writer, other = CellWriter(SERDE, PLAIN), CellWriter(SERDE, PLAIN)
            assert label(writer, skeleton, memo) == label(other, skeleton, {})
            assert writer.found == other.found


def test_only_so_many_labels_are_remembered() -> None:
    memo: dict[Names, Labels] = {}
    for number in range(1000):
        label(CellWriter(SERDE, PLAIN), Skeleton(1, "", {f"{number}": 1}, {}, None), memo)
        assert 0 < len(memo) <= 256


def test_a_time_that_follows_from_the_row_is_not_stored_twice() -> None:
    moment = datetime(2026, 1, 2, 3, 4, 5, 678901, UTC)
    created_at = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert moment_of(created_at) == moment
    for ts in (moment.isoformat(), "2026-01-02 03:04:05.678901", "2026-01-02T03:04:05.678901Z"):
        checkpoint = Checkpoint(**{**make_checkpoint({}), "ts": ts})
        superstep = Superstep.of(THREAD, checkpoint, {}, {})
        assert superstep.created_at == created_at
        assert superstep.checkpoint() == checkpoint
        assert (superstep.ts is None) == (ts == moment.isoformat())
        writer = CellWriter(SERDE, PLAIN)
        skeleton = Skeleton(1, superstep.ts, {}, {}, None)
        document = write_document(writer, skeleton, {}, label(writer, skeleton, {}))
        read, _ = read_document(CellReader(SERDE, writer.found), KEY, document.cell, created_at)
        assert read.ts == ts
        assert (ts.encode() in document.cell.data) == (ts != moment.isoformat())


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [[1, "ts", None], {}, {}],
        [[1, "ts"], {}, {}, {}],
        [[1, "ts", "a"], {}, {}, {}],
        [[1, "ts", None], {"a": None}, {}, {}],
        [[1, "ts", None], {}, {"node": {"a": [1]}}, {}],
        [[1, "ts", None], {}, {"node": 1}, {}],
        [[1, "ts", None], {}, {}, {}],
    ],
    ids=str,
)
def test_what_is_no_checkpoint_is_an_error(parts: list[Any]) -> None:
    writer = CellWriter(SERDE, PLAIN)
    forged = writer.record(Root(Cell(*SERDE.dumps_typed(part))) for part in parts).cell
    expected = "^thread 't', namespace 'child:1', checkpoint 'id', the checkpoint itself: "
    with pytest.raises(CheckpointDeserializationError, match=expected):
        read_document(CellReader(SERDE, writer.found), KEY, forged, 0)


# -- listings --------------------------------------------------------------------------------------


def test_a_listing_says_what_was_asked_for() -> None:
    before = config_for("t", "", "x")
    assert Listing.of(None, None, None, None) == (None, None, None, None, None, None)
    listing = Listing.of(config_for("t", "ns", "id"), {"a": 1}, before, 3)
    assert listing[:4] == ("t", "ns", "id", "x")
    assert listing.limit == 3
    assert listing.filter is not None
    assert listing.filter.matches({"a": 1}, 0)
    assert Listing.of({"configurable": {"thread_id": "t"}}, {}, None, 0).namespace is None


def test_a_listing_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(CheckpointQueryError, match="must not be negative: -1"):
        Listing.of(None, None, None, -1)
    with pytest.raises(CheckpointQueryError, match="before: the config names no checkpoint"):
        Listing.of(None, None, THREAD, None)
    with pytest.raises(CheckpointQueryError, match="the filter matches no metadata"):
        Listing.of(None, {"a": object()}, None, None)
