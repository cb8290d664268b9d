"""What holds for every error that aiograph raises."""

import copy
import pickle
from collections.abc import Callable

import pytest

from aiograph import errors

SAMPLES = [
    errors.GraphValidationError(["no entry point", "node 'a' is unreachable"]),
    errors.MissingExtraError("string conditions", "expr"),
    errors.NodeTimeoutError("fetch", 2.5),
    errors.RecordedError("ValueError('broken')"),
    errors.CacheError("cache: cannot read from 'cache.db'"),
    errors.NodeTimeoutError("fetch", 1.5, run_timeout=9.0, idle_timeout=1.5, elapsed=4.0, kind="idle"),
    errors.CallOrderError(1, "fetch", "send", "work"),
    errors.NodeCancelledError("fetch"),
    errors.ParentCommand("no graph further out", None),
    errors.GraphRecursionError("too many supersteps", {"configurable": {"thread_id": "1"}}),
    errors.GraphDrained("stopped", "release", {"configurable": {"thread_id": "1"}}),
    errors.CheckpointQueryError("the config names no thread"),
    errors.SyncCallError("use `await ainvoke(...)`"),
]


@pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("again", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_an_error_crosses_to_another_process_as_it_is(
    error: errors.AiographError, again: Callable[[errors.AiographError], errors.AiographError]
) -> None:
    error.add_note("in node 'fetch'")
    arrived = again(error)
    assert type(arrived) is type(error)
    assert str(arrived) == str(error)
    assert vars(arrived) == vars(error)


def test_what_sets_an_error_apart_from_others_of_its_class_arrives_too() -> None:
    error = errors.InvalidUpdateError("two writers")
    error.code = errors.ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE
    assert pickle.loads(pickle.dumps(error)).code is errors.ErrorCode.INVALID_CONCURRENT_GRAPH_UPDATE
