"""Opening a run: whose it is, where its state comes from, and what it reports to."""

import asyncio
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiograph._cancel import Host
from aiograph._context import Listener, RunScope, TaskScope, current_task
from aiograph.cache.base import BaseCache
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    CheckpointTuple,
    PendingWrite,
)
from aiograph.constants import INTERRUPT, NAMESPACE_SEPARATOR, PREVIOUS, START
from aiograph.pregel._answers import answers_in, is_answer, require_saver
from aiograph.pregel._cache import TaskCache, warn_of_no_cache
from aiograph.pregel._changes import NO_CHANGES, Changes, is_current, require_same
from aiograph.pregel._command import (
    apply_command,
    command_writes,
    reapply_commands,
    refuse_address,
    stored_command,
)
from aiograph.pregel._emit import Emitter, View
from aiograph.pregel._fork import moved, new_names, own_questions, require_own
from aiograph.pregel._journal import Journal, Storage
from aiograph.pregel._meter import Meter
from aiograph.pregel._migrate import Migrate, fitted
from aiograph.pregel._options import limits_of
from aiograph.pregel._place import Place
from aiograph.pregel._plan import Plan, Write
from aiograph.pregel._run import NO_STOPS, Run, Stops
from aiograph.pregel._snapshot import CALLER, open_questions, run_metadata
from aiograph.pregel._start import take_input
from aiograph.pregel._state import RunState, fresh_state, restored_state
from aiograph.pregel._stateful import look_up
from aiograph.pregel._tasks import due_nodes, due_tasks
from aiograph.runtime import RunControl
from aiograph.store.base import BaseStore
from aiograph.types import Command, Durability, Interrupt, OnConflict, OnError, RunnableConfig
from aiograph.warnings import CheckpointWarning


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asks of a run, checked and merged with the graph's defaults."""

    input: Any
    config: RunnableConfig
    context: Any
    output: str | Sequence[str]
    durability: Durability | None
    on_error: OnError
    step_timeout: float | None
    store: BaseStore | None
    on_conflict: OnConflict
    stops: Stops
    checkpointer: BaseCheckpointSaver | bool | None
    control: RunControl | None
    migrate: Migrate | None
    cache: BaseCache[Any] | None
    storable: frozenset[type]
    """The types that the graph's schemas mention."""


class Opened(NamedTuple):
    """A run that is ready to be driven."""

    run: Run
    took_input: bool
    pending: Sequence[PendingWrite]


def emitter_for(plan: Plan, request: Request, place: Place, view: View | None) -> Emitter | None:
    """What shows a run to its caller, and to those who listen to a run around it; `None` if nobody does."""
    nested = place.nested
    if nested is None:
        return None if view is None else Emitter(plan, request.output, (view,))
    views: list[Listener] = [each.within(nested.place) for each in nested.task.run.listeners]
    if view is not None:
        path = tuple(nested.namespace.split(NAMESPACE_SEPARATOR)) if view.sees_nested_runs else ()
        views.append(view.within(path) if path else view)
    return Emitter(plan, request.output, views) if views else None


