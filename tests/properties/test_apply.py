"""Applying the writes of a superstep: all of them or none, on all kinds of channels."""

import copy
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.channels.base import BaseChannel
from aiograph.channels.binop import BinaryOperatorAggregate
from aiograph.channels.delta import DeltaChannel
from aiograph.channels.ephemeral_value import EphemeralValue
from aiograph.channels.last_value import LastValue
from aiograph.channels.named_barrier_value import NamedBarrierValue
from aiograph.channels.topic import Topic
from aiograph.constants import PULL
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._plan import Plan, Write
from aiograph.pregel._state import RunState, fresh_state
from aiograph.pregel._tasks import Task

POISON = "poison"
NODES = ("a", "b", "c")


def joined(old: str, new: str) -> str:
    if new == POISON:
        raise ZeroDivisionError(POISON)
    return old + new


def collected(old: list[str], new: list[str]) -> list[str]:
    if POISON in new:
        raise ZeroDivisionError(POISON)
    return [*old, *new]


CHANNELS: dict[str, BaseChannel[Any, Any, Any]] = {
    "last": LastValue(str),
    "other": LastValue(str),
    "text": BinaryOperatorAggregate(str, joined),
    "delta": DeltaChannel(collected, list),
    "topic": Topic(str),
    "kept": Topic(str, accumulate=True),
    "brief": EphemeralValue(str),
    "barrier": NamedBarrierValue(str, {"x", "y"}),
}

values = st.sampled_from(["x", "y", POISON])
writes = st.lists(st.tuples(st.sampled_from(sorted(CHANNELS)), values), max_size=4)
supersteps = st.lists(st.tuples(writes, writes, writes), max_size=6)


def plan() -> Plan:
    """A graph whose nodes are triggered by channels that come and go, a barrier among them."""
    nodes = {
        "a": NodeBuilder().subscribe_to("last", "brief"),
        "b": NodeBuilder().subscribe_to("barrier", read=False),
        "c": NodeBuilder().subscribe_to("topic", "text"),
    }
    graph: Pregel[Any, Any, Any, Any] = Pregel(
        nodes=nodes, channels=CHANNELS, input_channels="last", output_channels="text"
    )
    return graph._plan


PLAN = plan()


def tasks(state: RunState, superstep: tuple[list[Write], ...]) -> list[Task]:
    made = []
    for name, written in zip(NODES, superstep, strict=True):
        node = PLAN.nodes[name]
        task = Task(node, (PULL, name), node.triggers, state)
        task.writes = written
        made.append(task)
    return made


def look(channel: BaseChannel[Any, Any, Any]) -> Any:
    return channel.checkpoint(), channel.get() if channel.is_available() else None


def view(state: RunState) -> Any:
    """All that there is to a state, detached from it."""
    channels = {
        name: (
            channel.checkpoint(),
            channel.is_available(),
            channel.get() if channel.is_available() else None,
        )
        for name, channel in state.channels.items()
    }
    rest = (state.values, state.versions, state.version, state.seen, state.updated, state.step)
    return copy.deepcopy((channels, *rest, state.fading, state.pending_finish))


def apply(state: RunState, superstep: tuple[list[Write], ...]) -> bool:
    """Says whether the superstep was taken."""
    try:
        apply_writes(PLAN, state, tasks(state, superstep))
    except ConflictingWrites:
        return False
    return True


@settings(max_examples=300)
@given(supersteps)
def test_a_superstep_that_is_refused_changes_nothing(steps: list[tuple[list[Write], ...]]) -> None:
    state = fresh_state(PLAN)
    for step in steps:
        before = view(state)
        if not apply(state, step):
            assert view(state) == before


@settings(max_examples=300)
@given(supersteps)
def test_it_is_as_if_refused_supersteps_had_never_been_tried(steps: list[tuple[list[Write], ...]]) -> None:
    state, calm = fresh_state(PLAN), fresh_state(PLAN)
    taken = [step for step in steps if apply(state, step)]
    assert all(apply(calm, step) for step in taken)
    assert view(state) == view(calm)


@settings(max_examples=200)
@given(supersteps)
def test_all_who_are_to_blame_are_named(steps: list[tuple[list[Write], ...]]) -> None:
    state = fresh_state(PLAN)
    for step in steps:
        made = tasks(state, step)
        try:
            apply_writes(PLAN, state, made)
        except ConflictingWrites as conflict:
            # without their writes, the superstep is taken
            for task in conflict.tasks:
                task.writes = []
            apply_writes(PLAN, state, made)


@settings(max_examples=200)
@given(supersteps)
def test_one_version_a_superstep_for_what_it_changed(steps: list[tuple[list[Write], ...]]) -> None:
    state = fresh_state(PLAN)
    for step in steps:
        before, version = dict(state.versions), state.version
        if apply(state, step):
            changed = {name for name in state.versions if state.versions[name] != before.get(name)}
            assert state.version == version + bool(changed)
            assert all(state.versions[name] == state.version for name in changed)
            assert state.updated is not None
            assert changed.issuperset(state.updated)
