"""Savers as users write them: one colour of each verb is enough, and less is refused."""

from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.channels.last_value import LastValue
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    checkpoint_of,
    config_for,
    copy_checkpoint,
    create_checkpoint,
    empty_checkpoint,
    thread_of,
    write_position,
)
from aiograph.checkpoint.serde import _filter
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.constants import SCHEDULED
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers import SaverContract, make_checkpoint
from aiograph.types import RunnableConfig

Filter = Mapping[str, Any] | None


class Shelf:
    """Where the savers below keep things: whole checkpoints, as one blob each."""

    def __init__(self, serde: SerializerProtocol) -> None:
        self._serde = serde
        self._rows: dict[tuple[str, str, str], tuple[str | None, tuple[str, bytes]]] = {}
        self._writes: defaultdict[tuple[str, str, str], dict[Any, tuple[str, bytes]]] = defaultdict(dict)

    def put(self, config: RunnableConfig, *parts: Any) -> RunnableConfig:
        thread_id, namespace, parent = thread_of(config)
        key = (thread_id, namespace, parts[0]["id"])
        self._rows.setdefault(key, (parent, self._serde.dumps_typed(parts)))
        return config_for(*key)

    def put_writes(self, config: RunnableConfig, writes: Any, task_id: str, task_path: str) -> None:
        kept = self._writes[checkpoint_of(config)]
        encoded = [self._serde.dumps_typed({channel: value}) for channel, value in writes]
        for index, ((channel, _), blob) in enumerate(zip(writes, encoded, strict=True)):
            position = write_position(channel, index)
            if position < 0 or (task_path, task_id, position) not in kept:
                kept[task_path, task_id, position] = blob

    def get(self, config: RunnableConfig) -> CheckpointTuple | None:
        thread_id, namespace, checkpoint_id = thread_of(config)
        line = [key for key in self._rows if key[:2] == (thread_id, namespace)]
        found = [key for key in line if checkpoint_id in (None, key[2])]
        return self._tuple(max(found)) if found else None

    def find(
        self, config: RunnableConfig | None, filter: Filter, before: RunnableConfig | None, limit: int | None
    ) -> list[CheckpointTuple]:
        wanted, _, checkpoint_id = (None,) * 3 if config is None else thread_of(config)
        namespace = None if config is None else config["configurable"].get("checkpoint_ns")
        end = None if before is None else thread_of(before)[2]
        found = [
            self._tuple(key)
            for key in sorted(self._rows, key=lambda key: key[2], reverse=True)
            if wanted in (None, key[0])
            and namespace in (None, key[1])
            and checkpoint_id in (None, key[2])
            and (end is None or key[2] < end)
        ]
        wants = _filter.Filter.parse(filter or {})
        return [each for each in found if wants.matches(each.metadata, 0)][:limit]

    def delete(self, thread_id: str) -> None:
        for kept in (self._rows, self._writes):
            for key in [key for key in kept if key[0] == thread_id]:
                del kept[key]

    def withdraw(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        kept = self._writes[checkpoint_of(config)]
        for place in [place for place in kept if place[1] in task_ids]:
            del kept[place]

    def _tuple(self, key: tuple[str, str, str]) -> CheckpointTuple:
        parent, blob = self._rows[key]
        checkpoint, metadata, _ = self._serde.loads_typed(blob)
        parent_config = None if parent is None else config_for(*key[:2], parent)
        return CheckpointTuple(config_for(*key), checkpoint, metadata, parent_config, self._pending(key))

    def _pending(self, key: tuple[str, str, str]) -> list[PendingWrite]:
        kept = self._writes.get(key, {})
        read = self._serde.loads_typed
        return [(place[1], *write) for place in sorted(kept) for write in read(kept[place]).items()]


class PlainSaver(BaseCheckpointSaver):
    """A saver of which only the plain verbs are written."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf(self.serde)

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:  # type: ignore[override]  # own colour
        return self.shelf.get(config)

    def list(  # type: ignore[override]  # a plain verb in place of a derived one
        self,
        config: RunnableConfig | None,
        *,
        filter: Filter = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        yield from self.shelf.find(config, filter, before, limit)

    def put(  # type: ignore[override]  # a plain verb in place of a derived one
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.shelf.put(config, checkpoint, metadata, new_versions)

    def put_writes(  # type: ignore[override]  # a plain verb in place of a derived one
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.shelf.put_writes(config, writes, task_id, task_path)

    def delete_thread(self, thread_id: str) -> None:  # type: ignore[override]  # a plain verb
        self.shelf.delete(thread_id)


class AsyncSaver(BaseCheckpointSaver):
    """A saver of which only the asynchronous verbs are written."""

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf(self.serde)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        return self.shelf.get(config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: Filter = None,
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        for found in self.shelf.find(config, filter, before, limit):
            yield found

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        return self.shelf.put(config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        self.shelf.put_writes(config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        self.shelf.delete(thread_id)

    async def awithdraw_writes(self, config: RunnableConfig, task_ids: Sequence[str]) -> None:
        self.shelf.withdraw(config, task_ids)


class TestPlainSaver(SaverContract):
    can_withdraw = False
    can_hold = False
    can_compare = False
    keeps_house = False
    refuses_names = False

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        yield PlainSaver()


class TestAsyncSaver(SaverContract):
    can_hold = False
    can_compare = False
    keeps_house = False
    refuses_names = False

    @asynccontextmanager
    async def open_saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        yield AsyncSaver()


# -- what is not enough ----------------------------------------------------------------------------


def test_a_saver_that_lacks_a_verb_cannot_be_made() -> None:
    class Unfinished(BaseCheckpointSaver):
        async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
            return None

        def delete_thread(self, thread_id: str) -> None:  # type: ignore[override]  # a plain verb
            return None

    with pytest.raises(TypeError, match="Unfinished is not a complete saver") as caught:
        Unfinished()
    for missing in ("list (or alist)", "put (or aput)", "put_writes (or aput_writes)"):
        assert missing in str(caught.value)
    assert "get_tuple" not in str(caught.value)
    assert "delete_thread" not in str(caught.value)


def test_a_verb_may_be_inherited_in_the_other_colour() -> None:
    class Half(AsyncSaver):
        def delete_thread(self, thread_id: str) -> None:  # type: ignore[override]  # a plain verb
            self.deleted = thread_id

    saver = Half()
    saver.delete_thread("t")
    assert saver.deleted == "t"


async def test_a_plain_verb_that_replaces_an_asynchronous_one_counts_in_both_colours() -> None:
    class Half(AsyncSaver):
        def delete_thread(self, thread_id: str) -> None:  # type: ignore[override]  # a plain verb
            self.deleted = thread_id

    saver = Half()
    await saver.adelete_thread("t")
    assert saver.deleted == "t"


async def test_where_nothing_can_be_withdrawn_the_tasks_are_marked() -> None:
    saver = PlainSaver()
    config = await saver.aput(config_for("t", ""), make_checkpoint({"a": 1}), {}, {"a": 1})
    await saver.aput_writes(config, [("a", 2)], "task")
    await saver.awithdraw_writes(config, ["task"])
    found = await saver.aget_tuple(config)
    assert found is not None
    assert (SCHEDULED, True) in [write[1:] for write in found.pending_writes or ()]


# -- configs and checkpoints -----------------------------------------------------------------------


def test_a_config_names_a_thread_a_namespace_and_a_checkpoint() -> None:
    assert thread_of(config_for("t", "ns", "id")) == ("t", "ns", "id")
    assert thread_of({"configurable": {"thread_id": 7}}) == ("7", "", None)
    assert checkpoint_of(config_for("t", "", "id")) == ("t", "", "id")


def test_a_config_without_a_thread_is_told_what_it_has() -> None:
    with pytest.raises(CheckpointQueryError, match=r"names no thread.*'user'"):
        thread_of({"configurable": {"user": "ann"}})
    with pytest.raises(CheckpointQueryError, match="names no thread"):
        thread_of({})


def test_a_config_without_a_checkpoint_is_refused_where_one_is_needed() -> None:
    with pytest.raises(CheckpointQueryError, match="thread 't' names no checkpoint"):
        checkpoint_of(config_for("t", ""))


def test_a_copy_of_a_checkpoint_shares_values_only() -> None:
    checkpoint = make_checkpoint({"a": [1]})
    duplicate = copy_checkpoint(checkpoint)
    assert duplicate == checkpoint
    duplicate["channel_values"]["b"] = 1
    duplicate["channel_versions"]["b"] = 1
    duplicate["versions_seen"]["node"]["b"] = 1
    assert checkpoint == copy_checkpoint(checkpoint)
    assert "b" not in checkpoint["channel_values"]
    assert "b" not in checkpoint["versions_seen"]["node"]
    assert duplicate["channel_values"]["a"] is checkpoint["channel_values"]["a"]


def test_empty_checkpoints_have_ids_that_sort() -> None:
    made = [empty_checkpoint()["id"] for _ in range(100)]
    assert made == sorted(set(made))


# -- checkpoints by hand ---------------------------------------------------------------------------


def test_a_checkpoint_made_of_another_takes_its_values_from_channels() -> None:
    before = make_checkpoint({"a": 1, "b": 2}, versions={"a": 1, "b": 2, "c": 3})
    channel: LastValue[int] = LastValue(int, "a").from_checkpoint(5)
    after = create_checkpoint(before, {"a": channel, "c": LastValue(int, "c")}, 1, updated_channels=["a"])
    assert after["channel_values"] == {"a": 5}
    assert after["channel_versions"] == before["channel_versions"]
    assert after["updated_channels"] == ["a"]
    assert after["id"] > before["id"]
    assert create_checkpoint(before, None, 1, id="x")["channel_values"] == {"a": 1, "b": 2}
    assert create_checkpoint(before, None, 1, id="x")["id"] == "x"