async def open_run(
    plan: Plan, request: Request, place: Place, emitter: Emitter | None, meter: Meter | None
) -> Opened:
    """Loads the state that a run starts from, takes in the input, and makes the run whole.

    Raises:
        EmptyInputError: There is neither input nor anything to resume.
        ConcurrentUpdateError: Somebody else has written to the thread meanwhile.
    """
    refuse_address(request.input)
    found = await _find(plan, place, request.migrate)
    if found.storage is None:
        require_saver(request.input, plan.name)
    # a nested run that left a checkpoint here was broken off: the same task asks again
    is_resumed = found.is_resumed
    is_kept_by_nobody = place.saver is None and place.is_inner and not is_answer(request.input)
    is_handed_on = is_resumed or is_kept_by_nobody
    if found.changes is not NO_CHANGES:
        goes_on = is_resumed or request.input is None or isinstance(request.input, Command)
        require_same(found.changes, plan, found.state, str(place.thread_id), goes_on=goes_on)
    answers = _inherited_answers() if is_handed_on else answers_in(request.input, found.questions)
    run = _whole_run(plan, request, place, found, emitter, answers, meter)
    if run.cache is None and plan.is_cached:
        warn_of_no_cache(plan)
    took_input = False if is_resumed else take_input(plan, run.state, request.input)
    # a superstep that only hands the input on to the state does not count
    run.last_step = run.state.step + run.recursion_limit - (START not in due_nodes(plan, run.state))
    if took_input:
        return Opened(run, True, ())
    commanded = [] if is_resumed else _obey(run, request.input)
    if found.storage is not None and (not found.is_past or run.scope.durability == "exit"):
        # a run without input may work for long before it writes: others are to see that it has begun
        await found.storage.saver.aclaim(place.config, found.storage.hold)
    pending = found.pending
    if found.is_past:
        pending = await _go_back(run, found, answers)  # the copy has what was commanded
    elif commanded:
        pending = [*pending, *_keep_command(run, commanded, pending)]
    if request.stops is not NO_STOPS:
        run.state.seen[INTERRUPT] = dict(run.state.versions)  # where it has stopped, it goes on
    return Opened(run, False, pending)


def _obey(run: Run, input: Any) -> list[Write]:
    """Applies an input that is a command, before anything is written; what it writes is returned."""
    writes = command_writes(run.plan, input)
    return apply_command(run.plan, run.state, writes) if writes else []


def _keep_command(run: Run, writes: Sequence[Write], pending: Sequence[PendingWrite]) -> list[PendingWrite]:
    assert run.journal is not None
    kept = stored_command(run.plan, run.state, writes, pending)
    run.journal.record_command(kept)
    return [(kept.task_id, name, value) for name, value in kept.writes]


async def _go_back(run: Run, found: "_Found", answers: Mapping[str, Any]) -> Sequence[PendingWrite]:
    """Goes over to a copy of the checkpoint that the run starts from, and returns what is pending there.

    At the copy tasks have ids of their own: what they did is not found, nor what graphs within them keep,
    so all of it is done anew, and what is left behind stays as it was.
    """
    assert run.journal is not None
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


def _inherited_answers() -> Mapping[str, Any]:
    outer = current_task.get()
    return {} if outer is None else outer.answers


class _Found(NamedTuple):
    """What there is where a run starts."""

    saved: CheckpointTuple | None
    state: RunState
    storage: Storage | None
    is_resumed: bool = False
    """Whether a nested run was broken off here, or has ended, and the same task asks for it again."""
    versions: ChannelVersions | None = None
    """Those of what is stored, if what is loaded was changed to fit the graph."""
    changes: Changes = NO_CHANGES
    """What of it does not fit the graph."""

    @property
    def kept(self) -> Sequence[PendingWrite]:
        """All writes beside the checkpoint."""
        return () if self.saved is None else self.saved.pending_writes or ()

    @property
    def is_past(self) -> bool:
        """Whether the thread has left the checkpoint behind."""
        return self.storage is not None and self.storage.hold.is_behind

    @property
    def pending(self) -> Sequence[PendingWrite]:
        """What finished tasks have written; in a past that the thread has left behind, they run again."""
        return () if self.is_past else self.kept

    @property
    def questions(self) -> Sequence[Interrupt]:
        """What is asked and not answered; where tasks run again, what they have asked before."""
        return open_questions(self.kept, again=self.is_past)


async def _find(plan: Plan, place: Place, migrate: Migrate | None) -> _Found:
    if place.saver is None or place.thread_id is None:
        return _Found(None, fresh_state(plan, place.namespace, place.nested), None)
    if place.caller is not None:
        saved, hold, is_resumed = await look_up(place, place.saver, place.caller)
    else:
        saved, hold = await place.saver.ahold(place.config)
        is_resumed = saved is not None and place.is_of_call
    storage = Storage(place.saver, hold, place.thread_id)
    if saved is None:
        return _Found(None, fresh_state(plan, place.namespace), storage, is_resumed)
    if is_current(plan, saved.checkpoint):
        return _Found(saved, _restored(plan, saved, place), storage, is_resumed)
    fit = fitted(plan, saved, migrate)
    versions = saved.checkpoint["channel_versions"]
    return _Found(fit.saved, fit.state(plan, place.namespace), storage, is_resumed, versions, fit.changes)


