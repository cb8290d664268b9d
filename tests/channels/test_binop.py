"""`BinaryOperatorAggregate`."""

import operator
from collections.abc import Callable, Collection, Mapping, MutableMapping, MutableSequence, Sequence, Set
from typing import Annotated, Any, NotRequired

import pytest

from aiograph.channels.base import MISSING
from aiograph.channels.binop import BinaryOperatorAggregate
from aiograph.errors import EmptyChannelError, ErrorCode, InvalidUpdateError
from aiograph.testing.channels import ChannelContract
from aiograph.types import Overwrite


class NeedsArguments:
    def __init__(self, word: str) -> None:
        self.word = word


OVERWRITES: list[Callable[[Any], Any]] = [
    Overwrite,
    lambda v: {"__overwrite__": v},
    lambda v: {"value": v, "type": "__overwrite__"},
]
"""An overwrite as an object, and as the two dicts that JSON can carry."""


class TestSum(ChannelContract):
    def channel(self) -> BinaryOperatorAggregate[list[int]]:
        return BinaryOperatorAggregate(list, operator.add, "items")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[[1]], [[2], [3]], [[]], [[4], Overwrite([9]), [5]], [[6]]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[Overwrite([1]), {"__overwrite__": [1]}]]


class TestWithoutStart(ChannelContract):
    def channel(self) -> BinaryOperatorAggregate[Any]:
        return BinaryOperatorAggregate(int | None, max, "peak")  # type: ignore[arg-type]  # a union is no type

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[3], [1, 7], [Overwrite(0)]]


@pytest.mark.parametrize(
    ("typ", "start"),
    [
        (list, []),
        (list[str], []),
        (int, 0),
        (str, ""),
        (dict[str, int], {}),
        (Sequence[str], []),
        (MutableSequence, []),
        (Collection[int], []),
        (Set[int], set()),
        (Mapping[str, int], {}),
        (MutableMapping, {}),
        (Annotated[list[int], "a note"], []),
        (NotRequired[Annotated[list[int], "a note"]], []),
    ],
)
def test_it_starts_from_an_empty_value_of_its_type(typ: Any, start: Any) -> None:
    channel = BinaryOperatorAggregate(typ, operator.add, "items")
    assert channel.get() == start
    assert type(channel.get()) is type(start)
    assert channel.ValueType == typ


@pytest.mark.parametrize(
    "typ", [int | None, Any, object, None, type(None), NeedsArguments, Callable[[], int]]
)
def test_a_type_that_cannot_be_made_from_nothing_starts_empty(typ: Any) -> None:
    channel = BinaryOperatorAggregate(typ, operator.add, "items")
    assert channel.checkpoint() is MISSING
    with pytest.raises(EmptyChannelError, match="'items'"):
        channel.get()


def test_the_first_write_to_an_empty_channel_is_the_value() -> None:
    def never(left: Any, right: Any) -> Any:
        raise AssertionError("was called")

    channel = BinaryOperatorAggregate(NeedsArguments, never, "items")
    value = NeedsArguments("first")
    channel.update([value])
    assert channel.get() is value


@pytest.mark.parametrize("overwrite", OVERWRITES)
@pytest.mark.parametrize("typ", [list, NeedsArguments])
def test_an_overwrite_replaces_the_value_even_of_an_empty_channel(typ: Any, overwrite: Any) -> None:
    channel = BinaryOperatorAggregate(typ, operator.add, "items")
    channel.update([overwrite([1])])
    assert channel.get() == [1]
    channel.update([[2], overwrite(None), [3]])
    assert channel.get() is None


def test_two_overwrites_in_a_superstep_are_refused() -> None:
    channel = BinaryOperatorAggregate(list, operator.add, "items")
    writes: list[Any] = [make([1]) for make in OVERWRITES]
    with pytest.raises(InvalidUpdateError, match="'items' takes one Overwrite per superstep") as caught:
        channel.update(writes)
    assert caught.value.code is ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE


@pytest.mark.parametrize(
    "write",
    [
        {"__overwrite__": 1, "other": 2},
        {"value": 1, "type": "text"},
        {"value": 1, "type": ["__overwrite__"]},
        {"type": "__overwrite__"},
        {"value": 1, "type": "__overwrite__", "other": 2},
        {"other": 1},
    ],
)
def test_a_dict_that_merely_resembles_an_overwrite_is_a_write(write: dict[str, Any]) -> None:
    channel = BinaryOperatorAggregate(dict, operator.or_, "facts")
    channel.update([{"first": 0}])
    channel.update([write])
    assert channel.get() == {"first": 0, **write}


def test_what_the_reducer_raises_is_raised_as_it_is_and_nothing_is_taken() -> None:
    channel = BinaryOperatorAggregate(list, operator.add, "items")
    channel.update([[1]])
    writes: Any = [[2], 3]
    with pytest.raises(TypeError, match="can only concatenate list"):
        channel.update(writes)
    assert channel.get() == [1]


def test_a_start_that_a_node_changed_in_place_reaches_nobody_else() -> None:
    prototype: BinaryOperatorAggregate[list[int]] = BinaryOperatorAggregate(list, operator.add, "items")
    prototype.copy().get().append(99)
    prototype.get().append(99)
    assert prototype.get() == []
    assert prototype.copy().get() == []


def test_specs_differ_by_type_and_reducer() -> None:
    channel = BinaryOperatorAggregate(list, operator.add)
    assert channel.is_same_spec(BinaryOperatorAggregate(list, operator.add, "another"))
    assert not channel.is_same_spec(BinaryOperatorAggregate(list[int], operator.add))
    assert not channel.is_same_spec(BinaryOperatorAggregate(list, operator.iadd))


def test_lambdas_are_the_same_only_if_they_are_the_same_object() -> None:
    first = lambda a, b: a + b  # noqa: E731
    second = lambda a, b: a + b  # noqa: E731
    channel = BinaryOperatorAggregate(int, first)
    assert channel.is_same_spec(BinaryOperatorAggregate(int, first))
    assert not channel.is_same_spec(BinaryOperatorAggregate(int, second))
