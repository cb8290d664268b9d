"""The contract of one checkpoint, and of channels from one checkpoint to the next."""

import threading
from typing import Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver, ChannelVersions, Superstep, TaskWrites, config_for
from aiograph.errors import CheckpointQueryError, CheckpointSerializationError
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint
from aiograph.types import RunnableConfig


class Checkpoints(Part):
    """What is put comes back, and nothing else does."""

    # -- one checkpoint

    async def test_of_an_unknown_thread_there_is_nothing(self, verbs: Verbs) -> None:
        assert await verbs("get_tuple", config_for("nobody", "")) is None
        assert await verbs("get", config_for("nobody", "")) is None
        assert await verbs("get_metadata", config_for("nobody", "")) is None
        assert await verbs.listed(config_for("nobody", "")) == []

    async def test_put_names_what_it_stored(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": 1})
        stored = await verbs.put(config_for("t", "ns"), checkpoint)
        assert stored == config_for("t", "ns", checkpoint["id"])

    async def test_a_checkpoint_comes_back_whole(self, verbs: Verbs) -> None:
        values = {"a": [1, {"b": "ü"}], "none": None, "bytes": b"\x00\xff", "tuple": (1, 2)}
        checkpoint = make_checkpoint(values)
        metadata: Any = {"source": "input", "step": -1, "parents": {"": "x"}, "user": {"tags": ["a", 1.5]}}
        stored = await verbs.put(config_for("t", ""), checkpoint, metadata)
        found = await verbs.get(config_for("t", ""))
        assert found.checkpoint == checkpoint
        assert found.metadata == metadata
        assert found.config == stored
        assert found.parent_config is None
        assert found.pending_writes == []

    async def test_get_and_get_metadata_are_parts_of_get_tuple(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 2)
        found = await verbs.get(config_for("t", ""))
        assert await verbs("get", config_for("t", "")) == found.checkpoint
        assert await verbs("get_metadata", config_for("t", "")) == found.metadata

    async def test_a_checkpoint_knows_its_parent(self, verbs: Verbs) -> None:
        first, second = await verbs.put_chain("t", 2)
        assert (await verbs.get(second)).parent_config == first

    async def test_a_checkpoint_is_found_by_its_id(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 3)
        for step, config in enumerate(configs):
            assert (await verbs.get(config)).checkpoint["channel_values"] == {"n": step}
        assert await verbs("get_tuple", config_for("t", "", "nothing")) is None

    async def test_the_head_is_the_largest_id(self, verbs: Verbs) -> None:
        older, newer = make_checkpoint({"n": 0}), make_checkpoint({"n": 1})
        await verbs.put(config_for("t", ""), newer)
        await verbs.put(config_for("t", ""), older)
        assert (await verbs.get(config_for("t", ""))).checkpoint["id"] == newer["id"]

    async def test_storing_again_changes_nothing(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": [1]})
        for _ in range(2):
            await verbs.put(config_for("t", ""), checkpoint, {"step": 0})
        assert len(await verbs.listed(config_for("t", ""))) == 1
        assert (await verbs.get(config_for("t", ""))).checkpoint == checkpoint

    async def test_a_config_without_a_thread_is_refused(self, verbs: Verbs) -> None:
        nowhere: RunnableConfig = {"configurable": {}}
        with pytest.raises(CheckpointQueryError, match="thread"):
            await verbs("get_tuple", nowhere)
        with pytest.raises(CheckpointQueryError, match="thread"):
            await verbs.put(nowhere, make_checkpoint({"a": 1}))
        with pytest.raises(CheckpointQueryError, match="thread"):
            await verbs("put_writes", nowhere, [("a", 1)], "task")
        with pytest.raises(CheckpointQueryError, match="thread"):
            await verbs.listed(nowhere)

    # -- channels over time

    async def test_an_unchanged_channel_keeps_its_value(self, verbs: Verbs) -> None:
        first = make_checkpoint({"a": [1], "b": "x"}, versions={"a": 1, "b": 1})
        config = await verbs.put(config_for("t", ""), first)
        second = make_checkpoint({"a": [1], "b": "y"}, versions={"a": 1, "b": 2})
        await verbs.put(config, second, new_versions={"b": 2})
        assert (await verbs.get(config_for("t", ""))).checkpoint == second
        assert (await verbs.get(config)).checkpoint == first

    async def test_channels_come_and_go(self, verbs: Verbs) -> None:
        config = await verbs.put(config_for("t", ""), make_checkpoint({"a": 1}))
        grown = make_checkpoint({"a": 1, "b": 2}, versions={"a": 1, "b": 2})
        config = await verbs.put(config, grown, new_versions={"b": 2})
        shrunk = make_checkpoint({"b": 2}, versions={"a": 3, "b": 2})
        await verbs.put(config, shrunk, new_versions={"a": 3})
        assert (await verbs.get(config)).checkpoint["channel_values"] == {"a": 1, "b": 2}
        assert (await verbs.get(config_for("t", ""))).checkpoint["channel_values"] == {"b": 2}

    async def test_versions_may_be_numbers_or_text(self, verbs: Verbs) -> None:
        versions: ChannelVersions = {"int": 3, "float": 1.5, "text": "00002.5"}
        checkpoint = make_checkpoint(dict.fromkeys(versions, "x"), versions=versions)
        await verbs.put(config_for("t", ""), checkpoint)
        assert (await verbs.get(config_for("t", ""))).checkpoint == checkpoint

    async def test_branches_that_use_the_same_version_keep_apart(self, verbs: Verbs) -> None:
        root = await verbs.put(config_for("t", ""), make_checkpoint({"a": "root"}))
        ends = {}
        for branch in ("left", "right"):
            config = await verbs.put(root, make_checkpoint({"a": branch}, versions={"a": 2}))
            idle = make_checkpoint({"a": branch, "b": 1}, versions={"a": 2, "b": 3})
            ends[branch] = await verbs.put(config, idle, new_versions={"b": 3})
        for branch, config in ends.items():
            assert (await verbs.get(config)).checkpoint["channel_values"] == {"a": branch, "b": 1}
        listed = await verbs.listed(config_for("t", ""))
        values = [each.checkpoint["channel_values"]["a"] for each in listed]
        assert values == ["right", "right", "left", "left", "root"]

    async def test_there_may_be_many_channels_and_large_values(self, verbs: Verbs) -> None:
        values: dict[str, Any] = {f"channel {number}": number for number in range(1200)}
        checkpoint = make_checkpoint({**values, "large": "x" * 2_000_000})
        await verbs.put(config_for("t", ""), checkpoint)
        assert (await verbs.get(config_for("t", ""))).checkpoint == checkpoint

    async def test_later_changes_to_live_values_do_not_reach_what_is_stored(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": [1]})
        await verbs.put(config_for("t", ""), checkpoint)
        checkpoint["channel_values"]["a"].append(2)
        checkpoint["channel_versions"]["a"] = 7
        found = await verbs.get(config_for("t", ""))
        assert found.checkpoint["channel_values"] == {"a": [1]}
        assert found.checkpoint["channel_versions"] == {"a": 1}

    async def test_changes_to_what_was_read_do_not_reach_what_is_stored(self, verbs: Verbs) -> None:
        await verbs.put(config_for("t", ""), make_checkpoint({"a": [1]}), {"step": 0})
        found = await verbs.get(config_for("t", ""))
        found.checkpoint["channel_values"]["a"].append(2)
        found.checkpoint["channel_versions"]["a"] = 7
        found.checkpoint["versions_seen"]["node"]["a"] = 7
        found.metadata["step"] = 7
        again = await verbs.get(config_for("t", ""))
        assert again.checkpoint["channel_values"] == {"a": [1]}
        assert again.checkpoint["channel_versions"] == {"a": 1}
        assert again.checkpoint["versions_seen"] == {"node": {"a": 1}}
        assert again.metadata == {"step": 0}

    # -- what cannot be stored

    def unstorable(self) -> Any:
        """A value that the saver refuses."""
        return threading.Lock()

    async def test_a_refused_value_is_named_and_nothing_is_stored(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"ok": 1, "messages": [{"meta": (1, self.unstorable())}]})
        with pytest.raises(CheckpointSerializationError, match="messages"):
            await verbs.put(config_for("t", ""), checkpoint)
        assert await verbs("get_tuple", config_for("t", "")) is None

    async def test_refused_writes_are_not_stored_in_part(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        with pytest.raises(CheckpointSerializationError, match="bad"):
            await verbs("put_writes", config, [("ok", 1), ("bad", [self.unstorable()])], "task")
        assert (await verbs.get(config)).pending_writes == []

    async def test_encoding_refuses_too(self, saver: BaseCheckpointSaver) -> None:
        checkpoint = make_checkpoint({"bad": [self.unstorable()]})
        with pytest.raises(CheckpointSerializationError, match="bad"):
            saver.encode_writes(TaskWrites("task", "", [("bad", [self.unstorable()])]))
        with pytest.raises(CheckpointSerializationError, match="bad"):
            saver.encode_commit(Superstep.of(config_for("t", ""), checkpoint, {}, {"bad": 1}), ())
