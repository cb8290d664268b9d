"""The contract of copying threads."""

from typing import Any

import pytest

from aiograph.checkpoint.base import CheckpointTuple, config_for
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint
from aiograph.types import RunnableConfig

LARGE = ["x" * 1000] * 3
"""A value that is not stored within its checkpoint."""


class Copies(Part):
    """A copy has all that its source has, and nothing more to do with it."""

    async def _source(self, house: Verbs) -> None:
        """A thread with two branches, a second namespace, and writes."""
        root = await house.put(config_for("t", ""), make_checkpoint({"a": LARGE}), {"step": 0})
        for branch in ("left", "right"):
            end = await house.put(root, make_checkpoint({"a": [*LARGE, branch]}), {"step": 1})
            await house("put_writes", end, [("a", branch), ("b", LARGE)], "task")
        await house.put_chain("t", 2, "child:1")

    async def test_a_copy_has_all_that_its_source_has(self, house: Verbs) -> None:
        await self._source(house)
        before = await house.listed(_all_of("t"))
        await house("copy_thread", "t", "copy")
        assert await house.listed(_all_of("t")) == before
        assert list(map(_named_t, await house.listed(_all_of("copy")))) == before
        assert len(before) == 5

    async def test_a_copy_outlives_its_source(self, house: Verbs) -> None:
        await self._source(house)
        await house("copy_thread", "t", "copy")
        before = await house.listed(_all_of("copy"))
        await house("delete_thread", "t")
        assert await house.listed(_all_of("copy")) == before

    async def test_source_and_copy_go_on_apart(self, house: Verbs) -> None:
        await self._source(house)
        await house("copy_thread", "t", "copy")
        before = await house.listed(_all_of("t"))
        head = (await house.get(config_for("copy", ""))).config
        await house("put_writes", head, [("a", "more")], "another")
        await house.put(head, make_checkpoint({"a": "copy"}))
        await house("prune", ["copy"])
        assert await house.listed(_all_of("t")) == before
        await house("delete_thread", "copy")
        assert await house.listed(_all_of("t")) == before

    async def test_copying_again_changes_nothing(self, house: Verbs) -> None:
        await self._source(house)
        for _ in range(2):
            await house("copy_thread", "t", "copy")
        assert list(map(_named_t, await house.listed(_all_of("copy")))) == await house.listed(_all_of("t"))

    async def test_of_an_unknown_thread_there_is_no_copy(self, house: Verbs) -> None:
        await house("copy_thread", "nobody", "copy")
        assert await house.listed(None) == []

    async def test_a_thread_with_checkpoints_of_its_own_is_no_target(self, house: Verbs) -> None:
        await self._source(house)
        (own,) = await house.put_chain("taken", 1)
        with pytest.raises(CheckpointQueryError, match="'taken'"):
            await house("copy_thread", "t", "taken")
        assert [each.config for each in await house.listed(_all_of("taken"))] == [own]

    async def test_a_copy_onto_itself_changes_nothing(self, house: Verbs) -> None:
        await self._source(house)
        before = await house.listed(_all_of("t"))
        await house("copy_thread", "t", "t")
        assert await house.listed(_all_of("t")) == before


def _all_of(thread_id: str) -> RunnableConfig:
    return {"configurable": {"thread_id": thread_id}}


def _named_t(found: CheckpointTuple) -> CheckpointTuple:
    """The same as it would be in the thread `t`."""
    return found._replace(config=_in_t(found.config), parent_config=_in_t(found.parent_config))


def _in_t(config: RunnableConfig | None) -> Any:
    return config and {"configurable": {**config["configurable"], "thread_id": "t"}}
