"""`DictMerge`."""

from collections.abc import Sequence
from types import MappingProxyType
from typing import Any

import pytest

from aiograph.channels.dict_merge import DictMerge
from aiograph.errors import InvalidUpdateError
from aiograph.testing.channels import ChannelContract
from aiograph.types import Overwrite


class TestDictMerge(ChannelContract):
    def channel(self) -> DictMerge[str, Any]:
        return DictMerge(key="facts")

    def batches(self) -> Sequence[Sequence[Any]]:
        return [[{"a": 1}], [{"a": 2, "b": []}, {"b": None}], [Overwrite({"c": 3})], [{"d": 4}]]

    def refused(self) -> Sequence[Sequence[Any]]:
        return [[{"a": 1}, 5], [None], [["a", 1]], [Overwrite([])], [Overwrite({}), Overwrite({})]]


def test_later_writes_of_a_key_win() -> None:
    channel: DictMerge[str, Any] = DictMerge(dict[str, int], "facts")
    assert channel.get() == {}
    channel.update([{"a": 1, "b": 1}, MappingProxyType({"b": 2})])
    channel.update([{"c": None}, {"a": None}])
    assert channel.get() == {"a": None, "b": 2, "c": None}
    assert list(channel.get()) == ["a", "b", "c"]


def test_an_overwrite_drops_the_keys_that_were_there() -> None:
    channel: DictMerge[str, Any] = DictMerge(key="facts")
    channel.update([{"a": 1}])
    replacement = {"b": 2}
    writes: Any = [{"c": 3}, Overwrite(replacement)]
    channel.update(writes)
    replacement["d"] = 4
    assert channel.get() == {"b": 2}


def test_what_is_no_mapping_is_named() -> None:
    writes: Any = [[1, 2]]
    with pytest.raises(InvalidUpdateError, match=r"'facts' merges mappings and got list: \[1, 2\]"):
        DictMerge(key="facts").update(writes)
