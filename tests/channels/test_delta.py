"""`DeltaChannel`."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.delta import DeltaChannel
from aiograph.testing.channels import ChannelContract
from aiograph.types import Overwrite


def extend(state: list[int], writes: list[list[int]]) -> list[int]:
    return [*state, *(item for write in writes for item in write)]


class TestDeltaChannel(ChannelContract):
    def channel(self) -> DeltaChannel[list[int], list[int]]:
        return DeltaChannel(extend, list, key="messages")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[[1]], [[2], [3]], [[4], Overwrite([9])], [[10]]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[Overwrite([]), Overwrite([])]]


class TestTypeFromAnnotation(ChannelContract):
    def channel(self) -> DeltaChannel[list[int], list[int]]:
        return DeltaChannel(extend, key="messages")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[[1]], [[2], [3]]]


def test_the_reducer_gets_the_writes_of_a_superstep_at_once() -> None:
    calls: list[tuple[Any, list[Any]]] = []

    def record(state: list[Any], writes: list[Any]) -> list[Any]:
        calls.append((state, writes))
        return state + writes

    channel = DeltaChannel(record, key="messages")
    channel.update((1, 2))
    channel.update([3])
    assert calls == [([], [1, 2]), ([1, 2], [3])]


def test_a_type_that_cannot_be_made_from_nothing_gives_none_to_the_first_call() -> None:
    states: list[Any] = []

    def last(state: Any, writes: list[int]) -> int:
        states.append(state)
        return writes[-1]

    channel = DeltaChannel(last, int | None, key="latest")
    assert not channel.is_available()
    channel.update([1, 2])
    channel.update([3])
    assert states == [None, 2]


def test_it_takes_its_type_from_the_annotation() -> None:
    prototype: DeltaChannel[Any, Any] = DeltaChannel(lambda state, writes: {**state, **writes[-1]})
    channel = prototype.named("facts", dict[str, int])
    assert (channel.get(), prototype.get()) == ({}, [])
    assert (channel.typ, prototype.typ) == (dict[str, int], None)
    assert channel.named("others", list).typ == dict[str, int]


def test_what_the_reducer_raises_is_raised_as_it_is() -> None:
    channel = DeltaChannel(extend, key="messages")
    channel.update([[1]])
    writes: Any = [[2], 3]
    with pytest.raises(TypeError, match="not iterable"):
        channel.update(writes)
    assert channel.get() == [1]


def test_the_checkpoint_is_the_value_whatever_the_snapshot_frequency() -> None:
    channel = DeltaChannel(extend, snapshot_frequency=1000, key="messages")
    channel.update([[1]])
    assert channel.checkpoint() == [1]
    assert channel.is_same_spec(DeltaChannel(extend, snapshot_frequency=1))
