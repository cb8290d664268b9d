"""The contract of batches: several operations at once."""

import pytest

from aiograph.errors import StoreError
from aiograph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, PutOp, SearchOp
from aiograph.testing.stores._kit import Part, Verbs, keys_of

HERE = ("b",)


class Batches(Part):
    """All or nothing, and reads before writes."""

    async def test_results_come_in_the_order_of_operations(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"n": 1})
        put, listed, missing, found, searched = await verbs(
            "batch",
            [
                PutOp(HERE, "other", {"n": 2}),
                ListNamespacesOp((MatchCondition("prefix", HERE),)),
                GetOp(HERE, "missing"),
                GetOp(HERE, "k"),
                SearchOp(HERE),
            ],
        )
        assert (put, listed, missing) == (None, [HERE], None)
        assert found.value == {"n": 1}
        assert keys_of(searched) == ["k"]

    async def test_a_batch_reads_before_it_writes(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"n": 1})
        _, found = await verbs("batch", [PutOp(HERE, "k", {"n": 2}), GetOp(HERE, "k")])
        assert found.value == {"n": 1}
        assert await verbs.value(HERE, "k") == {"n": 2}

    async def test_the_last_put_to_a_key_counts(self, verbs: Verbs) -> None:
        await verbs("batch", [PutOp(HERE, "k", {"n": 1}), PutOp(HERE, "k", None), PutOp(HERE, "k", {"n": 3})])
        assert await verbs.value(HERE, "k") == {"n": 3}
        await verbs("batch", [PutOp(HERE, "k", {"n": 4}), PutOp(HERE, "k", None)])
        assert await verbs.value(HERE, "k") is None

    async def test_the_same_item_twice_is_two_copies(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"tags": []})
        one, other = await verbs("batch", [GetOp(HERE, "k"), GetOp(HERE, "k")])
        assert isinstance(one, Item)
        assert one == other
        one.value["tags"].append("mine")
        assert other.value == {"tags": []}

    async def test_a_batch_with_a_refused_operation_does_nothing(self, verbs: Verbs) -> None:
        for bad in (
            PutOp((), "k", {}),
            PutOp(HERE, "l", {"x": object()}),
            SearchOp(HERE, {"a": {"$no": 1}}),
        ):
            with pytest.raises(StoreError):
                await verbs("batch", [PutOp(HERE, "k", {"n": 1}), bad])
        assert await verbs.keys(HERE) == []

    async def test_what_is_no_operation_is_refused(self, verbs: Verbs) -> None:
        with pytest.raises(TypeError, match="operation"):
            await verbs("batch", [PutOp(HERE, "k", {"n": 1}), ("get", "k")])
        assert await verbs.keys(HERE) == []

    async def test_an_empty_batch_has_no_results(self, verbs: Verbs) -> None:
        assert await verbs("batch", []) == []
        assert await verbs("batch", iter([GetOp(HERE, "k")])) == [None]
