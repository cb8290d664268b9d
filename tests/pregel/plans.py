"""Plans and states for tests of the pure stages, without a run around them."""

from typing import Any

from aiograph.channels import BaseChannel, EphemeralValue, LastValue, Topic
from aiograph.checkpoint.base import ChannelVersions, Checkpoint, Facts, Superstep
from aiograph.constants import PULL, TASKS
from aiograph.pregel._plan import Plan, PlannedNode, Write
from aiograph.pregel._snapshot import stored_values
from aiograph.pregel._state import RunState, fresh_state
from aiograph.pregel._tasks import Task
from aiograph.types import Send


def node(name: str, *triggers: str, **fields: Any) -> PlannedNode:
    """A node that reads all values and writes the dict that it returns."""
    fields = {
        "read": lambda values, remaining: dict(values),
        "call": None,
        "write": lambda d: [*d.items()],
        **fields,
    }
    return PlannedNode(name=name, triggers=triggers, **fields)


def plan_of(*nodes: PlannedNode, input: Any = "in", output: Any = "out", **channels: Any) -> Plan:
    """A plan of these nodes over `in`, `out`, the channels given, and one for each other trigger."""
    keys: dict[str, BaseChannel[Any, Any, Any]] = {
        "in": EphemeralValue(Any),
        "out": LastValue(Any),
        **channels,
    }
    for trigger in (trigger for found in nodes for trigger in found.triggers):
        keys.setdefault(trigger, EphemeralValue(Any, guard=False))
    keys[TASKS] = Topic(Send)
    named = {key: channel.named(key) for key, channel in keys.items()}
    return Plan(name="plan", nodes={n.name: n for n in nodes}, channels=named, input=input, output=output)


def at_start(plan: Plan, namespace: str = "") -> RunState:
    """A fresh state, about to run its first superstep."""
    state = fresh_state(plan, namespace)
    state.step = 0
    return state


def done(plan: Plan, state: RunState, name: str, *writes: Write) -> Task:
    """A task of a node that has finished and written this."""
    found = plan.nodes.get(name) or node(name)
    task = Task(found, (PULL, name), found.triggers, state)
    task.writes = list(writes)
    return task


def checkpoint_of(plan: Plan, state: RunState) -> Checkpoint:
    """The checkpoint that a state would be stored as."""
    versions: ChannelVersions = {**state.versions}
    place = "t", state.namespace, None, str(state.checkpoint_id), 0
    whole = stored_values(plan, state), versions, state.seen, sorted(state.updated or ())
    return Superstep(*place, *whole, versions, None, Facts({})).checkpoint()
