"""`Topic`."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.topic import Topic
from aiograph.errors import EmptyChannelError, InvalidUpdateError
from aiograph.testing.channels import ChannelContract
from aiograph.types import Overwrite


class TestPublished(ChannelContract):
    def channel(self) -> Topic[Any]:
        return Topic(object, key="__pregel_tasks")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1, [2, 3]], [[4]], [5, None, (6, 7)], [Overwrite([8])], [[]]]


class TestAccumulated(ChannelContract):
    def channel(self) -> Topic[Any]:
        return Topic(object, accumulate=True, key="log")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1, [2, 3]], [[4], [[5]]], [None], [Overwrite([])], [6]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[Overwrite([1]), Overwrite([1])]]


def test_lists_add_their_elements_one_level_deep() -> None:
    channel = Topic(object, key="log")
    channel.update([1, [2, [3]], (4,)])
    assert channel.get() == [1, 2, [3], (4,)]


def test_published_elements_last_one_superstep() -> None:
    channel = Topic(int, key="log")
    assert channel.transient
    channel.update([1])
    channel.update([2])
    assert channel.get() == [2]
    assert channel.update([]) is True
    with pytest.raises(EmptyChannelError, match="'log'"):
        channel.get()


def test_writing_an_empty_list_publishes_nothing() -> None:
    channel = Topic(int, key="log")
    assert channel.update([[]]) is False
    channel.update([1])
    assert channel.update([[], []]) is True
    assert not channel.is_available()


def test_accumulated_elements_stay_and_start_as_an_empty_list() -> None:
    channel = Topic(int, accumulate=True, key="log")
    assert not channel.transient
    assert channel.get() == []
    channel.update([1])
    channel.update([])
    channel.update([[2, 3]])
    assert channel.get() == [1, 2, 3]
    assert channel.update([[]]) is False


def test_a_list_that_was_handed_out_belongs_to_its_holder() -> None:
    channel = Topic(int, accumulate=True, key="log")
    start = channel.get()
    start.append(99)
    assert channel.get() == []
    channel.update([1])
    held = channel.get()
    channel.update([2])
    assert held == [1]


def test_a_written_list_stays_with_its_writer() -> None:
    written = [1, 2]
    channel = Topic(int, key="log")
    channel.update([written])
    written.append(3)
    assert channel.get() == [1, 2]


def test_an_overwrite_takes_the_place_of_everything() -> None:
    channel: Topic[Any] = Topic(int, accumulate=True, key="log")
    channel.update([1, 2])
    channel.update([3, Overwrite([4, 5]), 6])
    assert channel.get() == [4, 5]
    with pytest.raises(InvalidUpdateError, match="one Overwrite"):
        channel.update([Overwrite([7]), Overwrite([])])


def test_types_of_value_and_update() -> None:
    channel = Topic(int)
    assert channel.ValueType == Sequence[int]
    assert channel.UpdateType == int | list[int]


def test_accumulation_is_part_of_the_spec() -> None:
    assert not Topic(int).is_same_spec(Topic(int, accumulate=True))
