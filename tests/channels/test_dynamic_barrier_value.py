"""`DynamicBarrierValue`."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.base import MISSING
from aiograph.channels.dynamic_barrier_value import DynamicBarrierValue, WaitForNames
from aiograph.errors import EmptyChannelError, InvalidUpdateError
from aiograph.testing.channels import ChannelContract


def wait_for(*names: str) -> WaitForNames:
    return WaitForNames(frozenset(names))


@pytest.fixture
def barrier() -> DynamicBarrierValue:
    return DynamicBarrierValue(str, "then:source")


class TestDynamicBarrierValue(ChannelContract):
    def channel(self) -> DynamicBarrierValue:
        return DynamicBarrierValue(str, "then:source")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[wait_for("a", "b")], ["a", "stranger"], ["b"], [wait_for("c"), "c"]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[wait_for("x"), 5], [None]]


def test_it_opens_when_all_announced_names_have_come(barrier: DynamicBarrierValue) -> None:
    with pytest.raises(EmptyChannelError, match="not been told which names"):
        barrier.get()
    barrier.update([wait_for("a", "b")])
    barrier.update(["a"])
    with pytest.raises(EmptyChannelError, match=r"'then:source' .* still waits for \['b'\]"):
        barrier.get()
    assert barrier.consume() is False
    barrier.update(["b"])
    barrier.get()  # raises unless it is open
    assert barrier.consume() is True
    assert barrier.is_empty()


def test_names_that_nobody_waits_for_are_ignored(barrier: DynamicBarrierValue) -> None:
    assert barrier.update(["a", "b"]) is False
    barrier.update([wait_for("a")])
    assert not barrier.is_available()
    assert barrier.update(["b"]) is False


def test_within_a_superstep_announcements_come_first(barrier: DynamicBarrierValue) -> None:
    barrier.update(["a", wait_for("a")])
    assert barrier.is_available()


def test_an_announcement_on_top_of_another_adds_to_it(barrier: DynamicBarrierValue) -> None:
    barrier.update([wait_for("a", "b")])
    barrier.update(["a", "b"])
    barrier.update([wait_for("b", "c")])
    barrier.update(["c"])
    assert not barrier.is_available()  # b was announced again and has to come again
    barrier.update(["b"])
    assert barrier.is_available()


def test_the_checkpoint_is_plain_data_in_a_stable_order(barrier: DynamicBarrierValue) -> None:
    assert barrier.checkpoint() is MISSING
    barrier.update([wait_for("c", "a", "b")])
    barrier.update(["b", "a"])
    assert barrier.checkpoint() == (["a", "b", "c"], ["a", "b"])
    stored: Any = [["a", "b", "c"], ["a", "b"]]  # what becomes of tuples in JSON
    assert barrier.from_checkpoint(stored).checkpoint() == barrier.checkpoint()


def test_what_is_no_name_is_refused(barrier: DynamicBarrierValue) -> None:
    writes: Any = [wait_for("a"), 5]
    with pytest.raises(InvalidUpdateError, match="takes names and WaitForNames and got 5"):
        barrier.update(writes)
    assert barrier.is_empty()
