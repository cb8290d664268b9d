"""The contract of searches without a query: where they look, in which order, and what filters mean."""

from typing import Any

import pytest

from aiograph.errors import StoreQueryError
from aiograph.testing.stores._kit import HOSTILE, Part, Verbs

VALUE = {
    "age": 9,
    "name": "Ann",
    "on": True,
    "tags": ["a", 1],
    "home": {"city": "Rome", "zip": 7},
    "no": None,
}


class Searches(Part):
    """Within a namespace and all below it."""

    async def test_a_search_looks_below_its_prefix_and_nowhere_else(self, verbs: Verbs) -> None:
        for key, namespace in (
            ("here", ("u", "a")),
            ("below", ("u", "a", "x")),
            ("sibling", ("u", "ab")),
            ("above", ("u",)),
            ("elsewhere", ("a",)),
        ):
            await verbs.put(namespace, key, {})
        assert set(await verbs.keys(("u", "a"))) == {"here", "below"}
        assert set(await verbs.keys(("u",))) == {"here", "below", "sibling", "above"}
        assert len(await verbs.keys(())) == 5
        assert await verbs.keys(("x",)) == []

    async def test_a_prefix_has_no_wildcards(self, verbs: Verbs) -> None:
        await verbs.put(("ab", "c"), "k", {})
        for label in ("a%", "a_", "_b", "%", "*", "a"):
            assert await verbs.keys((label,)) == [], label

    async def test_what_was_put_last_comes_first(self, verbs: Verbs) -> None:
        for key in ("a", "b", "c"):
            await verbs.put(("o",), key, {})
        await verbs.put(("o",), "a", {})
        assert await verbs.keys(("o",)) == ["a", "c", "b"]

    async def test_a_page_of_a_search(self, verbs: Verbs) -> None:
        for number in range(12):
            await verbs.put(("p",), str(number), {"even": number % 2 == 0})
        assert len(await verbs.keys(("p",))) == 10
        assert await verbs.keys(("p",), limit=3, offset=2) == ["9", "8", "7"]
        assert await verbs.keys(("p",), limit=2, offset=11) == ["0"]
        assert await verbs.keys(("p",), limit=0) == []
        assert await verbs.keys(("p",), filter={"even": True}, limit=2, offset=1) == ["8", "6"]

    async def test_a_search_without_a_query_gives_no_scores(self, verbs: Verbs) -> None:
        await verbs.put(("s",), "k", {})
        [found] = await verbs("search", ("s",))
        assert found.score is None

    async def test_a_query_without_an_index_is_refused(self, verbs: Verbs) -> None:
        with pytest.raises(StoreQueryError, match="index"):
            await verbs("search", ("s",), query="red")

    async def test_senseless_pages_are_refused(self, verbs: Verbs) -> None:
        for page in ({"limit": -1}, {"offset": -1}):
            with pytest.raises(StoreQueryError):
                await verbs("search", ("s",), **page)


class Filters(Part):
    """One meaning, whatever the storage."""

    @pytest.mark.parametrize(
        "wanted",
        [
            {},
            {"age": 9},
            {"age": 9.0, "name": "Ann"},
            {"tags": ["a", 1]},
            {"no": None},
            {"home": {}},
            {"home": {"city": "Rome"}},
            {"home": {"zip": {"$lt": 10}, "city": {"$ne": "Oslo"}}},
            {"home": {"$eq": {"zip": 7, "city": "Rome"}}},
            {"age": {"$gt": 8, "$lte": 9}},
            {"age": {"$gte": 8.5}},
            {"name": {"$gte": "Ann", "$lt": "Anna"}},
            {"name": {"$ne": 1}},
            {"on": {"$eq": True}},
        ],
    )
    async def test_a_filter_that_holds(self, verbs: Verbs, wanted: Any) -> None:
        await verbs.put(("f",), "k", VALUE)
        assert await verbs.keys(("f",), filter=wanted) == ["k"]

    @pytest.mark.parametrize(
        "wanted",
        [
            {"on": 1},
            {"age": "9"},
            {"age": True},
            {"age": {"$gt": 10}},
            {"age": {"$gt": "1"}},
            {"name": {"$gt": 1}},
            {"name": {"$lt": 1}},
            {"name": {}},
            {"tags": ["a", True]},
            {"tags": ["a"]},
            {"home": {"city": "Oslo"}},
            {"home": {"$eq": {"city": "Rome"}}},
            {"name": {"city": "Rome"}},
            {"missing": None},
            {"missing": {"$ne": 1}},
            {"home.city": "Rome"},
        ],
    )
    async def test_a_filter_that_does_not_hold(self, verbs: Verbs, wanted: Any) -> None:
        await verbs.put(("f",), "k", VALUE)
        assert await verbs.keys(("f",), filter=wanted) == []

    async def test_numbers_compare_as_numbers(self, verbs: Verbs) -> None:
        for number in range(44):
            await verbs.put(("n",), str(number), {"v": number})
        await verbs.put(("n",), "text", {"v": "99"})
        await verbs.put(("n",), "none", {})
        found = await verbs.keys(("n",), filter={"v": {"$gt": 5}}, limit=100)
        assert sorted(map(int, found)) == list(range(6, 44))

    async def test_hostile_fields_in_a_filter_are_just_fields(self, verbs: Verbs) -> None:
        names = [name for name in HOSTILE if not name.startswith("$")]
        for name in names:
            await verbs.put(("h",), name, {name: {name: name}})
        for name in names:
            assert await verbs.keys(("h",), filter={name: {name: name}}) == [name]

    @pytest.mark.parametrize(
        "wanted",
        [
            {"a": {"$in": [1]}},
            {"a": {"$gt": 1, "b": 2}},
            {"a": {"$gt": None}},
            {"a": {"$lt": True}},
            {"a": {"b": {"$lte": [1]}}},
            {"$gt": 1},
            {"a": object()},
            {"a": float("nan")},
        ],
    )
    async def test_a_filter_that_makes_no_sense_is_refused(self, verbs: Verbs, wanted: Any) -> None:
        with pytest.raises(StoreQueryError):
            await verbs("search", ("f",), filter=wanted)
