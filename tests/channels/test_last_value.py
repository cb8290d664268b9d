"""`LastValue` and its deferred form."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.last_value import LastValue, LastValueAfterFinish
from aiograph.errors import EmptyChannelError, ErrorCode, InvalidUpdateError
from aiograph.testing.channels import ChannelContract


class TestLastValue(ChannelContract):
    def channel(self) -> LastValue[int]:
        return LastValue(int, "total")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1], [2], [2], [None]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[1, 2], [1, 1]]


class TestLastValueAfterFinish(ChannelContract):
    def channel(self) -> LastValueAfterFinish[Any]:
        return LastValueAfterFinish(object, "branch:to:last")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[None], [None, 2], [3]]


def test_two_writes_are_refused_with_count_and_way_out() -> None:
    channel = LastValue(int, "total")
    with pytest.raises(InvalidUpdateError, match=r"'total' takes one value .* got 3; .* Annotated") as caught:
        channel.update([1, 2, 3])
    assert caught.value.code is ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE


def test_the_last_value_stays_until_the_next() -> None:
    channel = LastValue(int, "total")
    channel.update([1])
    channel.update([])
    assert channel.get() == 1
    channel.update([2])
    assert channel.get() == 2


def test_none_is_a_value() -> None:
    channel = LastValue(object, "answer")
    channel.update([None])
    assert channel.is_available()
    assert channel.get() is None


def test_a_deferred_value_shows_after_the_finish_and_goes_when_consumed() -> None:
    channel = LastValueAfterFinish(str, "late")
    channel.update(["a", "b"])
    with pytest.raises(EmptyChannelError, match=r"'late' .* held back until nothing else would run"):
        channel.get()
    assert channel.consume() is False
    assert channel.finish() is True
    assert channel.get() == "b"
    assert channel.consume() is True
    assert not channel.is_available()
    assert channel.is_empty()


def test_a_new_write_holds_a_deferred_value_back_again() -> None:
    channel = LastValueAfterFinish(str, "late")
    channel.update(["a"])
    channel.finish()
    channel.update(["b"])
    assert not channel.is_available()
    assert not channel.is_empty()


def test_a_deferred_value_is_stored_with_its_state_even_as_a_list() -> None:
    channel = LastValueAfterFinish(str, "late")
    channel.update(["a"])
    assert channel.checkpoint() == ("a", False)
    stored: Any = ["a", True]  # what becomes of a tuple in JSON
    assert channel.from_checkpoint(stored).get() == "a"
