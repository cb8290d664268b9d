"""When tasks finish never matters, nor when their writes reach the saver: order is by task path alone."""

from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph.checkpoint.base import CheckpointTuple
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.testing.clock import run_virtual
from aiograph.testing.faults import FaultySaver, delay
from aiograph.types import Durability
from tests.properties.graphs import CONFIG, INPUT, Delays, Shape, build, numbered_checkpoints, shapes

names = [f"n{layer}{letter}" for layer in range(5) for letter in "abcd"]
delays = st.lists(st.sampled_from([0, 0.001, 0.3, 0.7, 1.1, 2.5]), min_size=20, max_size=20).map(
    lambda seconds: dict(zip(names, seconds, strict=True))
)
durabilities: st.SearchStrategy[Durability] = st.sampled_from(["sync", "async"])


class Record(NamedTuple):
    """All that remains of a run, but for the times at which things happened."""

    output: Any
    chunks: list[Any]
    checkpoints: list[Any]


def without_time(saved: CheckpointTuple) -> Any:
    checkpoint: dict[str, Any] = {**saved.checkpoint}
    del checkpoint["ts"]
    return saved.config, checkpoint, saved.metadata, saved.parent_config, saved.pending_writes


async def record(shape: Shape, delays: Delays, latency: float, durability: Durability) -> Record:
    saver = FaultySaver(InMemorySaver(), before=delay(latency))
    graph = build(shape, saver, delays)
    modes: Any = ["values", "checkpoints"]
    with numbered_checkpoints():
        stream = graph.astream(INPUT, CONFIG, stream_mode=modes, durability=durability)
        chunks = [chunk async for chunk in stream]
    output = (await graph.aget_state(CONFIG)).values
    return Record(output, chunks, [without_time(saved) async for saved in saver.inner.alist(CONFIG)])


@settings(max_examples=60)
@given(shapes, delays, st.sampled_from([0, 0.5, 3]), durabilities)
def test_when_tasks_finish_never_matters(
    shape: Shape, delays: Delays, latency: float, durability: Durability
) -> None:
    undelayed = run_virtual(record(shape, {}, 0, "sync"))
    delayed = run_virtual(record(shape, delays, latency, durability))
    assert delayed.output == undelayed.output
    assert delayed.chunks == undelayed.chunks
    assert delayed.checkpoints == undelayed.checkpoints


@settings(max_examples=30)
@given(shapes, delays, st.integers(1, 3))
def test_a_limit_of_concurrency_never_matters(shape: Shape, delays: Delays, limit: int) -> None:
    async def limited() -> Any:
        config: Any = {**CONFIG, "max_concurrency": limit}
        return await build(shape, InMemorySaver(), delays).ainvoke(INPUT, config)

    assert run_virtual(limited()) == run_virtual(record(shape, {}, 0, "sync")).output


@settings(max_examples=30)
@given(shapes, delays, durabilities)
def test_updates_are_shown_once_for_each_task(shape: Shape, delays: Delays, durability: Durability) -> None:
    async def main() -> tuple[list[str], list[str]]:
        graph = build(shape, FaultySaver(InMemorySaver(), before=delay(0.2)), delays)
        shown: list[str] = []
        async for update in graph.astream(INPUT, CONFIG, durability=durability):
            shown += update
        return shown, (await graph.aget_state(CONFIG)).values["trail"]

    shown, trail = run_virtual(main())
    assert sorted(shown) == sorted(trail)
