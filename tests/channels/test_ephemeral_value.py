"""`EphemeralValue`."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.ephemeral_value import EphemeralValue
from aiograph.errors import ErrorCode, InvalidUpdateError
from aiograph.testing.channels import ChannelContract


class TestGuarded(ChannelContract):
    def channel(self) -> EphemeralValue[Any]:
        return EphemeralValue(object, key="__start__")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[{"a": 1}], [None]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[1, 1]]


class TestUnguarded(ChannelContract):
    def channel(self) -> EphemeralValue[Any]:
        return EphemeralValue(object, guard=False, key="branch:to:a")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[None], [None, None], [1, 2]]


def test_the_guard_says_how_to_do_without_it() -> None:
    channel = EphemeralValue(int, key="pulse")
    with pytest.raises(InvalidUpdateError, match=r"'pulse' .* got 2; with EphemeralValue\(.*guard=False"):
        channel.update([1, 2])
    with pytest.raises(InvalidUpdateError) as caught:
        channel.update([1, 2])
    assert caught.value.code is ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE


def test_without_guard_the_last_of_several_stays() -> None:
    channel = EphemeralValue(int, guard=False, key="pulse")
    channel.update([1, 2])
    assert channel.get() == 2


def test_the_guard_is_part_of_the_spec() -> None:
    assert not EphemeralValue(int).is_same_spec(EphemeralValue(int, guard=False))
