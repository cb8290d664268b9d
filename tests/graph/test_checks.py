"""A channel that checks what it takes is in all else the channel that it was made of."""

import operator
from collections.abc import Sequence
from typing import Any

from aiograph.channels import (
    BinaryOperatorAggregate,
    EphemeralValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    UntrackedValue,
)
from aiograph.errors import InvalidUpdateError
from aiograph.graph._checks import CheckedChannel
from aiograph.testing.channels import Channel, ChannelContract


def below_thousand(value: Any) -> None:
    if isinstance(value, int) and value >= 1000:
        raise InvalidUpdateError(f"the key 'n' cannot be {value}")


class TestAReducerThatChecks(ChannelContract):
    def channel(self) -> Channel:
        return CheckedChannel(BinaryOperatorAggregate(int, operator.add, "n"), below_thousand)

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1, 2], [3]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[1000], [800, 200]]


class TestAFleetingValueThatChecks(ChannelContract):
    def channel(self) -> Channel:
        return CheckedChannel(EphemeralValue(int, key="n"), below_thousand)

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1], [2]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[1000], [1, 2]]


class TestAnUntrackedValueThatChecks(ChannelContract):
    def channel(self) -> Channel:
        return CheckedChannel(UntrackedValue(int, key="n"), below_thousand)

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1], [2]]


class TestABarrierThatChecks(ChannelContract):
    def channel(self) -> Channel:
        return CheckedChannel(NamedBarrierValue(str, {"a", "b"}, "n"), below_thousand)

    def batches(self) -> Sequence[Sequence[Any]]:
        return [["a"], ["b"]]


class TestAValueHeldBackThatChecks(ChannelContract):
    def channel(self) -> Channel:
        return CheckedChannel(LastValueAfterFinish(int, "n"), below_thousand)

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1], [2, 3]]


def test_it_looks_like_the_channel_that_it_was_made_of() -> None:
    channel = BinaryOperatorAggregate(int, operator.add, "n")
    checked = CheckedChannel(channel, below_thousand)
    assert repr(checked) == repr(channel)
    assert (checked.ValueType, checked.UpdateType) == (int, int)


def test_what_was_stored_is_taken_as_it_is() -> None:
    checked = CheckedChannel(BinaryOperatorAggregate(int, operator.add, "n"), below_thousand)
    assert checked.from_checkpoint(1200).get() == 1200
