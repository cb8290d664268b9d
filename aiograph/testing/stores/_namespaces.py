"""The contract of listing namespaces."""

from typing import Any

import pytest

from aiograph.errors import StoreQueryError
from aiograph.store.base import ListNamespacesOp, MatchCondition
from aiograph.testing.stores._kit import Part, Verbs

ALL = [("a",), ("a", "b", "c"), ("a", "b", "d"), ("a", "x", "c"), ("a-", "b"), ("z", "b")]


class Namespaces(Part):
    """Those that hold items, in order."""

    async def test_only_namespaces_that_hold_items_are_listed(self, verbs: Verbs) -> None:
        await verbs.put(("a", "b"), "k", {})
        assert await verbs("list_namespaces") == [("a", "b")]
        await verbs("delete", ("a", "b"), "k")
        assert await verbs("list_namespaces") == []

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ({}, ALL),
            ({"prefix": ()}, ALL),
            ({"prefix": ("a",)}, ALL[:4]),
            ({"prefix": ("a", "*", "c")}, [("a", "b", "c"), ("a", "x", "c")]),
            ({"suffix": ("b",)}, [("a-", "b"), ("z", "b")]),
            ({"suffix": ("*", "c")}, [("a", "b", "c"), ("a", "x", "c")]),
            ({"prefix": ("a",), "suffix": ("d",)}, [("a", "b", "d")]),
            ({"max_depth": 1}, [("a",), ("a-",), ("z",)]),
            ({"max_depth": 2, "prefix": ("a",)}, [("a",), ("a", "b"), ("a", "x")]),
            ({"max_depth": 2, "suffix": ("d",)}, [("a", "b")]),
            ({"limit": 2, "offset": 1}, ALL[1:3]),
            ({"max_depth": 1, "limit": 1, "offset": 2}, [("z",)]),
            ({"prefix": ("none",)}, []),
        ],
    )
    async def test_namespaces_are_matched_cut_and_paged(
        self, verbs: Verbs, query: Any, expected: list[tuple[str, ...]]
    ) -> None:
        for namespace in reversed(ALL):
            await verbs.put(namespace, "one", {})
            await verbs.put(namespace, "two", {})
        assert await verbs("list_namespaces", **query) == expected

    async def test_a_senseless_listing_is_refused(self, verbs: Verbs) -> None:
        for query in ({"max_depth": 0}, {"limit": -1}, {"offset": -2}):
            with pytest.raises(StoreQueryError):
                await verbs("list_namespaces", **query)
        unknown: Any = MatchCondition("infix", ("a",))  # type: ignore[arg-type]  # the mistake at hand
        with pytest.raises(StoreQueryError, match="infix"):
            await verbs("batch", [ListNamespacesOp((unknown,))])
