"""Spans of OpenTelemetry: one for each run, superstep and task."""

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module
from typing import Any

from aiograph._interrupt import Interrupted
from aiograph.errors import MissingExtraError
from aiograph.stats._collector import Collector
from aiograph.stats._values import RunInfo, TaskInfo


class OpenTelemetry(Collector):
    """Makes spans: pass it as `stats=` when compiling a graph.

    A run's span is a child of the span that is current where the run is started; a superstep's, of its run's;
    a task's, of its superstep's. While a node runs, in whichever thread, its task's span is the current one:
    spans that the node makes are its children, and so are runs that it starts.

    Spans are named `run GRAPH`, `superstep N` and `task NODE`. Their attributes are `aiograph.graph`,
    `aiograph.thread_id`, `aiograph.checkpoint_ns`, `aiograph.step`, `aiograph.node`, `aiograph.task_id` and
    `aiograph.attempts`. What is raised is recorded as an exception, and makes the span's status an error; an
    attempt that has failed and was followed by another one is recorded without the status. A span has the
    attribute `aiograph.cancelled` if it was broken off, and `aiograph.interrupted` if it has stopped to ask.

    Args:
        tracer_provider: Makes the tracer; by default the global one.

    Raises:
        MissingExtraError: The `otel` extra is not installed.
    """

    def __init__(self, tracer_provider: Any = None) -> None:
        try:
            self._trace = import_module("opentelemetry.trace")
        except ImportError as error:
            raise MissingExtraError("OpenTelemetry", "otel") from error
        self._tracer = self._trace.get_tracer("aiograph", tracer_provider=tracer_provider)

    def run(self, run: RunInfo) -> AbstractContextManager[Any]:
        return self._span(f"run {run.graph}", _facts(run))

    def superstep(self, run: RunInfo, step: int) -> AbstractContextManager[Any]:
        return self._span(f"superstep {step}", {**_facts(run), "aiograph.step": step})

    def task(self, run: RunInfo, task: TaskInfo) -> AbstractContextManager[Any]:
        facts = {
            **_facts(run),
            "aiograph.step": task.step,
            "aiograph.node": task.name,
            "aiograph.task_id": task.id,
            "aiograph.attempts": 1,
        }
        return self._span(f"task {task.name}", facts)

    def retried(self, run: RunInfo, task: TaskInfo, attempt: int, error: Exception) -> None:
        span = self._trace.get_current_span()
        span.record_exception(error, {"aiograph.attempt": attempt})
        span.set_attribute("aiograph.attempts", attempt + 1)

    @contextmanager
    def _span(self, name: str, facts: dict[str, Any]) -> Iterator[None]:
        span = self._tracer.start_span(name, attributes=facts)
        with self._trace.use_span(
            span, end_on_exit=True, record_exception=False, set_status_on_exception=False
        ):
            try:
                yield
            except BaseException as error:
                self._tell(span, error)
                raise

    def _tell(self, span: Any, error: BaseException) -> None:
        if isinstance(error, Interrupted):
            span.set_attribute("aiograph.interrupted", True)
        elif isinstance(error, asyncio.CancelledError | GeneratorExit):
            span.set_attribute("aiograph.cancelled", True)
        else:
            span.record_exception(error)
            status = self._trace.Status(self._trace.StatusCode.ERROR, f"{type(error).__name__}: {error}")
            span.set_status(status)


def _facts(run: RunInfo) -> dict[str, Any]:
    facts = {"aiograph.graph": run.graph, "aiograph.checkpoint_ns": run.namespace}
    return facts if run.thread_id is None else {**facts, "aiograph.thread_id": run.thread_id}
