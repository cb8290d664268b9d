"""Opening a run: what it takes in, what it answers, and where it goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from aiograph._context import current_task
from aiograph._effects import NOTHING
from aiograph.checkpoint.base import PendingWrite
from aiograph.constants import INTERRUPT, START
from aiograph.pregel._answers import answers_in, require_saver
from aiograph.pregel._assembly import whole_run
from aiograph.pregel._changes import NO_CHANGES, require_same
from aiograph.pregel._command import apply_command, command_writes, refuse_address, stored_command
from aiograph.pregel._emit import Emitter
from aiograph.pregel._fork import moved, new_names, own_questions, require_own
from aiograph.pregel._found import Found, find, nothing, require_named
from aiograph.pregel._place import Place
from aiograph.pregel._plan import Plan, Write
from aiograph.pregel._request import Request
from aiograph.pregel._run import Run
from aiograph.pregel._start import hand_on_input, take_input
from aiograph.pregel._tasks import due_nodes, due_tasks
from aiograph.pregel._terms import NO_STOPS
from aiograph.types import Command

if TYPE_CHECKING:
    from aiograph.pregel._meter import Meter


class Opened(NamedTuple):
    """A run that is ready to be driven."""

    run: Run
    took_input: bool
    """Whether the state has just taken in an input, which is to be kept and shown."""
    pending: Sequence[PendingWrite]


def open_passing(
    plan: Plan, request: Request, place: Place, emitter: Emitter | None, meter: Meter | None
) -> Opened:
    """Makes a run whole of which nothing is kept, and has it take in the input.

    Raises:
        EmptyInputError: There is no input.
    """
    refuse_address(request.input)
    require_saver(request.input, plan.name)
    answers = NOTHING if place.nested is None else place.nested.task.answers
    run = whole_run(plan, request, place, nothing(plan, place), emitter, answers, meter)
    if run.is_unseen and hand_on_input(plan, run.state, request.input):
        run.last_step = run.state.step + run.recursion_limit - 1
        return Opened(run, False, ())
    take_input(plan, run.state, request.input)
    run.last_step = _last_step(run)
    return Opened(run, True, ())


async def open_kept(
    plan: Plan, request: Request, place: Place, emitter: Emitter | None, meter: Meter | None
) -> Opened:
    """Loads the state that a run starts from, takes in the input, and makes the run whole.

    Raises:
        EmptyInputError: There is neither input nor anything to resume.
        CheckpointQueryError: There is an input, but not the checkpoint that the config names.
        ConcurrentUpdateError: Somebody else has written to the thread meanwhile.
    """
    refuse_address(request.input)
    found = await find(plan, place, request.options.migrate)
    if request.input is not None:
        require_named(found, place)
    _require_fit(plan, request, place, found)
    run = whole_run(plan, request, place, found, emitter, _answers(request, found), meter)
    took_input = not found.is_resumed and take_input(plan, run.state, request.input)
    run.last_step = _last_step(run)
    if took_input:
        return Opened(run, True, ())
    return Opened(run, False, await _go_on(run, request, place, found))


def _last_step(run: Run) -> int:
    """The last superstep that the limit allows; one that only hands the input to the state does not count."""
    return run.state.step + run.recursion_limit - (START not in due_nodes(run.plan, run.state))


def _require_fit(plan: Plan, request: Request, place: Place, found: Found) -> None:
    if found.changes is not NO_CHANGES:
        goes_on = found.is_resumed or request.input is None or isinstance(request.input, Command)
        require_same(found.changes, plan, found.state, str(place.thread_id), goes_on=goes_on)


def _answers(request: Request, found: Found) -> Mapping[str, Any]:
    """The answers that a run starts with: those in its input, or those that the run around it has had."""
    if not found.is_resumed:
        return answers_in(request.input, found.questions)
    outer = current_task.get()
    return {} if outer is None else outer.answers


async def _go_on(run: Run, request: Request, place: Place, found: Found) -> Sequence[PendingWrite]:
    """Prepares a run without new input for going on; what is pending where it does is returned."""
    commanded = [] if found.is_resumed else _obey(run, request.input)
    if found.storage is not None and (not found.is_past or run.scope.means.durability == "exit"):
        # it may work for long before it writes: others are to see that it has begun
        await found.storage.saver.aclaim(place.config, found.storage.hold)
    pending = found.pending
    if found.is_past:
        pending = await _go_back(run, found)  # the copy has what was commanded
    elif commanded:
        pending = [*pending, *_keep_command(run, commanded, pending)]
    if request.terms.stops is not NO_STOPS:
        run.state.note_seen(INTERRUPT, dict(run.state.versions))  # where it has stopped, it goes on
    return pending


def _obey(run: Run, input: Any) -> list[Write]:
    """Applies an input that is a command, before anything is written; what it writes is returned."""
    writes = command_writes(run.plan, input)
    return apply_command(run.plan, run.state, writes) if writes else []


def _keep_command(run: Run, writes: Sequence[Write], pending: Sequence[PendingWrite]) -> list[PendingWrite]:
    assert run.journal is not None
    kept = stored_command(run.plan, run.state, writes, pending)
    run.journal.record_command(kept)
    return [(kept.task_id, name, value) for name, value in kept.writes]


async def _go_back(run: Run, found: Found) -> Sequence[PendingWrite]:
    """Goes over to a copy of the checkpoint that the run starts from, and returns what is pending there.

    At the copy tasks have ids of their own: what they did is not found, nor what graphs within them keep,
    so all of it is done anew, and what is left behind stays as it was.
    """
    assert run.journal is not None
    answers = run.scope.resume
    past, asked = due_tasks(run.plan, run.state, 0), found.kept
    own = own_questions(past, asked)
    require_own(answers, own)
    parent = run.journal.parent_config
    await run.journal.commit("fork", ())
    if run.emitter is not None and run.emitter.wants_checkpoints:
        run.emitter.checkpoint(run.state, run.journal.config, parent, run.journal.metadata("fork"))
    tasks = due_tasks(run.plan, run.state, 0)
    names = new_names(own, tasks)
    run.scope.resume = {names[each]: answer for each, answer in answers.items()}
    if not answers:
        return ()
    return moved(asked, names, {old.id: new.id for old, new in zip(past, tasks, strict=True)})


class Base(NamedTuple):
    """A checkpoint that is changed from outside."""

    run: Run
    """A run that will not execute anything."""
    pending: Sequence[PendingWrite]
    """What finished tasks have written; in a past that the thread has left behind, they run again."""
    parent_id: str | None
    is_past: bool
    """Whether the thread has left the checkpoint behind."""


async def open_update(plan: Plan, place: Place, request: Request) -> Base:
    """The checkpoint that `place` names, ready to be changed.

    Raises:
        CheckpointQueryError: There is none of that name.
    """
    found = await find(plan, place, request.options.migrate)
    require_named(found, place)
    parent = None if found.saved is None else found.saved.parent_config
    parent_id = None if parent is None else parent["configurable"].get("checkpoint_id")
    return Base(whole_run(plan, request, place, found, None, {}), found.pending, parent_id, found.is_past)
