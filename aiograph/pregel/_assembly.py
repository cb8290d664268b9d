"""A run made whole: its scope, its journal, its limits, and whom it reports to."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiograph._cancel import Host
from aiograph._context import RunScope, current_task
from aiograph._lending import lender_for
from aiograph._onlookers import Listener
from aiograph.bridge import working_loop
from aiograph.constants import NAMESPACE_SEPARATOR, PREVIOUS
from aiograph.pregel._cache import TaskCache
from aiograph.pregel._command import reapply_commands
from aiograph.pregel._emit import Emitter, View
from aiograph.pregel._found import Found
from aiograph.pregel._journal import Journal
from aiograph.pregel._options import limits_of
from aiograph.pregel._place import Place
from aiograph.pregel._plan import Plan
from aiograph.pregel._request import Request
from aiograph.pregel._run import Run
from aiograph.pregel._snapshot import CALLER, run_metadata
from aiograph.warnings import CheckpointWarning

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache
    from aiograph.pregel._meter import Meter
    from aiograph.pregel._request import Options


def emitter_for(plan: Plan, request: Request, place: Place, view: View | None) -> Emitter | None:
    """What shows a run to its caller, and to those who listen to a run around it; `None` if nobody does."""
    nested = place.nested
    if nested is None:
        return None if view is None else Emitter(plan, request.terms.output, (view,))
    around = nested.task.run.showing
    listeners = () if around is None else around.listeners
    views: list[Listener] = [each.within(nested.place) for each in listeners]
    if view is not None:
        path = tuple(nested.namespace.split(NAMESPACE_SEPARATOR)) if view.sees_nested_runs else ()
        views.append(view.within(path) if path else view)
    return Emitter(plan, request.terms.output, views) if views else None


def whole_run(
    plan: Plan,
    request: Request,
    place: Place,
    found: Found,
    emitter: Emitter | None,
    answers: Mapping[str, Any],
    meter: Meter | None = None,
) -> Run:
    if emitter is not None and emitter.messages is not None:
        from aiograph._langchain import hear_langchain  # of use to those alone who listen to messages

        hear_langchain()
    state, outer = found.state, current_task.get()
    terms, options = request.terms, request.options
    means = request.means if outer is None else request.means.or_else(outer.run.means)
    scope = RunScope(plan.name, request.config, means, place, outer, answers, emitter)
    scope.loop = working_loop()
    scope.collector = None if meter is None else meter.collector
    scope.lend = lender_for(request.config)
    scope.previous = state.values.get(PREVIOUS)
    limits = limits_of(request.config, options.recursion_limit)
    journal = _journal(plan, request, place, found, scope)  # first: it notes what the checkpoint holds
    if found.saved is not None:
        reapply_commands(plan, state, found.pending)
    return Run(
        host=Host(),
        plan=plan,
        state=state,
        scope=scope,
        journal=journal,
        emitter=emitter,
        meter=meter,
        cache=_task_cache(plan, options, means.cache),
        step_timeout=options.step_timeout,
        max_concurrency=limits.concurrency,
        recursion_limit=limits.recursion,
        last_step=state.step + limits.recursion - 1,
        terms=terms,
    )


def _task_cache(plan: Plan, options: Options, cache: BaseCache[Any] | None) -> TaskCache | None:
    if cache is None or not plan.is_cached:
        return None
    if cache is not options.cache:
        cache.allow_types(options.storable)  # it knows those of the graph it was made for
    return TaskCache(cache, plan)


def _journal(plan: Plan, request: Request, place: Place, found: Found, scope: RunScope) -> Journal | None:
    if found.storage is None:
        durability = request.means.durability
        if durability is not None and scope.depth == 0:
            warnings.warn(
                f"durability={durability!r} has no effect: graph {plan.name!r} has no checkpointer",
                CheckpointWarning,
                stacklevel=2,
            )
        return None
    parents, caller = place.parents, None if place.caller is None else place.caller.id
    if place.namespace and not place.is_inner and found.saved is not None:  # changed from outside
        known: Mapping[str, Any] = found.saved.metadata
        parents, caller = known.get("parents", {}), known.get(CALLER)
    metadata = run_metadata(request.config, parents, caller)
    return Journal(
        found.storage, plan, found.state, scope.means.durability or "async", metadata, found.versions
    )
