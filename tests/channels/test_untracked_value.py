"""`UntrackedValue`."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.base import MISSING
from aiograph.channels.untracked_value import UntrackedValue
from aiograph.errors import InvalidUpdateError
from aiograph.testing.channels import ChannelContract


class TestUntrackedValue(ChannelContract):
    def channel(self) -> UntrackedValue[Any]:
        return UntrackedValue(object, key="connection")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1], [2]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[1, 2]]


def test_it_keeps_its_value_and_shows_none_of_it_to_savers() -> None:
    channel = UntrackedValue(object, key="connection")
    channel.update([object()])
    channel.update([])
    assert channel.is_available()
    assert not channel.is_empty()
    assert not channel.persistent
    assert channel.checkpoint() is MISSING


def test_what_another_channel_stored_is_not_taken_up() -> None:
    assert not UntrackedValue(int, key="connection").from_checkpoint(1).is_available()


def test_the_guard_can_be_taken_away() -> None:
    channel = UntrackedValue(int, guard=False, key="connection")
    channel.update([1, 2])
    assert channel.get() == 2
    with pytest.raises(InvalidUpdateError, match=r"UntrackedValue\(\.\.\., guard=False\)"):
        UntrackedValue(int, key="connection").update([1, 2])
