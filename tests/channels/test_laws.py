"""Laws that hold for any sequence of supersteps."""

import copy
import functools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.channels import (
    AnyValue,
    BaseChannel,
    BinaryOperatorAggregate,
    DeltaChannel,
    DictMerge,
    DynamicBarrierValue,
    EphemeralValue,
    LastValueAfterFinish,
    NamedBarrierValue,
    NamedBarrierValueAfterFinish,
    SetUnion,
    Topic,
    WaitForNames,
)
from aiograph.channels.base import MISSING
from aiograph.errors import InvalidUpdateError
from aiograph.types import Overwrite

Channel = BaseChannel[Any, Any, Any]

NUMBERS = st.integers(-9, 9)
NAMES = st.sampled_from("abc")
LISTS = st.lists(NUMBERS, max_size=3)
WAITS = st.frozensets(NAMES, min_size=1).map(WaitForNames)


def writes(one: st.SearchStrategy[Any], also: Any = None) -> st.SearchStrategy[Any]:
    """A write, now and then an overwrite."""
    return st.one_of(one, one, one, (one if also is None else also).map(Overwrite))


def join(state: list[int], batch: list[list[int]]) -> list[int]:
    return functools.reduce(operator.add, batch, state)


KINDS: list[tuple[Callable[[], Channel], st.SearchStrategy[Any]]] = [
    (lambda: AnyValue(int, "k"), NUMBERS),
    (lambda: EphemeralValue(int, guard=False, key="k"), NUMBERS),
    (lambda: LastValueAfterFinish(int, "k"), NUMBERS),
    (lambda: Topic(int, key="k"), writes(NUMBERS | LISTS, LISTS)),
    (lambda: Topic(int, accumulate=True, key="k"), writes(NUMBERS | LISTS, LISTS)),
    (lambda: BinaryOperatorAggregate(list, operator.add, "k"), writes(LISTS)),
    (lambda: BinaryOperatorAggregate(Any, operator.sub, "k"), writes(NUMBERS)),
    (lambda: DeltaChannel(join, key="k"), writes(LISTS)),
    (lambda: DictMerge(key="k"), writes(st.dictionaries(NAMES, NUMBERS | st.none()))),
    (lambda: SetUnion(key="k"), writes(NUMBERS | LISTS | st.sets(NUMBERS))),
    (lambda: NamedBarrierValue(str, "abc", "k"), NAMES),
    (lambda: NamedBarrierValueAfterFinish(str, "abc", "k"), NAMES),
    (lambda: DynamicBarrierValue(str, "k"), NAMES | WAITS),
]
FINISH, CONSUME = "finish", "consume"


def steps(write: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """What happens to a channel: supersteps' writes, and notices."""
    return st.lists(st.one_of(st.lists(write, max_size=4), st.sampled_from([FINISH, CONSUME])), max_size=6)


def take(channel: Channel, step: Any) -> bool:
    """One step; a batch that the channel refuses (two overwrites) changes nothing."""
    if step == FINISH:
        return channel.finish()
    if step == CONSUME:
        return channel.consume()
    try:
        return channel.update(step)
    except InvalidUpdateError:
        return False


def view(channel: Channel) -> Any:
    value = channel.get() if channel.is_available() else MISSING
    return copy.deepcopy((value, channel.checkpoint()))


def lived(make: Callable[[], Channel], past: Sequence[Any]) -> Channel:
    channel = make()
    for step in past:
        take(channel, step)
    return channel


kinds = pytest.mark.parametrize(("make", "write"), KINDS, ids=[repr(make()) for make, _ in KINDS])


@kinds
@settings(max_examples=25)
@given(data=st.data())
def test_what_happens_to_a_copy_never_shows_in_the_original(
    make: Callable[[], Channel], write: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    channel = lived(make, data.draw(steps(write), label="past"))
    before, twin = view(channel), channel.copy()
    for step in data.draw(steps(write), label="future"):
        take(twin, step)
    assert view(channel) == before


@kinds
@settings(max_examples=25)
@given(data=st.data())
def test_a_restored_channel_lives_on_like_the_stored_one(
    make: Callable[[], Channel], write: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    channel = lived(make, data.draw(steps(write), label="past"))
    restored = make().from_checkpoint(copy.deepcopy(channel.checkpoint()))
    assert view(restored) == view(channel)
    for step in data.draw(steps(write), label="future"):
        assert take(restored, step) == take(channel, step)
        assert view(restored) == view(channel)


@kinds
@settings(max_examples=25)
@given(data=st.data())
def test_a_change_never_goes_unsaid(
    make: Callable[[], Channel], write: st.SearchStrategy[Any], data: st.DataObject
) -> None:
    channel = make()
    for step in data.draw(steps(write)):
        before = view(channel)
        assert take(channel, step) or view(channel) == before


@given(batches=st.lists(st.lists(st.text("ab", max_size=2))))
def test_a_fold_goes_in_order_wherever_supersteps_divide_it(batches: list[list[str]]) -> None:
    channel = BinaryOperatorAggregate(str, lambda left, right: f"({left}{right})", "k")
    for batch in batches:
        channel.update(batch)
    flat = [write for batch in batches for write in batch]
    assert channel.get() == functools.reduce(lambda left, right: f"({left}{right})", flat, "")


@given(batch=st.lists(LISTS), replacement=LISTS, position=st.integers(0, 9))
def test_an_overwrite_wins_wherever_it_stands(
    batch: list[list[int]], replacement: list[int], position: int
) -> None:
    channel = BinaryOperatorAggregate(list, operator.add, "k")
    mixed: list[Any] = [*batch[:position], Overwrite(replacement), *batch[position:]]
    channel.update(mixed)
    assert channel.get() == replacement


@given(batches=st.lists(st.lists(NUMBERS | LISTS)))
def test_an_accumulated_topic_holds_everything_in_order(batches: list[list[Any]]) -> None:
    channel = Topic(int, accumulate=True, key="k")
    for batch in batches:
        channel.update(batch)
    elements = [e for batch in batches for w in batch for e in (w if isinstance(w, list) else [w])]
    assert channel.get() == elements


@given(batches=st.lists(st.lists(st.sets(NUMBERS))), order=st.randoms(use_true_random=False))
def test_a_union_does_not_depend_on_order(batches: list[list[set[int]]], order: Any) -> None:
    channels = [SetUnion[int](key="k"), SetUnion[int](key="k")]
    shuffled = [order.sample(batch, len(batch)) for batch in order.sample(batches, len(batches))]
    for channel, order_of in zip(channels, (batches, shuffled), strict=True):
        for batch in order_of:
            channel.update(batch)
    assert channels[0].get() == channels[1].get()
