"""Spans of OpenTelemetry: which there are, how they hang together, and what they tell."""

import asyncio
import operator
import sys
from typing import Annotated, Any, TypedDict

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.errors import MissingExtraError
from aiograph.graph import START, StateGraph
from aiograph.runtime import Runtime
from aiograph.stats import OpenTelemetry
from aiograph.testing.clock import virtual_backend
from aiograph.types import RetryPolicy, RunnableConfig, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Spans:
    """The spans that were made, by name."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = provider.get_tracer("test")
        self.collector = OpenTelemetry(provider)

    @property
    def names(self) -> list[str]:
        return [span.name for span in self._exporter.get_finished_spans()]

    def __getitem__(self, name: str) -> ReadableSpan:
        (span,) = [span for span in self._exporter.get_finished_spans() if span.name == name]
        return span

    def parent(self, name: str) -> str | None:
        above = self[name].parent
        spans = self._exporter.get_finished_spans()
        return next((s.name for s in spans if above and s.context.span_id == above.span_id), None)

    def facts(self, name: str) -> dict[str, Any]:
        return {key.removeprefix("aiograph."): value for key, value in (self[name].attributes or {}).items()}

    def exceptions(self, name: str) -> list[Any]:
        return [(event.attributes or {})["exception.type"] for event in self[name].events]


@pytest.fixture
def spans() -> Spans:
    return Spans()


def graph_of(spans: Spans, *nodes: Any, saver: Any = None, **options: Any) -> Any:
    builder: Any = StateGraph(State)
    for node in nodes:
        builder.add_node(node.__name__, node, **options).add_edge(START, node.__name__)
    return builder.compile(saver, stats=spans.collector, name="g")


async def quiet(state: State) -> State:
    return {"log": ["quiet"]}


async def test_there_is_a_span_per_run_superstep_and_task(spans: Spans) -> None:
    await graph_of(spans, quiet).ainvoke({})
    assert spans.names == ["superstep 0", "task quiet", "superstep 1", "run g"]
    assert spans.parent("task quiet") == "superstep 1"
    assert spans.parent("superstep 0") == spans.parent("superstep 1") == "run g"
    assert spans.parent("run g") is None


async def test_spans_tell_where_they_belong(spans: Spans) -> None:
    seen: list[str] = []

    async def node(state: State, runtime: Runtime[Any]) -> State:
        seen.append(runtime.execution_info.task_id)
        return {"log": ["done"]}

    await graph_of(spans, node, saver=InMemorySaver()).ainvoke({"log": []}, THREAD)
    assert spans.facts("task node") == {
        "graph": "g",
        "thread_id": "1",
        "checkpoint_ns": "",
        "step": 1,
        "node": "node",
        "task_id": seen[0],
        "attempts": 1,
    }
    assert spans.facts("run g") == {"graph": "g", "thread_id": "1", "checkpoint_ns": ""}


async def test_a_run_is_a_child_of_the_span_around_the_call(spans: Spans) -> None:
    with spans.tracer.start_as_current_span("request"):
        await graph_of(spans, quiet).ainvoke({})
        assert trace.get_current_span().get_span_context() != trace.INVALID_SPAN_CONTEXT
    assert spans.parent("run g") == "request"


@pytest.mark.parametrize("siblings", [0, 1])
async def test_in_an_asynchronous_node_its_tasks_span_is_the_current_one(spans: Spans, siblings: int) -> None:
    async def node(state: State) -> State:
        with spans.tracer.start_as_current_span("own"):
            await asyncio.sleep(1)
        return {"log": ["done"]}

    await graph_of(spans, node, *[quiet] * siblings).ainvoke({})
    assert spans.parent("own") == "task node"


@pytest.mark.parametrize("siblings", [0, 1])
def test_in_a_synchronous_node_its_tasks_span_is_the_current_one(spans: Spans, siblings: int) -> None:
    def node(state: State) -> State:
        with spans.tracer.start_as_current_span("own"):
            return {"log": ["done"]}

    def other(state: State) -> State:
        with spans.tracer.start_as_current_span("the other's own"):
            return {"log": ["done"]}

    graph = graph_of(spans, *[node, other][: siblings + 1])
    graph.invoke({})
    assert spans.parent("own") == "task node"
    assert siblings == 0 or spans.parent("the other's own") == "task other"


async def test_a_synchronous_node_on_a_worker_thread_has_the_span_too(spans: Spans) -> None:
    def node(state: State) -> State:
        with spans.tracer.start_as_current_span("own"):
            return {"log": ["done"]}

    await graph_of(spans, node).ainvoke({})
    assert spans.parent("own") == "task node"


async def test_nested_runs_are_children_of_the_task_that_starts_them(spans: Spans) -> None:
    inner: Any = StateGraph(State).add_node("leaf", quiet).add_edge(START, "leaf").compile(name="inner")

    async def outer(state: State) -> State:
        result: State = await inner.ainvoke(state)
        return result

    await graph_of(spans, outer, saver=InMemorySaver()).ainvoke({"log": []}, THREAD)
    assert spans.parent("run inner") == "task outer"
    assert spans.facts("run inner")["checkpoint_ns"].startswith("outer:")


async def test_a_stream_makes_the_same_spans(spans: Spans) -> None:
    with spans.tracer.start_as_current_span("request"):
        async for _ in graph_of(spans, quiet).astream({}):
            pass
    assert spans.parent("run g") == "request"
    assert spans.parent("task quiet") == "superstep 1"


async def test_an_error_is_recorded_on_task_superstep_and_run(spans: Spans) -> None:
    async def node(state: State) -> State:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await graph_of(spans, node).ainvoke({})
    for name in ("task node", "superstep 1", "run g"):
        assert spans.exceptions(name) == ["ValueError"]
        assert spans[name].status.status_code is StatusCode.ERROR
    assert spans["task node"].status.description == "ValueError: no"
    assert spans["superstep 0"].status.is_unset


async def test_a_failed_attempt_that_is_made_again_is_no_failure_of_the_task(spans: Spans) -> None:
    failures = [ConnectionError("busy")]

    async def node(state: State) -> State:
        if failures:
            raise failures.pop()
        return {"log": ["done"]}

    await graph_of(spans, node, retry_policy=RetryPolicy()).ainvoke({})
    assert spans.exceptions("task node") == ["ConnectionError"]
    assert spans.facts("task node")["attempts"] == 2
    assert spans["task node"].status.is_unset


async def test_a_question_is_no_error(spans: Spans) -> None:
    async def ask(state: State) -> State:
        return {"log": [interrupt("?")]}

    await graph_of(spans, ask, saver=InMemorySaver()).ainvoke({"log": []}, THREAD)
    assert spans.facts("task ask")["interrupted"] is True
    assert spans.exceptions("task ask") == []
    assert spans["run g"].status.is_unset


async def test_what_is_cancelled_says_so(spans: Spans) -> None:
    async def node(state: State) -> State:
        await asyncio.sleep(60)
        return {}

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1):
            await graph_of(spans, node).ainvoke({})
    assert spans.facts("task node")["cancelled"] is True
    assert spans.facts("run g")["cancelled"] is True


async def test_the_global_provider_is_the_default() -> None:
    graph: Any = StateGraph(State).add_node("n", quiet).add_edge(START, "n").compile(stats=OpenTelemetry())
    assert await graph.ainvoke({}) == {"log": ["quiet"]}


def test_without_the_package_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", None)
    with pytest.raises(MissingExtraError, match=r"aiograph\[otel\]"):
        OpenTelemetry()
