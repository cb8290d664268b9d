"""The contract of lists."""

from typing import Any

from aiograph.checkpoint.base import config_for
from aiograph.testing.savers._kit import HOSTILE, Part, Verbs, ids_of, steps_of
from aiograph.types import RunnableConfig


class Lists(Part):
    """Lists are in order, whole, and filtered."""

    async def test_the_newest_come_first(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 120)
        found = await verbs.listed(config_for("t", ""))
        assert [each.config for each in found] == configs[::-1]
        assert [each.parent_config for each in found] == [*configs[-2::-1], None]
        assert [each.checkpoint["channel_values"]["n"] for each in found] == list(range(119, -1, -1))

    async def test_limit_and_before_cut_the_list(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 60)
        thread = config_for("t", "")
        assert steps_of(await verbs.listed(thread, limit=2)) == [59, 58]
        assert steps_of(await verbs.listed(thread, limit=55)) == list(range(59, 4, -1))
        assert await verbs.listed(thread, limit=0) == []
        assert steps_of(await verbs.listed(thread, before=configs[2])) == [1, 0]
        assert steps_of(await verbs.listed(thread, before=configs[9], limit=3)) == [8, 7, 6]
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
        assert ids_of(found) == sorted(ids_of(found), reverse=True)
        assert ids_of(await verbs.listed(everywhere, limit=3)) == ids_of(found)[:3]

    async def test_a_config_with_an_id_stands_for_that_checkpoint(self, verbs: Verbs) -> None:
        configs = await verbs.put_chain("t", 3)
        assert [each.config for each in await verbs.listed(configs[1])] == [configs[1]]
        assert await verbs.listed(config_for("t", "", "nothing")) == []

    async def test_no_config_stands_for_all_threads(self, verbs: Verbs) -> None:
        for thread in ("a", "b", "c"):
            await verbs.put_chain(thread, 2)
        found = await verbs.listed(None)
        assert len(found) == 6
        assert ids_of(found) == sorted(ids_of(found), reverse=True)
        assert ids_of(await verbs.listed(None, limit=4)) == ids_of(found)[:4]

    async def test_a_filter_compares_metadata(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 2, extra={"user": "ann"})
        await verbs.put_chain("t", 2, extra={"user": "bob"})
        thread = config_for("t", "")
        assert steps_of(await verbs.listed(thread, filter={"user": "ann"})) == [1, 0]
        assert steps_of(await verbs.listed(thread, filter={"user": "bob", "step": 1})) == [1]
        assert await verbs.listed(thread, filter={"user": "nobody"}) == []
        assert await verbs.listed(thread, filter={"unknown": "ann"}) == []
        assert len(await verbs.listed(thread, filter={})) == 4

    async def test_limit_counts_what_the_filter_lets_through(self, verbs: Verbs) -> None:
        await verbs.put_chain("t", 3, extra={"user": "ann"})
        await verbs.put_chain("t", 60, extra={"user": "bob"})
        found = await verbs.listed(config_for("t", ""), filter={"user": "ann"}, limit=2)
        assert steps_of(found) == [2, 1]

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
