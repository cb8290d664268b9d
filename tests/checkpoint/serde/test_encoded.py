"""What savers that store bytes have in common: encoding, errors that say where, listings, branches."""

from typing import Any

import pytest

from aiograph.checkpoint.base import TaskWrites, config_for
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.serde.encoded import (
    Key,
    Listing,
    Skeleton,
    choose,
    dump_skeleton,
    encode_writes,
    load_skeleton,
)
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.constants import ERROR
from aiograph.errors import CheckpointQueryError, CheckpointSerializationError
from aiograph.testing.savers import make_checkpoint

SERDE = JsonPlusSerializer()
KEY = Key("t", "child:1", "id")


class PickySerializer:
    """A serializer of somebody else's, with errors of its own."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        raise CheckpointSerializationError("not today")

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        raise NotImplementedError


# -- errors ----------------------------------------------------------------------------------------


def test_a_refused_value_is_named_with_its_thread_checkpoint_and_channel() -> None:
    checkpoint = make_checkpoint({"messages": [1, {"x": object()}]})
    expected = (
        rf"^thread 't', namespace 'ns', checkpoint '{checkpoint['id']}': cannot store messages\[1\]\.x: "
    )
    with pytest.raises(CheckpointSerializationError, match=expected):
        InMemorySaver().encode_commit(config_for("t", "ns"), checkpoint, {}, {"messages": 1}, ())


def test_a_refused_write_is_named_with_its_task_and_channel() -> None:
    with pytest.raises(CheckpointSerializationError, match=r"^task 'id': cannot store messages\.x: "):
        encode_writes(SERDE, TaskWrites("id", "", [("messages", {"x": object()})]))


def test_errors_of_other_serializers_are_named_too() -> None:
    with pytest.raises(CheckpointSerializationError, match=r"^task 'id': channel 'a': not today"):
        encode_writes(PickySerializer(), TaskWrites("id", "", [("a", 1)]))


def test_of_several_special_writes_the_last_one_counts() -> None:
    encoded = encode_writes(SERDE, TaskWrites("id", "path", [(ERROR, "first"), ("a", 1), (ERROR, "last")]))
    assert [(write.position, SERDE.loads_typed(write.blob)) for write in encoded.writes] == [
        (-1, "last"),
        (1, 1),
    ]


# -- skeletons -------------------------------------------------------------------------------------


def test_a_skeleton_comes_back() -> None:
    skeleton = Skeleton(1, "ts", {"a": 1, "b": "2", "c": 3.5}, {"node": {"a": 1}}, ["a"], ["a", "c"])
    assert load_skeleton(SERDE, KEY, dump_skeleton(SERDE, skeleton)) == skeleton


# -- listings --------------------------------------------------------------------------------------


def test_a_listing_says_what_was_asked_for() -> None:
    before = config_for("t", "", "x")
    assert Listing.of(None, None, None, None) == (None, None, None, None, None, None)
    assert Listing.of(config_for("t", "ns", "id"), {"a": 1}, before, 3) == (
        "t",
        "ns",
        "id",
        "x",
        b'{"a":1}',
        3,
    )
    assert Listing.of({"configurable": {"thread_id": "t"}}, {}, None, 0).namespace is None


def test_a_listing_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(CheckpointQueryError, match="must not be negative: -1"):
        Listing.of(None, None, None, -1)
    with pytest.raises(CheckpointQueryError, match="before: the config names no checkpoint"):
        Listing.of(None, None, config_for("t", ""), None)
    with pytest.raises(CheckpointQueryError, match="the filter matches no metadata"):
        Listing.of(None, {"a": object()}, None, None)


# -- branches --------------------------------------------------------------------------------------

PARENTS = {"root": None, "l1": "root", "l2": "l1", "r1": "root", "r2": "r1"}


def test_a_lone_value_is_meant_by_all() -> None:
    assert choose("l2", {"root": "x"}, PARENTS.get) == "x"
    assert choose("l2", {}, PARENTS.get) is None


def test_of_several_values_the_nearest_one_upwards_is_meant() -> None:
    values = {"l1": "left", "r1": "right"}
    assert choose("l2", values, PARENTS.get) == "left"
    assert choose("r1", values, PARENTS.get) == "right"
    assert choose("root", values, PARENTS.get) is None


def test_a_checkpoint_that_is_its_own_parent_ends_the_search() -> None:
    assert choose("a", {"x": 1, "y": 2}, {"a": "b", "b": "a"}.get) is None
