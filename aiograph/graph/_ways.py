"""Which channels make a node run, and which it writes when it has run: edges, joins, branches. Pure.

All are found in one go, so that the time to compile a graph grows with its nodes, and not with their square.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aiograph.constants import BRANCH_PREFIX, END, JOIN_PREFIX
from aiograph.graph._spec import BranchSpec, GraphSpec
from aiograph.pregel._plan import Write


class Ways(NamedTuple):
    """What leads to nodes and away from them; a name that is missing has none."""

    triggers: Mapping[str, Sequence[str]]
    """Node → the channels that make it run."""
    after: Mapping[str, Sequence[Write]]
    """Node → what every run of it writes."""
    branches: Mapping[str, Sequence[BranchSpec]]
    """Node → its conditional edges."""


def ways_of(spec: GraphSpec) -> Ways:
    """The ways of a graph that has been found valid."""
    triggers = {name: [BRANCH_PREFIX + name] for name in spec.nodes}
    after: defaultdict[str, list[Write]] = defaultdict(list)
    branches: defaultdict[str, list[BranchSpec]] = defaultdict(list)
    for start, end in sorted(spec.edges):
        if end != END:
            after[start].append((BRANCH_PREFIX + end, None))
    for starts, end in sorted(spec.joins):
        if end != END:
            _wait(triggers, after, join_channel(starts, end), starts, end)
    for branch in spec.branches.values():
        branches[branch.source].append(branch)
        if branch.then not in (None, END):
            chosen = spec.nodes if branch.destinations is None else spec.nodes.keys() & branch.destinations
            _wait(triggers, after, then_channel(branch), chosen, branch.then)
    return Ways(triggers, after, branches)


def _wait(
    triggers: Mapping[str, list[str]],
    after: Mapping[str, list[Write]],
    channel: str,
    starts: Iterable[str],
    end: str,
) -> None:
    """Has `end` run once the channel has the names that it waits for."""
    triggers[end].append(channel)
    for start in dict.fromkeys(starts):
        after[start].append((channel, start))


def join_channel(starts: Sequence[str], end: str) -> str:
    """The channel that waits for all of `starts`, to trigger `end`."""
    return f"{JOIN_PREFIX}{'+'.join(starts)}:{end}"


def then_channel(branch: BranchSpec) -> str:
    """The channel that waits for what a branch has chosen, to trigger its `then`."""
    return f"branch:{branch.source}:{branch.name}:then"
