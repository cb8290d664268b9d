"""The base of all channels: `MISSING`, flags, defaults, and one small channel made on it."""

import copy
import pickle
from collections.abc import Sequence
from typing import Any, Self

import pytest

from aiograph import channels
from aiograph.channels import BaseChannel, LastValue, LastValueAfterFinish, NamedBarrierValue, Topic
from aiograph.channels.base import MISSING, Missing
from aiograph.errors import InvalidUpdateError
from aiograph.testing.channels import ChannelContract


class Maximum(BaseChannel[int, int, int]):
    """The least that a channel has to define."""

    __slots__ = ("peak",)

    def __init__(self, typ: Any = int, key: str = "") -> None:
        super().__init__(typ, key)
        self.peak: int | Missing = MISSING

    def checkpoint(self) -> int | Missing:
        return self.peak

    def from_checkpoint(self, checkpoint: int | Missing) -> Self:
        new = self.copy()
        new.peak = checkpoint
        return new

    def get(self) -> int:
        if self.peak is MISSING:
            raise self._empty()
        return self.peak

    def update(self, values: Sequence[int]) -> bool:
        if not all(isinstance(value, int) for value in values):
            raise InvalidUpdateError(f"channel {self.key!r} takes numbers")
        known = () if self.peak is MISSING else (self.peak,)
        before, self.peak = self.peak, max((*known, *values), default=MISSING)
        return self.peak != before


class TestMaximum(ChannelContract):
    def channel(self) -> Maximum:
        return Maximum(key="peak")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[3], [1, 7], [9]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [["nine"], [10, "nine"]]


def test_missing_is_one_object_for_ever() -> None:
    assert copy.copy(MISSING) is MISSING
    assert copy.deepcopy([MISSING])[0] is MISSING
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING


def test_missing_shows_as_missing_and_counts_as_false() -> None:
    assert repr(MISSING) == "MISSING"
    assert not MISSING


def test_flags_follow_from_what_a_class_defines() -> None:
    class Consumed(Maximum):
        __slots__ = ()

        def consume(self) -> bool:
            return False

    class Inherited(Consumed):
        __slots__ = ()

    class Denied(Maximum):
        __slots__ = ()

        consumable = False

        def consume(self) -> bool:
            return False

    assert (Maximum.consumable, Maximum.awaits_finish) == (False, False)
    assert (Consumed.consumable, Inherited.consumable, Denied.consumable) == (True, True, False)
    assert (NamedBarrierValue.consumable, NamedBarrierValue.awaits_finish) == (True, False)
    assert (LastValueAfterFinish.consumable, LastValueAfterFinish.awaits_finish) == (True, True)


class Halved:
    __slots__ = ()

    def update(self, values: Sequence[int]) -> bool:
        return super().update([each // 2 for each in values])  # type: ignore[misc,no-any-return]  # a mixin


def test_a_class_that_takes_or_shows_writes_in_its_own_way_does_not_just_replace_the_value() -> None:
    class Mixed(Halved, LastValue[int]):
        __slots__ = ()

    class Doubled(LastValue[int]):
        __slots__ = ()

        def get(self) -> int:
            return 2 * super().get()

    class Hidden(LastValue[int]):
        __slots__ = ()

        def is_available(self) -> bool:
            return False

    class Shy(Hidden):
        __slots__ = ()

    class Plain(LastValue[int]):
        __slots__ = ()

    class Sure(LastValue[int]):
        __slots__ = ()

        replaces = True

        def update(self, values: Sequence[int]) -> bool:
            return super().update(values[-1:])

    kinds = (LastValue, Plain, Sure, Mixed, Doubled, Hidden, Shy, Maximum)
    assert [kind.replaces for kind in kinds] == [True, True, True, False, False, False, False, False]


def test_a_channel_says_what_it_is() -> None:
    assert repr(LastValue(int, "total")) == "LastValue(int, key='total')"
    assert repr(Topic(list[int])) == "Topic(list[int], key='')"
    assert LastValue(int).ValueType is LastValue(int).UpdateType is int


def test_specs_do_not_depend_on_the_key() -> None:
    assert LastValue(int, "a").is_same_spec(LastValue(int, "b"))
    assert not LastValue(int, "a").is_same_spec(LastValue(str, "a"))


@pytest.mark.parametrize("name", [name for name in channels.__all__ if name != "MISSING"])
def test_channels_have_no_dict(name: str) -> None:
    kind = getattr(channels, name)
    assert kind.__dictoffset__ == 0, f"{name} lacks __slots__ somewhere among its bases"


def test_the_type_argument_at_construction_is_harmless() -> None:
    assert LastValue[int](int, "total").update([1])
