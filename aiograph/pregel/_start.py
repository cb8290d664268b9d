"""Where a run starts: with new input, or where the thread stands. Pure."""

from typing import Any

from aiograph.errors import EmptyInputError, InvalidUpdateError
from aiograph.pregel._apply import ConflictingWrites, apply_input, apply_writes
from aiograph.pregel._command import by_caller, command_writes, goes_nowhere
from aiograph.pregel._plan import Plan, Write
from aiograph.pregel._state import RunState
from aiograph.pregel._tasks import due_tasks
from aiograph.types import Command


def take_input(plan: Plan, state: RunState, input: Any) -> bool:
    """Prepares the state for a run; says whether it has taken in new input.

    New input on a thread with tasks still to do drops those tasks. A command is new input where nothing has
    ever run; without a goto its update is the input, with one it starts there and not at the entry.

    Raises:
        EmptyInputError: There is neither input nor anything to resume.
        InvalidUpdateError: The input does not fit the graph's input channels.
    """
    if input is None or isinstance(input, Command):
        if not _is_new(state):
            return False
        _require_start(plan, state, input)
    dropped = due_tasks(plan, state, 0)
    for task in dropped:
        task.writes = []
    try:
        apply_writes(plan, state, [*dropped, by_caller(state, _input_writes(plan, input))])
    except ConflictingWrites as conflict:
        raise conflict.error from conflict.error.__cause__
    state.step += 1
    return True


def hand_on_input(plan: Plan, state: RunState, input: Any) -> bool:
    """Takes in the input and does the superstep that only hands it to the state, both at once.

    For runs of which nobody keeps or sees how they begin. What is not plain input, and what goes wrong, is
    left to `take_input` and the superstep, which tell.

    Returns:
        Whether it is done; if not, the state is as before.
    """
    entry = plan.entry
    if entry is None or input is None or isinstance(input, Command):
        return False
    try:
        writes = entry.write(entry.read({**state.values, entry.triggers[0]: input}, 0))
        is_taken = apply_input(plan, state, [*writes, *entry.after])
    except Exception:
        return False
    if is_taken:
        state.step += 2
    return is_taken


def _is_new(state: RunState) -> bool:
    """Whether nothing has ever run on the thread, or nothing since it was cleared."""
    return not state.versions or (not state.seen and state.updated == ())


def _require_start(plan: Plan, state: RunState, input: Any) -> None:
    if isinstance(input, Command) and (input.update is not None or not goes_nowhere(input)):
        return
    what = f"graph {plan.name!r} got {input!r:.80} as input, which resumes a thread, but "
    if state.versions:  # it must not pass for a thread whose run has finished
        raise EmptyInputError(f"{what}its memory was cleared and nothing has run since: pass an input")
    raise EmptyInputError(f"{what}there is no checkpoint to resume from: pass an input")


def _input_writes(plan: Plan, input: Any) -> list[Write]:
    if isinstance(input, Command):
        if not goes_nowhere(input):
            return _first_writes(plan, input)
        input = input.update
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


def _first_writes(plan: Plan, command: Command[Any]) -> list[Write]:
    writes = command_writes(plan, command)
    if not writes:
        raise EmptyInputError(
            f"{command!r:.80} as the first input of a thread leads nowhere and changes nothing: "
            "pass an input, or name a node"
        )
    return writes
