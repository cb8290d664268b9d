"""The contract of filters: the essentials of what `list` lets through."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from aiograph.checkpoint.base import config_for
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers._kit import HOSTILE, Part, Verbs, make_checkpoint, steps_of


class Filters(Part):
    """Every condition has to be fulfilled; keys and values are data."""

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

    @pytest.fixture
    def comparing(self, verbs: Verbs) -> Verbs:
        """The verbs, for tests of what is not just equality."""
        if not self.can_compare:
            pytest.skip("the saver's filters know no comparisons and no times")
        return verbs

    async def test_a_filter_compares_numbers_as_numbers(self, comparing: Verbs) -> None:
        await comparing.put_chain("t", 12)
        for wanted, steps in (
            ({"gt": 9}, [11, 10]),
            ({"gte": 10.0, "lt": 11}, [10]),
            ({"lte": 1}, [1, 0]),
            ({"in": [2, 10, "3", None]}, [10, 2]),
            ({"ne": 5}, [11, 10, 9, 8, 7, 6, 4, 3, 2, 1, 0]),
        ):
            found = await comparing.listed(config_for("t", ""), filter={"step": wanted})
            assert steps_of(found) == steps, wanted

    async def test_comparisons_reach_nested_entries(self, comparing: Verbs) -> None:
        for priority in (1, 2, 3):
            await comparing.put_chain("t", 1, extra={"job": {"priority": priority, "name": "x"}})
        filter = {"job": {"priority": {"gte": 2}, "name": "x"}}
        found = await comparing.listed(config_for("t", ""), filter=filter)
        assert [each.metadata["job"]["priority"] for each in found] == [3, 2]  # type: ignore[typeddict-item]  # our own

    async def test_a_filter_compares_times_of_creation(self, comparing: Verbs) -> None:
        start = datetime(2030, 1, 1, tzinfo=UTC)
        moments = [start + timedelta(hours=hour) for hour in range(4)]
        for step, moment in enumerate(moments):
            checkpoint = make_checkpoint({})
            checkpoint["ts"] = moment.isoformat()
            await comparing.put(config_for("t", ""), checkpoint, {"step": step})
        for filter, steps in (
            ({"created_after": moments[1]}, [3, 2]),
            ({"created_before": moments[1].isoformat()}, [0]),
            ({"created_after": moments[0], "created_before": moments[3], "step": {"gt": 1}}, [2]),
        ):
            assert steps_of(await comparing.listed(config_for("t", ""), filter=filter)) == steps, filter

    async def test_a_filter_that_makes_no_sense_is_refused(self, comparing: Verbs) -> None:
        senseless: tuple[dict[str, Any], ...] = (
            {"step": {"gt": 1, "about": 2}},
            {"step": {"gt": None}},
            {"step": {"in": 1}},
            {"created_after": "yesterday"},
            {"user": object()},
        )
        for filter in senseless:
            with pytest.raises(CheckpointQueryError):
                await comparing.listed(config_for("t", ""), filter=filter)
