"""Retry policies: when a failed node is tried again, after what delay, and how often. In virtual time."""

import asyncio
import operator
import random
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.errors import InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.runtime import Runtime
from aiograph.testing.clock import virtual_backend
from aiograph.types import RetryPolicy


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return virtual_backend()


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


class Flaky:
    """A node that raises each of its errors once, and tells when it was called."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.times: list[float] = []

    async def __call__(self, state: State) -> dict[str, Any]:
        self.times.append(asyncio.get_running_loop().time())
        if self.errors:
            raise self.errors.pop(0)
        return {"log": ["done"]}

    @property
    def pauses(self) -> list[float]:
        return [round(after - before, 6) for before, after in zip(self.times, self.times[1:], strict=False)]


def graph_of(node: Any, policy: Any = None, **options: Any) -> Any:
    return StateGraph(State).add_node("n", node, retry_policy=policy).add_edge(START, "n").compile(**options)


def steady(**options: Any) -> RetryPolicy:
    return RetryPolicy(jitter=False, **options)


BUSY = ConnectionError("busy")


async def test_delays_grow_by_the_factor_up_to_the_longest() -> None:
    node = Flaky(*[BUSY] * 5)
    await graph_of(
        node, steady(initial_interval=1, backoff_factor=3, max_interval=20, max_attempts=6)
    ).ainvoke({})
    assert node.pauses == [1, 3, 9, 20, 20]


async def test_the_defaults_are_three_attempts_after_half_a_second_and_one() -> None:
    node = Flaky(BUSY, BUSY)
    assert await graph_of(node, steady()).ainvoke({}) == {"log": ["done"]}
    assert node.pauses == [0.5, 1]


async def test_the_last_error_is_raised_when_the_attempts_are_used_up() -> None:
    node = Flaky(BUSY, BUSY, ConnectionError("still busy"))
    with pytest.raises(ConnectionError, match="still busy") as caught:
        await graph_of(node, steady()).ainvoke({})
    assert len(node.times) == 3
    assert "in node 'n', step 1" in caught.value.__notes__[0]


async def test_one_attempt_is_no_retry() -> None:
    node = Flaky(BUSY)
    with pytest.raises(ConnectionError):
        await graph_of(node, steady(max_attempts=1)).ainvoke({})
    assert len(node.times) == 1


async def test_without_a_policy_nothing_is_tried_again() -> None:
    node = Flaky(BUSY)
    with pytest.raises(ConnectionError):
        await graph_of(node).ainvoke({})
    assert len(node.times) == 1


async def test_jitter_adds_up_to_a_second_after_the_cap() -> None:
    node = Flaky(*[BUSY] * 50)
    random.seed(0)
    await graph_of(node, RetryPolicy(initial_interval=2, max_interval=2, max_attempts=51)).ainvoke({})
    assert all(2 <= pause <= 3 for pause in node.pauses)
    assert max(node.pauses) - min(node.pauses) > 0.5


# -- which errors --------------------------------------------------------------------------------------


class ServerError(Exception):
    def __init__(self, status: int) -> None:
        self.response = type("Response", (), {"status_code": status})()


@pytest.mark.parametrize(
    ("error", "is_retried"),
    [
        (ConnectionResetError("gone"), True),
        (ServerError(503), True),
        (ServerError(429), True),
        (ServerError(200), True),  # an error in the middle of an answer
        (ServerError(404), False),
        (AssertionError("odd"), True),
        (ValueError("wrong"), False),
        (KeyError("wrong"), False),
        (TypeError("wrong"), False),
        (RuntimeError("wrong"), False),
        (OSError("wrong"), False),
        (TimeoutError("slow"), False),
    ],
)
async def test_by_default_what_looks_transient_is_retried(error: Exception, is_retried: bool) -> None:
    node = Flaky(error)
    if is_retried:
        await graph_of(node, steady()).ainvoke({})
    else:
        with pytest.raises(type(error)):
            await graph_of(node, steady()).ainvoke({})
    assert len(node.times) == 1 + is_retried


@pytest.mark.parametrize(
    "retry_on", [KeyError, (ValueError, KeyError), [LookupError], lambda error: "again" in str(error)]
)
async def test_retry_on_is_a_type_several_or_a_predicate(retry_on: Any) -> None:
    node = Flaky(KeyError("again"), KeyError("again"))
    assert await graph_of(node, steady(retry_on=retry_on)).ainvoke({}) == {"log": ["done"]}
    with pytest.raises(OSError, match="no"):
        await graph_of(Flaky(OSError("no")), steady(retry_on=retry_on)).ainvoke({})


async def test_the_first_policy_that_matches_applies() -> None:
    policies = [
        steady(retry_on=KeyError, initial_interval=1),
        steady(retry_on=LookupError, initial_interval=10),
        steady(retry_on=OSError, initial_interval=100, max_attempts=4),
    ]
    node = Flaky(KeyError(), IndexError(), OSError())
    await graph_of(node, policies).ainvoke({})
    assert node.pauses == [1, 20, 128]


async def test_attempts_are_counted_over_all_policies() -> None:
    policies = [steady(retry_on=KeyError, max_attempts=2), steady(retry_on=OSError, max_attempts=3)]
    node = Flaky(OSError(), KeyError())
    with pytest.raises(KeyError):
        await graph_of(node, policies).ainvoke({})
    assert len(node.times) == 2


# -- where policies come from --------------------------------------------------------------------------


async def test_a_policy_for_all_nodes_by_default_and_by_compile() -> None:
    for builder, options in (
        (StateGraph(State).set_node_defaults(retry_policy=steady()), {}),
        (StateGraph(State), {"retry_policy": steady()}),
    ):
        node = Flaky(BUSY)
        graph: Any = builder.add_node("n", node).add_edge(START, "n").compile(**options)  # type: ignore[arg-type]
        assert await graph.ainvoke({}) == {"log": ["done"]}


async def test_a_nodes_own_policy_wins_and_an_empty_list_is_one() -> None:
    node = Flaky(BUSY)
    with pytest.raises(ConnectionError):
        await graph_of(node, [], retry_policy=steady()).ainvoke({})
    assert len(node.times) == 1


# -- what a retry does ---------------------------------------------------------------------------------


async def test_a_failed_attempt_writes_nothing() -> None:
    attempts: list[Any] = []

    async def node(state: State) -> Any:
        attempts.append(state)
        if len(attempts) == 1:
            return {"log": ["lost"], "oops": BUSY}
        return {"log": ["kept"]}

    policy = steady(retry_on=InvalidUpdateError)
    assert await graph_of(node, policy, strict=True).ainvoke({"log": ["in"]}) == {"log": ["in", "kept"]}
    assert attempts == [{"log": ["in"]}, {"log": ["in"]}]


async def test_a_node_sees_which_attempt_it_is_and_keeps_its_task_id() -> None:
    seen: list[tuple[int, str]] = []

    async def node(state: State, runtime: Runtime[None]) -> None:
        info = runtime.execution_info
        seen.append((info.node_attempt, info.task_id))
        if len(seen) < 3:
            raise BUSY

    await graph_of(node, steady()).ainvoke({})
    assert [attempt for attempt, _ in seen] == [1, 2, 3]
    assert len({task_id for _, task_id in seen}) == 1


async def test_siblings_run_on_while_a_node_waits_for_its_next_attempt() -> None:
    ended: list[str] = []

    async def quick(state: State) -> None:
        ended.append("quick")

    async def slow(state: State) -> None:
        await Flaky.__call__(flaky, state)
        ended.append("slow")

    flaky = Flaky(BUSY)
    builder = StateGraph(State).add_node("slow", slow, retry_policy=steady()).add_node("quick", quick)
    await builder.add_edge(START, "slow").add_edge(START, "quick").compile().ainvoke({})
    assert ended == ["quick", "slow"]


async def test_a_synchronous_node_is_retried_alike() -> None:
    attempts: list[int] = []

    def node(state: State) -> dict[str, Any]:
        attempts.append(1)
        if len(attempts) < 3:
            raise BUSY
        return {"log": ["done"]}

    assert await graph_of(node, steady()).ainvoke({}) == {"log": ["done"]}


async def test_a_cancelled_run_does_not_try_again() -> None:
    node = Flaky(*[BUSY] * 100)
    run = asyncio.create_task(graph_of(node, steady(max_attempts=100)).ainvoke({}))
    await asyncio.sleep(0.6)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert len(node.times) == 2


@pytest.mark.parametrize("options", [{"max_attempts": 0}, {"initial_interval": -1}, {"backoff_factor": -1}])
def test_a_policy_that_makes_no_sense_is_refused(options: Any) -> None:
    with pytest.raises(ValueError, match=r"max_attempts must be at least 1|must not be negative"):
        RetryPolicy(**options)
