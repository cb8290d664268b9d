"""`NamedBarrierValue` and its deferred form."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.base import MISSING
from aiograph.channels.named_barrier_value import NamedBarrierValue, NamedBarrierValueAfterFinish
from aiograph.errors import EmptyChannelError, InvalidUpdateError
from aiograph.testing.channels import ChannelContract


class TestNamedBarrierValue(ChannelContract):
    def channel(self) -> NamedBarrierValue[str]:
        return NamedBarrierValue(str, {"a", "b", "c"}, "join:a+b+c:d")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [["b"], ["a", "a", "c"]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [["x"], ["a", "x"], [["a"]]]


class TestNamedBarrierValueAfterFinish(ChannelContract):
    def channel(self) -> NamedBarrierValueAfterFinish[str]:
        return NamedBarrierValueAfterFinish(str, {"a", "b"}, "join:a+b:d")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [["b"], ["a"]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [["x"], ["a", "x"], [["a"]]]


def test_it_opens_when_every_name_has_come_and_starts_over_when_consumed() -> None:
    channel = NamedBarrierValue(str, {"a", "b"}, "join:a+b:c")
    channel.update(["a"])
    assert not channel.is_empty()
    with pytest.raises(EmptyChannelError, match="'join:a\\+b:c' holds no value: it still waits for 'b'"):
        channel.get()
    assert channel.consume() is False
    assert channel.update(["b"]) is True
    channel.get()  # raises unless it is open
    assert channel.update(["b"]) is False
    assert channel.consume() is True
    assert channel.is_empty()
    with pytest.raises(EmptyChannelError, match="waits for 'a', 'b'"):
        channel.get()


def test_an_unknown_name_is_refused_and_the_known_ones_are_listed() -> None:
    channel = NamedBarrierValue(str, {"a", "b"}, "join:a+b:c")
    with pytest.raises(InvalidUpdateError, match="waits for 'a', 'b' and got 'x'"):
        channel.update(["a", "x"])
    assert channel.checkpoint() is MISSING


def test_the_checkpoint_does_not_depend_on_the_order_of_arrival() -> None:
    first = NamedBarrierValue(int, range(20), "join")
    second = NamedBarrierValue(int, range(20), "join")
    first.update([3, 1, 17])
    second.update([17, 3])
    second.update([1])
    assert first.checkpoint() == second.checkpoint() == [1, 17, 3]


def test_stored_names_that_the_graph_does_not_know_any_more_are_forgotten() -> None:
    stored = ["a", "gone"]
    assert NamedBarrierValue(str, {"a", "b"}).from_checkpoint(stored).checkpoint() == ["a"]
    assert NamedBarrierValue(str, {"a"}).from_checkpoint(stored).is_available()
    grown = NamedBarrierValueAfterFinish(str, {"a", "b"}).from_checkpoint((stored, True))
    assert not grown.is_available()


def test_a_deferred_barrier_opens_at_the_finish() -> None:
    channel = NamedBarrierValueAfterFinish(str, {"a", "b"}, "join:a+b:c")
    assert channel.finish() is False
    channel.update(["a", "b"])
    with pytest.raises(EmptyChannelError, match="every name has come; it is held back"):
        channel.get()
    assert channel.consume() is False
    assert channel.finish() is True
    channel.get()
    assert channel.checkpoint() == (["a", "b"], True)
    assert channel.consume() is True
    assert channel.is_empty()


def test_names_are_part_of_the_spec() -> None:
    barrier = NamedBarrierValue(str, ["a", "b"])
    assert barrier.is_same_spec(NamedBarrierValue(str, {"b", "a"}))
    assert not barrier.is_same_spec(NamedBarrierValue(str, {"a"}))


@pytest.mark.parametrize("kind", [NamedBarrierValue, NamedBarrierValueAfterFinish])
def test_a_barrier_without_names_would_always_be_open(kind: Any) -> None:
    with pytest.raises(ValueError, match="at least one name"):
        kind(str, set())
