"""A run that ends before its end: the errors that say so, and how to go on from there. Pure."""

from typing import cast

from aiograph._context import RunScope
from aiograph.errors import ErrorCode, GraphDrained, GraphRecursionError
from aiograph.pregel._run import Run
from aiograph.types import RunnableConfig


def too_many_steps(run: Run) -> GraphRecursionError:
    """The run has used up its limit."""
    return GraphRecursionError(
        f"graph {run.plan.name!r} did not finish within its recursion_limit of {run.recursion_limit} "
        f"supersteps (step {run.state.step}): raise the limit in the config, or look for a cycle that "
        f"never takes its way out [{ErrorCode.GRAPH_RECURSION_LIMIT}]",
        going_on(run.scope),
    )


def drained(run: Run) -> GraphDrained:
    """The run has stopped as it was asked to."""
    control = run.scope.means.control
    reason = None if control is None else control.drain_reason
    config = going_on(run.scope)
    what = f"graph {run.plan.name!r} has stopped before step {run.state.step} as asked ({reason}): "
    if config is None:
        how = "it has no checkpointer, so nothing is kept, and it has to be run anew"
    else:
        how = "all is kept, and invoke(None, error.config) goes on"
    return GraphDrained(what + how, reason, config)


def going_on(scope: RunScope) -> RunnableConfig | None:
    """The config with which whoever has called the outermost graph goes on; `None` if nothing is kept."""
    while scope.outer is not None:
        scope = scope.outer.run
    if scope.place.saver is None:
        return None
    configurable = dict(scope.config.get("configurable") or {})
    configurable.pop("checkpoint_id", None)  # that is where the run started
    return cast(RunnableConfig, {**scope.config, "configurable": configurable})
