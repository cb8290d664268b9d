"""What code of a task has added to the state while it ran, beside what its node returns. Pure."""

from collections.abc import Iterable
from typing import Any

from aiograph.constants import ROOT
from aiograph.pregel._plan import Plan, PlannedNode, Write


def pushed_writes(plan: Plan, node: PlannedNode, pushed: Iterable[tuple[str, Any]]) -> list[Write]:
    """The writes that stand for what was added, in order, all of one key in one list.

    A state of one value takes it whatever its key is called. A workflow that is a function has no state.
    """
    by_key: dict[str, list[Any]] = {}
    for key, value in pushed:
        by_key.setdefault(key, []).append(value)
    if plan.command is None:  # channels alone
        return [(key, values) for key, values in by_key.items() if key in plan.channels]
    is_root = ROOT in plan.channels
    return [
        write for key, values in by_key.items() for write in node.write(values if is_root else {key: values})
    ]
