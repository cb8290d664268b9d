"""Where a run starts: with new input, or where the thread stands. Pure."""

from typing import Any

from aiograph.constants import PULL
from aiograph.errors import EmptyInputError, InvalidUpdateError
from aiograph.pregel._apply import ConflictingWrites, apply_writes
from aiograph.pregel._plan import Plan, PlannedNode, Write
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import Task, due_tasks
from aiograph.types import Command

_CALLER = PlannedNode(name="__input__", triggers=(), read=lambda *_: None, call=None, write=lambda _: [])
"""Stands for the caller as the author of the input."""


def take_input(plan: Plan, state: RunState, input: Any) -> bool:
    """Prepares the state for a run; says whether it has taken in new input.

    New input on a thread with tasks still to do drops those tasks.

    Raises:
        EmptyInputError: There is neither input nor anything to resume.
        InvalidUpdateError: The input does not fit the graph's input channels.
    """
    if input is None or isinstance(input, Command):
        if not state.versions:
            raise EmptyInputError(
                f"graph {plan.name!r} got {input!r:.80} as input, which resumes a thread, "
                "but there is no checkpoint to resume from: pass an input"
            )
        _check_not_cleared(plan, state)
        return False
    caller = Task(_CALLER, (PULL, _CALLER.name), (), state)
    caller.writes = _input_writes(plan, input)
    dropped = due_tasks(plan, state, 0)
    for task in dropped:
        task.writes = []
    try:
        apply_writes(plan, state, [*dropped, caller])
    except ConflictingWrites as conflict:
        raise conflict.error from conflict.error.__cause__
    state.step += 1
    return True


def _check_not_cleared(plan: Plan, state: RunState) -> None:
    """A thread whose memory was cleared must not pass for one whose run has finished."""
    if not state.seen and state.updated == frozenset():
        raise EmptyInputError(
            f"graph {plan.name!r} got None as input, which resumes a thread, "
            "but its memory was cleared and nothing has run since: pass an input"
        )


def _input_writes(plan: Plan, input: Any) -> list[Write]:
    if isinstance(plan.input, str):
        return [(plan.input, input)]
    if not isinstance(input, dict):
        raise InvalidUpdateError(
            f"graph {plan.name!r} takes a dict with the keys {sorted(plan.input)}, not {type(input).__name__}"
        )
    writes = [(name, input[name]) for name in plan.input if name in input]
    if not writes:
        raise EmptyInputError(
            f"the input has none of the keys that graph {plan.name!r} takes, {sorted(plan.input)}; "
            f"it has {sorted(map(str, input))}"
        )
    return writes