def _whole_run(
    plan: Plan,
    request: Request,
    place: Place,
    found: _Found,
    emitter: Emitter | None,
    answers: Mapping[str, Any],
    meter: Meter | None = None,
) -> Run:
    state, outer = found.state, current_task.get()
    scope = _scope(plan.name, request, place, outer, emitter, answers, meter)
    scope.previous = state.values.get(PREVIOUS)
    limits = limits_of(request.config)
    journal = _journal(plan, request, place, found, scope)  # first: it notes what the checkpoint holds
    reapply_commands(plan, state, found.pending)
    return Run(
        host=Host(),
        plan=plan,
        state=state,
        scope=scope,
        journal=journal,
        emitter=emitter,
        meter=meter,
        cache=_task_cache(plan, request, scope.cache),
        on_error=request.on_error,
        step_timeout=request.step_timeout,
        max_concurrency=limits.concurrency,
        output=request.output,
        recursion_limit=limits.recursion,
        last_step=state.step + limits.recursion - 1,
        stops=request.stops,
        is_inner=place.is_inner,
    )


def _task_cache(plan: Plan, request: Request, cache: BaseCache[Any] | None) -> TaskCache | None:
    if cache is None or not plan.is_cached:
        return None
    if cache is not request.cache:
        cache.allow_types(request.storable)  # it knows those of the graph it was made for
    return TaskCache(cache, plan)


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
    """The checkpoint that `place` names, ready to be changed."""
    found = await _find(plan, place, request.migrate)
    parent = None if found.saved is None else found.saved.parent_config
    parent_id = None if parent is None else parent["configurable"].get("checkpoint_id")
    return Base(_whole_run(plan, request, place, found, None, {}), found.pending, parent_id, found.is_past)


def _restored(plan: Plan, saved: CheckpointTuple, place: Place) -> RunState:
    return restored_state(plan, saved.checkpoint, saved.metadata, place.namespace)


def _scope(
    graph: str,
    request: Request,
    place: Place,
    outer: TaskScope | None,
    emitter: Emitter | None,
    answers: Mapping[str, Any],
    meter: Meter | None,
) -> RunScope:
    run = None if outer is None else outer.run
    context, store, durability = request.context, request.store, request.durability
    control = request.control
    cache = request.cache
    if run is not None:
        context = run.context if context is None else context
        store = run.store if store is None else store
        cache = run.cache if cache is None else cache
        durability = run.durability if durability is None else durability
        control = run.control if control is None else control
    return RunScope(
        loop=asyncio.get_running_loop(),
        config=request.config,
        context=context,
        store=store,
        writer=_nobody_listens if emitter is None else emitter.custom,
        listeners=() if emitter is None else emitter.listeners,
        checkpointer=place.saver,
        thread_id=place.thread_id,
        namespace=place.namespace,
        durability=durability or "async",
        graph=graph,
        outer=outer,
        resume=answers,
        control=control,
        cache=cache,
        pulse=None if outer is None else outer.pulse,
        collector=None if meter is None else meter.collector,
        nested=place.nested if place.is_inner else None,
        parents=place.parents,
    )


def _nobody_listens(value: Any) -> None:
    """The stream writer of a run without a listener."""


def _journal(plan: Plan, request: Request, place: Place, found: _Found, scope: RunScope) -> Journal | None:
    if found.storage is None:
        if request.durability is not None and scope.depth == 0:
            warnings.warn(
                f"durability={request.durability!r} has no effect: graph {plan.name!r} has no checkpointer",
                CheckpointWarning,
                stacklevel=2,
            )
        return None
    parents, caller = place.parents, None if place.caller is None else place.caller.id
    if place.namespace and not place.is_inner and found.saved is not None:  # changed from outside
        known: Mapping[str, Any] = found.saved.metadata
        parents, caller = known.get("parents", {}), known.get(CALLER)
    metadata = run_metadata(request.config, parents, caller)
    return Journal(found.storage, plan, found.state, scope.durability, metadata, found.versions)
