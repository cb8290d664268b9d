"""`SetUnion`."""

from collections.abc import Sequence
from typing import Any

import pytest

from aiograph.channels.set_union import SetUnion
from aiograph.errors import InvalidUpdateError
from aiograph.testing.channels import ChannelContract
from aiograph.types import Overwrite


class TestSetUnion(ChannelContract):
    def channel(self) -> SetUnion[Any]:
        return SetUnion(key="seen")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [["ab"], [{"c"}, ["d", "e"], ("f", None)], [frozenset({7}), 8], [Overwrite(["x"])], ["y"]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[1, {"a": 1}], [[[1]]], [Overwrite([[1]])], [Overwrite([1]), Overwrite([1])]]


def test_a_string_is_one_element() -> None:
    channel: SetUnion[str] = SetUnion(set[str], "seen")
    channel.update(["ab", ["cd"]])
    assert channel.get() == {"ab", "cd"}


def test_what_brings_nothing_new_is_no_change() -> None:
    channel: SetUnion[int] = SetUnion(key="seen")
    assert channel.get() == set()
    assert channel.update([1, [2]]) is True
    assert channel.update([[1, 2], 2]) is False
    assert channel.update([[]]) is False
    assert channel.update([[1, 3]]) is True


def test_what_cannot_be_an_element_is_named() -> None:
    writes: Any = [{"a": 1}]
    with pytest.raises(
        InvalidUpdateError, match=r"'seen' collects hashable elements: .*dict.* in \{'a': 1\}"
    ):
        SetUnion(key="seen").update(writes)
