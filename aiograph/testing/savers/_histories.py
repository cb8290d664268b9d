"""The contract of `get_delta_channel_history`: what a channel that keeps its changes is put together from."""

from typing import Any

from aiograph.checkpoint.base import config_for
from aiograph.testing.savers._kit import Part, Verbs, make_checkpoint
from aiograph.types import RunnableConfig


class Histories(Part):
    """Histories go from parent to parent, and end at the nearest value."""

    async def _line(self, verbs: Verbs, *values: Any) -> list[RunnableConfig]:
        """A line of checkpoints, where `None` stands for one without a value, each with a write beside it."""
        configs: list[RunnableConfig] = []
        for step, value in enumerate(values):
            parent = configs[-1] if configs else config_for("t", "")
            held = {} if value is None else {"d": value}
            checkpoint = make_checkpoint({**held, "other": step}, versions={"d": step, "other": step})
            configs.append(await verbs.put(parent, checkpoint))
            await verbs("put_writes", configs[-1], [("d", step), ("other", step)], f"task {step}")
        return configs

    async def _history(self, verbs: Verbs, config: RunnableConfig) -> Any:
        found = await verbs("get_delta_channel_history", config, ["d"])
        assert found.keys() == {"d"}
        return found["d"]

    async def test_writes_come_oldest_first_from_the_nearest_value_on(self, verbs: Verbs) -> None:
        await self._line(verbs, "oldest", "seed", None, None)
        assert await self._history(verbs, config_for("t", "")) == {
            "seed": "seed",
            "writes": [("task 1", "d", 1), ("task 2", "d", 2)],
        }

    async def test_what_belongs_to_the_checkpoint_itself_does_not_count(self, verbs: Verbs) -> None:
        configs = await self._line(verbs, "seed", "own")
        assert await self._history(verbs, configs[1]) == {"seed": "seed", "writes": [("task 0", "d", 0)]}
        assert await self._history(verbs, configs[0]) == {"writes": []}

    async def test_without_a_value_there_is_no_seed(self, verbs: Verbs) -> None:
        await self._line(verbs, None, None, None)
        assert await self._history(verbs, config_for("t", "")) == {
            "writes": [("task 0", "d", 0), ("task 1", "d", 1)]
        }

    async def test_a_seed_may_be_nothing(self, verbs: Verbs) -> None:
        parent = await verbs.put(config_for("t", ""), make_checkpoint({"d": None}))
        await verbs.put(parent, make_checkpoint({}))
        assert await self._history(verbs, config_for("t", "")) == {"seed": None, "writes": []}

    async def test_other_branches_do_not_count(self, verbs: Verbs) -> None:
        root, left = await self._line(verbs, "seed", None)
        right = await verbs.put(root, make_checkpoint({}, after=left["configurable"]["checkpoint_id"]))
        await verbs.put(right, make_checkpoint({}, after=right["configurable"]["checkpoint_id"]))
        assert await self._history(verbs, config_for("t", "")) == {
            "seed": "seed",
            "writes": [("task 0", "d", 0)],
        }

    async def test_each_channel_goes_back_as_far_as_it_has_to(self, verbs: Verbs) -> None:
        await self._line(verbs, "seed", None, None)
        found = await verbs("get_delta_channel_history", config_for("t", ""), ["d", "other", "unknown"])
        assert found == {
            "d": {"seed": "seed", "writes": [("task 0", "d", 0), ("task 1", "d", 1)]},
            "other": {"seed": 1, "writes": [("task 1", "other", 1)]},
            "unknown": {"writes": []},
        }

    async def test_where_nothing_is_stored_histories_are_empty(self, verbs: Verbs) -> None:
        await self._line(verbs, "seed", None)
        for config in (config_for("nobody", ""), config_for("t", "", "nothing"), config_for("t", "child:1")):
            assert await self._history(verbs, config) == {"writes": []}
        assert await verbs("get_delta_channel_history", config_for("t", ""), []) == {}
