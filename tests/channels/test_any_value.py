"""`AnyValue`."""

from collections.abc import Sequence
from typing import Any

from aiograph.channels.any_value import AnyValue
from aiograph.testing.channels import ChannelContract


class TestAnyValue(ChannelContract):
    def channel(self) -> AnyValue[int]:
        return AnyValue(int, "verdict")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[1, 1], [2], [None]]


def test_of_values_that_differ_the_last_stays() -> None:
    channel = AnyValue(int, "verdict")
    channel.update([1, 2, 3])
    assert channel.get() == 3


def test_values_are_not_compared() -> None:
    class Incomparable:
        def __eq__(self, other: object) -> bool:
            raise AssertionError("was compared")

        __hash__ = None  # type: ignore[assignment]  # as Python sets it for classes with __eq__

    channel = AnyValue(Incomparable, "verdict")
    assert channel.update([Incomparable(), Incomparable()])
