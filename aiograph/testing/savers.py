"""The contract of checkpoint savers as tests: what the engine and its users rely on, in both colours.

Needs pytest; the tests are asynchronous and run under the plugin that anyio brings.
"""

import asyncio
import threading
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeAlias

import pytest

from aiograph import _ids
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    TaskWrites,
    config_for,
    copy_checkpoint,
)
from aiograph.constants import ERROR, INTERRUPT, RESUME
from aiograph.errors import CheckpointQueryError, CheckpointSerializationError
from aiograph.types import RunnableConfig

__all__ = ["Colour", "SaverContract", "Verbs", "make_checkpoint"]

Colour: TypeAlias = Literal["async", "sync"]

HOSTILE = (
    "'; DROP TABLE checkpoints; --",
    'a"b',
    "a%",
    "a_",
    "$.step",
    "\\",
    "ключ 🔑",
    "a.b",
    "a[0]",
    "a\nb",
)
"""Text that means something to some parser or other; as a name or a key, it is just text."""


def make_checkpoint(
    values: Mapping[str, Any], *, versions: ChannelVersions | None = None, after: str | None = None
) -> Checkpoint:
    """A checkpoint with these values.

    Args:
        values: Channel values.
        versions: Channel versions; 1 for each value if left out.
        after: The id of its parent.
    """
    return Checkpoint(
        v=1,
        id=_ids.checkpoint_id(after=after),
        ts=_ids.now_iso(),
        channel_values=dict(values),
        channel_versions=dict.fromkeys(values, 1) if versions is None else versions,
        versions_seen={"node": dict.fromkeys(values, 1)},
        updated_channels=sorted(values),
    )


