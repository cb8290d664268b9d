"""Operations of the journal, merged into fewer steps without changing their meaning."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.base import Commit, config_for
from aiograph.pregel._backlog import Record, Withdrawal, merged


def record(checkpoint: str, *writes: Any) -> Record:
    return Record(config_for("t", "", checkpoint), list(writes))


def commit(parent: str, *writes: Any) -> Commit:
    return Commit(config_for("t", "", parent), list(writes), f"after {parent}", {}, {})


def withdrawal(checkpoint: str, *tasks: str) -> Withdrawal:
    return Withdrawal(config_for("t", "", checkpoint), list(tasks))


def test_records_beside_one_checkpoint_travel_together() -> None:
    assert merged([record("1", "a"), record("1", "b"), record("2", "c")]) == [
        record("1", "a", "b"),
        record("2", "c"),
    ]


def test_records_travel_with_the_commit_that_follows_their_checkpoint() -> None:
    assert merged([record("1", "a"), record("1", "b"), commit("1", "c")]) == [commit("1", "a", "b", "c")]


def test_a_commit_that_follows_another_checkpoint_stands_alone() -> None:
    steps: list[Any] = [record("1", "a"), commit("2", "b")]
    assert merged(steps) == steps


def test_nothing_moves_across_a_withdrawal() -> None:
    steps: list[Any] = [record("1", "a"), withdrawal("1", "t"), record("1", "b"), commit("1")]
    assert merged(steps) == [record("1", "a"), withdrawal("1", "t"), commit("1", "b")]


def test_commits_are_never_merged() -> None:
    steps = [commit("1"), commit("2"), commit("2")]
    assert merged(steps) == steps


OPERATIONS = st.lists(
    st.builds(
        lambda make, checkpoint, what: make(checkpoint, what),
        st.sampled_from([record, commit, withdrawal]),
        st.sampled_from("12"),
        st.sampled_from("abc"),
    )
)


def spelled_out(operations: Any) -> list[Any]:
    """Each write, commit and withdrawal by itself, in order."""
    found: list[Any] = []
    for operation in operations:
        if isinstance(operation, Withdrawal):
            found.append(operation)
            continue
        found += [(operation.config, write) for write in operation.writes]
        if isinstance(operation, Commit):
            found.append(operation._replace(writes=[]))
    return found


@given(OPERATIONS)
def test_everything_is_done_in_the_order_in_which_it_was_handed_over(operations: Any) -> None:
    assert spelled_out(merged(operations)) == spelled_out(operations)
