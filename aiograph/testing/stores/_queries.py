"""The contract of searches by what items are about."""

from collections.abc import AsyncIterator

import pytest

from aiograph.errors import StoreValueError
from aiograph.store.base import IndexConfig, SearchItem
from aiograph.testing.stores._kit import Part, Verbs, embed, keys_of

HERE = ("q",)


class Queries(Part):
    """Best first, among what is indexed and lets itself be filtered."""

    @pytest.fixture(params=["async", "sync"])
    async def seeker(self, request: pytest.FixtureRequest) -> AsyncIterator[Verbs]:
        """The verbs of a store with an index that counts colours."""
        self.require_index()
        async with self.open_store(index={"dims": 3, "embed": embed}) as store:
            yield Verbs(store, request.param)

    async def test_the_nearest_items_come_first_with_their_scores(self, seeker: Verbs) -> None:
        await seeker.put(HERE, "red", {"text": "red"})
        await seeker.put(HERE, "mixed", {"text": "red green"})
        await seeker.put(HERE, "green", {"text": "green"})
        found: list[SearchItem] = await seeker("search", HERE, query="red")
        assert keys_of(found) == ["red", "mixed", "green"]
        assert [item.score for item in found] == pytest.approx([1.0, 0.5**0.5, 0.0], abs=1e-6)
        assert await seeker.keys(HERE, query="red", limit=1, offset=1) == ["mixed"]

    async def test_filters_come_before_the_limit(self, seeker: Verbs) -> None:
        for number in range(20):
            await seeker.put(HERE, f"red {number}", {"text": "red", "wanted": False})
        await seeker.put(HERE, "green", {"text": "green", "wanted": True})
        await seeker.put(("elsewhere",), "k", {"text": "red", "wanted": True})
        assert await seeker.keys(HERE, query="red", filter={"wanted": True}, limit=1) == ["green"]

    async def test_what_is_not_indexed_is_not_found_by_a_query(self, seeker: Verbs) -> None:
        await seeker.put(HERE, "no", {"text": "red"}, index=False)
        await seeker.put(HERE, "yes", {"text": "red"})
        assert await seeker.keys(HERE, query="red") == ["yes"]
        assert set(await seeker.keys(HERE)) == {"no", "yes"}

    async def test_no_vector_outlives_its_value(self, seeker: Verbs) -> None:
        await seeker.put(HERE, "a", {"text": "red"})
        await seeker.put(HERE, "b", {"text": "red"})
        await seeker.put(HERE, "c", {"text": "red"})
        await seeker.put(HERE, "a", {"text": "red"}, index=False)
        await seeker.put(HERE, "b", {"text": "green"})
        await seeker("delete", HERE, "c")
        await seeker.put(HERE, "c", {"other": 1}, index=["text"])
        found = await seeker("search", HERE, query="red")
        assert [(item.key, item.score) for item in found] == [("b", pytest.approx(0.0))]

    async def test_a_put_may_name_what_is_indexed(self, seeker: Verbs) -> None:
        value = {"title": "red", "parts": [{"text": "green"}, {"text": "blue blue"}]}
        await seeker.put(HERE, "title", value, index=["title"])
        await seeker.put(HERE, "parts", value, index=["parts[*].text", "nothing"])
        [title, parts] = await seeker("search", HERE, query="red")
        assert (title.key, title.score, parts.score) == ("title", pytest.approx(1.0), pytest.approx(0.0))
        [parts, title] = await seeker("search", HERE, query="blue")
        assert (parts.key, parts.score) == ("parts", pytest.approx(1.0))

    async def test_equal_scores_are_in_the_order_of_namespace_and_key(self, seeker: Verbs) -> None:
        for namespace, key in ((("q", "z"), "a"), (("q", "a"), "b"), (("q", "a"), "a")):
            await seeker.put(namespace, key, {"text": "blue"})
        found = await seeker("search", HERE, query="blue")
        assert [(item.namespace[1], item.key) for item in found] == [("a", "a"), ("a", "b"), ("z", "a")]


class Distances(Part):
    """The other ways to be near, and embedders that fail."""

    @pytest.mark.parametrize(
        ("distance", "scores"),
        [
            ("inner_product", [("two", 2.0), ("one", 1.0), ("off", 0.0)]),
            ("l2", [("one", 0.0), ("two", -1.0)]),
        ],
    )
    async def test_the_order_follows_the_distance(
        self, distance: str, scores: list[tuple[str, float]]
    ) -> None:
        self.require_index()
        index: IndexConfig = {"dims": 3, "embed": embed, "fields": ["t"], "distance_type": distance}  # type: ignore[typeddict-item]  # a parameter
        async with self.open_store(index=index) as store:
            for key, text in (("one", "red"), ("two", "red red"), ("off", "blue blue blue")):
                await store.aput(HERE, key, {"t": text})
            found = await store.asearch(HERE, query="red", limit=len(scores))
        assert keys_of(found) == [key for key, _ in scores]
        assert [item.score for item in found] == pytest.approx([score for _, score in scores], abs=1e-6)

    async def test_vectors_of_a_wrong_length_are_refused_before_anything_is_stored(self) -> None:
        self.require_index()
        async with self.open_store(index={"dims": 4, "embed": embed}) as store:
            with pytest.raises(StoreValueError, match="dims=4"):
                await store.aput(HERE, "k", {"text": "red"})
            assert await store.aget(HERE, "k") is None

    async def test_an_embedder_that_fails_stores_nothing(self) -> None:
        self.require_index()

        async def fail(texts: list[str]) -> list[list[float]]:
            raise ConnectionError("no model")

        async with self.open_store(index={"dims": 3, "embed": fail}) as store:
            with pytest.raises(ConnectionError, match="no model"):
                await store.aput(HERE, "k", {"text": "red"})
            assert await store.aget(HERE, "k") is None
            await store.aput(HERE, "k", {"text": "red"}, index=False)
            assert await store.aget(HERE, "k") is not None