class Verbs:
    """The verbs of a saver in one colour; the synchronous ones are called on worker threads."""

    def __init__(self, saver: BaseCheckpointSaver, colour: Colour) -> None:
        self.saver = saver
        self._is_sync = colour == "sync"

    async def __call__(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a verb by its synchronous name."""
        if self._is_sync:
            return await asyncio.to_thread(getattr(self.saver, verb), *args, **kwargs)
        return await getattr(self.saver, f"a{verb}")(*args, **kwargs)

    async def get(self, config: RunnableConfig) -> CheckpointTuple:
        """The tuple, which has to be there."""
        found = await self("get_tuple", config)
        assert found is not None, f"nothing is stored at {config}"
        assert isinstance(found, CheckpointTuple)
        return found

    async def listed(self, config: RunnableConfig | None, **query: Any) -> list[CheckpointTuple]:
        """All that `list` yields."""
        if self._is_sync:
            return await asyncio.to_thread(lambda: list(self.saver.list(config, **query)))
        return [found async for found in self.saver.alist(config, **query)]

    async def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata | None = None,
        new_versions: ChannelVersions | None = None,
    ) -> RunnableConfig:
        """Puts a checkpoint whose values are all new, unless told otherwise."""
        changed = checkpoint["channel_versions"] if new_versions is None else new_versions
        stored: RunnableConfig = await self("put", config, checkpoint, metadata or {}, changed)
        return stored

    async def put_chain(
        self, thread_id: str, length: int, namespace: str = "", extra: Mapping[str, Any] | None = None
    ) -> list[RunnableConfig]:
        """Puts a line of checkpoints, numbered by the channel `n` and by `step`; oldest first."""
        configs: list[RunnableConfig] = []
        for step in range(length):
            parent = configs[-1] if configs else config_for(thread_id, namespace)
            checkpoint = make_checkpoint({"n": step}, versions={"n": step + 1}, after=_id(parent))
            metadata: Any = {"source": "loop", "step": step, **(extra or {})}
            configs.append(await self.put(parent, checkpoint, metadata))
        return configs


def _id(config: RunnableConfig) -> Any:
    return config["configurable"].get("checkpoint_id")


def _ids_of(found: Iterable[CheckpointTuple]) -> list[str]:
    return [each.checkpoint["id"] for each in found]


def _steps_of(found: Iterable[CheckpointTuple]) -> list[Any]:
    return [each.metadata.get("step") for each in found]


@pytest.mark.anyio
class SaverContract(ABC):
    """What every saver has to do. Subclass it, name the subclass `Test...`, and say how to open one.

    Each test runs twice: with the asynchronous verbs, and with the synchronous ones.

    Example:
        >>> from contextlib import asynccontextmanager
        >>> class TestMySaver(SaverContract):
        ...     @asynccontextmanager
        ...     async def open_saver(self):
        ...         async with MySaver.from_conn_string("...") as saver:
        ...             yield saver
    """

    can_withdraw: ClassVar[bool] = True
    """Whether the saver defines `withdraw_writes`; what `BaseCheckpointSaver` does in its place is poorer."""

    @abstractmethod
    def open_saver(self) -> AbstractAsyncContextManager[BaseCheckpointSaver]:
        """An empty saver; left when the test is over."""

    @pytest.fixture
    async def saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        """The saver under test."""
        async with self.open_saver() as saver:
            yield saver

    @pytest.fixture(params=["async", "sync"])
    def verbs(self, saver: BaseCheckpointSaver, request: pytest.FixtureRequest) -> Verbs:
        """Its verbs in one colour."""
        return Verbs(saver, request.param)

    # -- one checkpoint ------------------------------------------------------------------------

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

    # -- channels over time --------------------------------------------------------------------

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

    # -- threads and namespaces ----------------------------------------------------------------

    async def test_threads_keep_apart(self, verbs: Verbs) -> None:
        names = ("a", "a ", "A", "ab", *HOSTILE)
        for name in names:
            await verbs.put(config_for(name, ""), make_checkpoint({"name": name}))
        for name in names:
            found = await verbs.listed(config_for(name, ""))
            assert [each.checkpoint["channel_values"] for each in found] == [{"name": name}]

    async def test_namespaces_keep_apart(self, verbs: Verbs) -> None:
        names = ("", "child:1", "child:1|grandchild:2", "child:12")
        for name in names:
            config = await verbs.put(config_for("t", name), make_checkpoint({"name": name}))
            await verbs("put_writes", config, [("name", name)], "task")
        for name in names:
            found = await verbs.get(config_for("t", name))
            assert found.config["configurable"]["checkpoint_ns"] == name
            assert found.checkpoint["channel_values"] == {"name": name}
            assert found.pending_writes == [("task", "name", name)]
            assert len(await verbs.listed(config_for("t", name))) == 1

    # -- writes --------------------------------------------------------------------------------

    async def test_writes_are_found_beside_their_checkpoint(self, verbs: Verbs) -> None:
        first, second = await verbs.put_chain("t", 2)
        await verbs("put_writes", first, [("a", [1]), ("b", None)], "task")
        assert (await verbs.get(first)).pending_writes == [("task", "a", [1]), ("task", "b", None)]
        assert (await verbs.get(second)).pending_writes == []

    async def test_writes_are_sorted_by_path_then_task_then_position(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", n) for n in range(12)], "x", "~pull, b")
        await verbs("put_writes", config, [("a", "z")], "z", "~pull, a")
        await verbs("put_writes", config, [("a", "y")], "y", "~pull, a")
        expected = [("y", "a", "y"), ("z", "a", "z"), *(("x", "a", n) for n in range(12))]
        assert (await verbs.get(config)).pending_writes == expected

    async def test_a_stored_position_keeps_its_value(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs("put_writes", config, [("a", 2), ("a", 3)], "task")
        assert (await verbs.get(config)).pending_writes == [("task", "a", 1), ("task", "a", 3)]

    @pytest.mark.parametrize("channel", [ERROR, INTERRUPT, RESUME])
    async def test_special_writes_replace_each_other(self, verbs: Verbs, channel: str) -> None:
        (config,) = await verbs.put_chain("t", 1)
        for value in ("first", "second"):
            await verbs("put_writes", config, [(channel, value)], "task")
        assert (await verbs.get(config)).pending_writes == [("task", channel, "second")]

    async def test_special_writes_do_not_touch_ordinary_ones(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs("put_writes", config, [(ERROR, "x")], "task")
        found = (await verbs.get(config)).pending_writes
        assert sorted(found or ()) == [("task", ERROR, "x"), ("task", "a", 1)]

    async def test_writes_may_come_before_their_checkpoint(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": 1})
        await verbs("put_writes", config_for("t", "", checkpoint["id"]), [("a", 2)], "task")
        assert await verbs("get_tuple", config_for("t", "")) is None
        await verbs.put(config_for("t", ""), checkpoint)
        assert (await verbs.get(config_for("t", ""))).pending_writes == [("task", "a", 2)]

    async def test_withdrawn_writes_can_be_made_again(self, verbs: Verbs) -> None:
        if not self.can_withdraw:
            pytest.skip("the saver does not define withdraw_writes")
        (config,) = await verbs.put_chain("t", 1)
        for task in ("one", "two", "three"):
            await verbs("put_writes", config, [("a", task), ("b", task)], task)
        await verbs("withdraw_writes", config, ["one", "three", "unknown"])
        assert (await verbs.get(config)).pending_writes == [("two", "a", "two"), ("two", "b", "two")]
        await verbs("put_writes", config, [("a", "again")], "one")
        assert ("one", "a", "again") in ((await verbs.get(config)).pending_writes or ())

    # -- listing -------------------------------------------------------------------------------

    async def test_the_newest_come_first(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 120)
        found = await verbs.listed(config_for("t", ""))
        assert [each.config for each in found] == configs[::-1]
        assert [each.parent_config for each in found] == [*configs[-2::-1], None]
        assert [each.checkpoint["channel_values"]["n"] for each in found] == list(range(119, -1, -1))

    async def test_limit_and_before_cut_the_list(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 60)
        thread = config_for("t", "")
        assert _steps_of(await verbs.listed(thread, limit=2)) == [59, 58]
        assert _steps_of(await verbs.listed(thread, limit=55)) == list(range(59, 4, -1))
        assert await verbs.listed(thread, limit=0) == []
        assert _steps_of(await verbs.listed(thread, before=configs[2])) == [1, 0]
        assert _steps_of(await verbs.listed(thread, before=configs[9], limit=3)) == [8, 7, 6]
        assert await verbs.listed(thread, before=configs[0]) == []

    async def test_listed_checkpoints_come_with_their_writes(self, verbs: Verbs) -> None:
        first, second = await verbs.put_chain("t", 2)
        await verbs("put_writes", first, [("a", 1)], "one")
        await verbs("put_writes", second, [("a", 2)], "two")
        found = await verbs.listed(config_for("t", ""))
        assert [each.pending_writes for each in found] == [[("two", "a", 2)], [("one", "a", 1)]]

    async def test_a_thread_without_a_namespace_stands_for_all_of_them(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 2)
        await verbs.put_chain("t", 2, "child:1")
        everywhere: RunnableConfig = {"configurable": {"thread_id": "t"}}
        found = await verbs.listed(everywhere)
        assert len(found) == 4
        assert _ids_of(found) == sorted(_ids_of(found), reverse=True)
        assert _ids_of(await verbs.listed(everywhere, limit=3)) == _ids_of(found)[:3]

    async def test_a_config_with_an_id_stands_for_that_checkpoint(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 3)
        assert [each.config for each in await verbs.listed(configs[1])] == [configs[1]]
        assert await verbs.listed(config_for("t", "", "nothing")) == []

    async def test_no_config_stands_for_all_threads(self, verbs: Verbs) -> None:
        for thread in ("a", "b", "c"):
            await verbs.put_chain(thread, 2)
        found = await verbs.listed(None)
        assert len(found) == 6
        assert _ids_of(found) == sorted(_ids_of(found), reverse=True)
        assert _ids_of(await verbs.listed(None, limit=4)) == _ids_of(found)[:4]

    async def test_a_filter_compares_metadata(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 2, extra={"user": "ann"})
        await verbs.put_chain("t", 2, extra={"user": "bob"})
        thread = config_for("t", "")
        assert _steps_of(await verbs.listed(thread, filter={"user": "ann"})) == [1, 0]
        assert _steps_of(await verbs.listed(thread, filter={"user": "bob", "step": 1})) == [1]
        assert await verbs.listed(thread, filter={"user": "nobody"}) == []
        assert await verbs.listed(thread, filter={"unknown": "ann"}) == []
        assert len(await verbs.listed(thread, filter={})) == 4

    async def test_limit_counts_what_the_filter_lets_through(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 3, extra={"user": "ann"})
        await verbs.put_chain("t", 60, extra={"user": "bob"})
        found = await verbs.listed(config_for("t", ""), filter={"user": "ann"}, limit=2)
        assert _steps_of(found) == [2, 1]

    async def test_a_filter_reaches_nested_entries(self, verbs: Verbs) -> None:
        extra = {"job": {"name": "x", "tags": ["a", "b"], "place": {"city": "Rome"}}}
        await verbs.put_chain("t", 1, extra=extra)
        for matching in ({"name": "x"}, {"place": {"city": "Rome"}}, {"tags": ["a", "b"]}, {}):
            assert len(await verbs.listed(config_for("t", ""), filter={"job": matching})) == 1, matching
        for other in ({"name": "y"}, {"place": {"city": "Oslo"}}, {"tags": ["a"]}, "x", {"no": None}):
            assert await verbs.listed(config_for("t", ""), filter={"job": other}) == [], other

    async def test_a_filter_tells_numbers_truth_and_nothing_apart(self, verbs: Verbs) -> None:
        values: tuple[Any, ...] = (0, 1, 1.5, True, False, None, "1", "true", "", [], [1])
        for value in values:
            await verbs.put_chain("t", 1, extra={"value": value})
        for value in values:
            found = await verbs.listed(config_for("t", ""), filter={"value": value})
            assert [each.metadata.get("value") for each in found] == [value]
        assert len(await verbs.listed(config_for("t", ""), filter={"value": 1.0})) == 1

    async def test_hostile_names_in_a_filter_are_just_names(self, verbs: Verbs) -> None:
        for name in HOSTILE:
            await verbs.put_chain("t", 1, extra={name: name, "nest": {name: 1}})
        for name in HOSTILE:
            for filter in ({name: name}, {"nest": {name: 1}}):
                found = await verbs.listed(config_for("t", ""), filter=filter)
                assert [name in each.metadata for each in found] == [True], name
        assert len(await verbs.listed(config_for("t", ""))) == len(HOSTILE)

    async def test_a_list_may_be_left_early(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 60)
        listed = verbs.saver.alist(config_for("t", ""))
        assert (await anext(listed)).metadata["step"] == 59
        await verbs.put_chain("other", 1)  # the saver is not held up by a list that nobody reads on
        await listed.aclose()  # type: ignore[attr-defined]  # an asynchronous generator
        assert len(await verbs.listed(config_for("t", ""))) == 60

    # -- deleting ------------------------------------------------------------------------------

    async def test_a_deleted_thread_leaves_nothing(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        await verbs("put_writes", config, [("a", 1)], "task")
        await verbs.put_chain("t", 1, "child:1")
        await verbs.put_chain("t2", 1)
        await verbs("delete_thread", "t")
        assert await verbs("get_tuple", config_for("t", "")) is None
        assert await verbs("get_tuple", config) is None
        assert await verbs("get_tuple", config_for("t", "child:1")) is None
        assert len(await verbs.listed(None)) == 1

    async def test_a_thread_can_start_anew_after_it_was_deleted(self, verbs: Verbs) -> None:
        checkpoint = make_checkpoint({"a": "old"})
        config = await verbs.put(config_for("t", ""), checkpoint)
        await verbs("put_writes", config, [("a", "old")], "task")
        await verbs("delete_thread", "t")
        anew = copy_checkpoint(checkpoint)
        anew["channel_values"]["a"] = "new"
        await verbs.put(config_for("t", ""), anew)
        found = await verbs.get(config)
        assert found.checkpoint["channel_values"] == {"a": "new"}
        assert found.pending_writes == []

    async def test_deleting_an_unknown_thread_does_nothing(self, verbs: Verbs) -> None:
        await verbs("delete_thread", "nobody")

    # -- what cannot be stored -----------------------------------------------------------------

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
            saver.encode_commit(config_for("t", ""), checkpoint, {}, {"bad": 1}, ())

    # -- supersteps ----------------------------------------------------------------------------

    async def test_a_commit_stores_writes_with_the_parent_and_the_checkpoint(self, verbs: Verbs) -> None:
        (parent,) = await verbs.put_chain("t", 1)
        checkpoint = make_checkpoint({"n": 0, "a": 5}, versions={"n": 1, "a": 2})
        writes = [verbs.saver.encode_writes(TaskWrites("task", "path", [("a", 5)]))]
        commit = verbs.saver.encode_commit(parent, checkpoint, {"step": 1}, {"a": 2}, writes)
        for _ in range(2):  # a retry whose first attempt succeeded changes nothing
            await verbs.saver.acommit(commit)
        assert (await verbs.get(parent)).pending_writes == [("task", "a", 5)]
        found = await verbs.get(config_for("t", ""))
        assert found.checkpoint == checkpoint
        assert found.metadata == {"step": 1}
        assert found.parent_config == parent
        assert len(await verbs.listed(config_for("t", ""))) == 2

    async def test_what_was_encoded_is_detached_from_live_values(self, verbs: Verbs) -> None:
        (parent,) = await verbs.put_chain("t", 1)
        live = [1]
        checkpoint = make_checkpoint({"a": live}, versions={"a": 2})
        writes = [verbs.saver.encode_writes(TaskWrites("task", "", [("a", live)]))]
        commit = verbs.saver.encode_commit(parent, checkpoint, {}, {"a": 2}, writes)
        live.append(2)
        await verbs.saver.acommit(commit)
        assert (await verbs.get(parent)).pending_writes == [("task", "a", [1])]
        assert (await verbs.get(config_for("t", ""))).checkpoint["channel_values"] == {"a": [1]}

    async def test_writes_of_several_tasks_can_be_recorded_at_once(self, verbs: Verbs) -> None:
        (config,) = await verbs.put_chain("t", 1)
        tasks = [TaskWrites(name, name, [("a", name)]) for name in ("two", "one")]
        await verbs.saver.arecord(config, [verbs.saver.encode_writes(task) for task in tasks])
        assert (await verbs.get(config)).pending_writes == [("one", "a", "one"), ("two", "a", "two")]

    # -- all at once ---------------------------------------------------------------------------

    async def test_many_runs_may_use_it_at_once(self, verbs: Verbs) -> None:
        names = [f"thread {number}" for number in range(16)]
        await asyncio.gather(*(verbs.put_chain(name, 6) for name in names))
        for name in names:
            assert _steps_of(await verbs.listed(config_for(name, ""))) == [5, 4, 3, 2, 1, 0]

    async def test_it_may_be_used_from_other_event_loops(self, verbs: Verbs) -> None:
        def elsewhere(name: str) -> Sequence[RunnableConfig]:
            return asyncio.run(verbs.put_chain(name, 3))

        names = ["x", "y", "z"]
        await asyncio.gather(*(asyncio.to_thread(elsewhere, name) for name in names))
        assert len(await verbs.listed(None)) == 9
