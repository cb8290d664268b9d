"""The contract of single items: put, get and delete."""

import enum
import uuid
from typing import Any

import pytest

from aiograph.errors import InvalidNamespaceError, StoreValueError
from aiograph.testing.stores._kit import HOSTILE, Part, Verbs

HERE = ("users", "ann")


class Colour(enum.Enum):
    RED = "red"


class Items(Part):
    """What was put comes back, as it was then."""

    async def test_what_was_put_comes_back(self, verbs: Verbs) -> None:
        value = {
            "text": "héllo 🔑",
            "n": 1,
            "f": 0.1,
            "big": 2**53,
            "yes": True,
            "no": None,
            "l": [1, {"a": []}],
        }
        await verbs.put(HERE, "k", value)
        item = await verbs.get(HERE, "k")
        assert item.value == value
        assert [type(each) for each in item.value.values()] == [type(each) for each in value.values()]
        assert (item.namespace, item.key) == (HERE, "k")

    async def test_what_was_never_put_is_not_there(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"n": 1})
        assert await verbs("get", HERE, "other") is None
        assert await verbs("get", ("users",), "k") is None
        assert await verbs("get", (*HERE, "deeper"), "k") is None

    async def test_a_put_replaces_the_whole_value(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"a": 1, "b": 2})
        await verbs.put(HERE, "k", {"a": 3})
        assert await verbs.value(HERE, "k") == {"a": 3}

    async def test_a_replaced_item_keeps_when_it_was_created(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"n": 1})
        first = await verbs.get(HERE, "k")
        assert first.created_at == first.updated_at
        assert first.created_at.tzinfo is not None
        await verbs.put(HERE, "k", {"n": 2})
        second = await verbs.get(HERE, "k")
        assert second.created_at == first.created_at
        assert second.updated_at > first.updated_at

    async def test_what_was_deleted_is_gone_and_created_anew(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"n": 1})
        first = await verbs.get(HERE, "k")
        await verbs("delete", HERE, "k")
        assert await verbs("get", HERE, "k") is None
        await verbs("delete", HERE, "k")
        await verbs.put(HERE, "k", {"n": 1})
        assert (await verbs.get(HERE, "k")).created_at > first.created_at

    async def test_what_was_put_does_not_change_with_the_live_object(self, verbs: Verbs) -> None:
        value: dict[str, Any] = {"tags": ["a"]}
        await verbs.put(HERE, "k", value)
        value["tags"].append("b")
        assert await verbs.value(HERE, "k") == {"tags": ["a"]}

    async def test_what_you_get_is_yours(self, verbs: Verbs) -> None:
        await verbs.put(HERE, "k", {"tags": ["a"]})
        (await verbs.get(HERE, "k")).value["tags"].append("b")
        [found] = await verbs("search", HERE)
        found.value["tags"].append("c")
        assert await verbs.value(HERE, "k") == {"tags": ["a"]}

    async def test_hostile_labels_keys_and_fields_are_just_text(self, verbs: Verbs) -> None:
        for text in HOSTILE:
            await verbs.put(("h", text), text, {text: text})
        for text in HOSTILE:
            assert await verbs.value(("h", text), text) == {text: text}
            assert await verbs.keys(("h", text), limit=99) == [text]
        assert len(await verbs("list_namespaces")) == len(HOSTILE)

    async def test_tuples_enums_and_uuids_become_what_json_knows(self, verbs: Verbs) -> None:
        name = uuid.UUID(int=5)
        await verbs.put(HERE, "k", {"t": (1, 2), "e": Colour.RED, "u": name})
        assert await verbs.value(HERE, "k") == {"t": [1, 2], "e": "red", "u": str(name)}

    @pytest.mark.parametrize(
        ("value", "path"),
        [
            ({"a": {"b": [1, object()]}}, r"value\.a\.b\[1\]"),
            ({"a": {3: "x"}}, r"value\.a"),
            ({"a": {"b": float("nan")}}, r"value\.a\.b"),
            ({"a": ["x\0y"]}, r"value\.a\[0\]"),
            ({"a": ["x\ud800y"]}, r"value\.a\[0\]"),
            ({"a": [2**64]}, r"value\.a\[0\]"),
        ],
    )
    async def test_what_cannot_be_stored_is_refused_with_its_path(
        self, verbs: Verbs, value: Any, path: str
    ) -> None:
        await verbs.put(HERE, "k", {"n": 1})
        with pytest.raises(StoreValueError, match=path):
            await verbs.put(HERE, "k", value)
        assert await verbs.value(HERE, "k") == {"n": 1}

    async def test_a_value_is_a_dict(self, verbs: Verbs) -> None:
        for value in ("text", [1], 5, None):
            with pytest.raises(TypeError, match="dict"):
                await verbs.put(HERE, "k", value)
        with pytest.raises(TypeError, match="text"):
            await verbs.put(HERE, 5, {"n": 1})  # type: ignore[arg-type]  # the mistake at hand

    @pytest.mark.parametrize(
        "namespace", [("",), ("a.b",), ("a\0b",), ("a\ud800",), ("a", 5), "users", ["users"], ()]
    )
    async def test_a_namespace_that_cannot_be_kept_is_refused(self, verbs: Verbs, namespace: Any) -> None:
        with pytest.raises(InvalidNamespaceError):
            await verbs.put(namespace, "k", {"n": 1})
        with pytest.raises(InvalidNamespaceError):
            await verbs("get", namespace, "k")

    async def test_reserved_first_labels_are_refused(self, verbs: Verbs) -> None:
        with pytest.raises(InvalidNamespaceError, match="reserved"):
            await verbs.put(("langgraph", "x"), "k", {"n": 1})
        await verbs.put(("x", "langgraph"), "k", {"n": 1})
        assert await verbs.value(("x", "langgraph"), "k") == {"n": 1}
