"""What savers store, are asked for and refuse, as values that all of them share."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Self, get_args

from aiograph.checkpoint.base import (
    PruneStrategy,
    Version,
    VersionsSeen,
    checked_name,
    thread_of,
)
from aiograph.checkpoint.serde._cells import Cell, Cells
from aiograph.checkpoint.serde._filter import Filter
from aiograph.errors import CheckpointQueryError, ConcurrentUpdateError
from aiograph.types import RunnableConfig


class Key(NamedTuple):
    """Names one checkpoint."""

    thread_id: str
    namespace: str
    checkpoint_id: str

    @property
    def rank(self) -> tuple[str, str, str]:
        """Newer checkpoints have larger ones."""
        return self.checkpoint_id, self.thread_id, self.namespace

    def __str__(self) -> str:
        return f"{place_text(*self[:2])}, checkpoint {self.checkpoint_id!r}"


def place_text(thread_id: str, namespace: str) -> str:
    """A thread and namespace, for messages."""
    return f"thread {thread_id!r}" + (f", namespace {namespace!r}" if namespace else "")


class EncodedWrite(NamedTuple):
    """One write of a task."""

    position: int
    channel: str
    cell: Cell


class EncodedWrites(NamedTuple):
    """The writes of one task."""

    task_id: str
    task_path: str
    writes: Sequence[EncodedWrite]
    cells: Cells
    """What they refer to and what is not known to be stored."""


class Skeleton(NamedTuple):
    """A checkpoint without its values."""

    v: int
    ts: str | None
    """`None` on its way to storage, if it follows from when the checkpoint was made."""
    channel_versions: Mapping[str, Version]
    versions_seen: VersionsSeen
    updated_channels: list[str] | None


class EncodedCheckpoint(NamedTuple):
    """A checkpoint as it goes to a saver."""

    key: Key
    created_at: int
    """Microseconds since 1970, UTC."""
    values: Mapping[str, Cell]
    document: Cell
    """All of it together."""
    cells: Cells
    """What the others refer to and what is not known to be stored."""
    lineage: str | None
    """That of the thread, if it is known."""
    reached: frozenset[bytes]
    """Addresses of all cells that it leads to."""
    parent_places: Mapping[str, int] | None = None
    """By channel, its place among the channels of the parent, if that is known."""


class StoredCheckpoint(NamedTuple):
    """A checkpoint as it comes from a saver."""

    key: Key
    parent_id: str | None
    skeleton: Skeleton
    metadata: bytes | str
    values: Mapping[str, Any]
    """Cells; or values as they are, which cannot change then."""
    writes: Sequence[tuple[str, str, Any]]
    """Task id, channel and value, in order; as above."""
    cells: Cells
    size: int = 0
    """Bytes that have to be decoded, at most, if that is known."""


# -- what savers are asked for


class Listing(NamedTuple):
    """What `list` was asked for."""

    thread_id: str | None
    """`None` for all threads."""
    namespace: str | None
    """`None` for all namespaces."""
    checkpoint_id: str | None
    before: str | None
    """Only checkpoints with a smaller id."""
    filter: Filter | None
    limit: int | None

    @classmethod
    def of(
        cls,
        config: RunnableConfig | None,
        filter: Mapping[str, Any] | None,
        before: RunnableConfig | None,
        limit: int | None,
    ) -> Self:
        """Makes one of the arguments of `list`.

        Raises:
            CheckpointQueryError: They make no sense.
        """
        thread_id, namespace, checkpoint_id = (None, None, None) if config is None else thread_of(config)
        if config is not None and config["configurable"].get("checkpoint_ns") is None:
            namespace = None
        parsed = Filter.parse(filter) if filter else None
        require_limit(limit)
        return cls(thread_id, namespace, checkpoint_id, _before(before), parsed, limit)


def _before(config: object) -> str | None:
    if config is None:
        return None
    configurable = config.get("configurable") if isinstance(config, Mapping) else None
    checkpoint_id = (configurable or {}).get("checkpoint_id")
    if checkpoint_id is None:
        raise CheckpointQueryError("before: the config names no checkpoint: pass a checkpoint_id")
    return checked_name(checkpoint_id, "before")


# -- what they refuse


def overtaken(key: Key) -> ConcurrentUpdateError:
    """The error of a write that finds that somebody else has written."""
    return ConcurrentUpdateError(
        f"{key}: nothing was stored, as another run, update or clean-up has changed the thread since this "
        "run read it; start again from its newest state, or let runs queue: on_conflict='wait'"
    )


def taken(thread_id: str) -> CheckpointQueryError:
    """The error of a copy onto a thread that has something else already."""
    return CheckpointQueryError(
        f"thread {thread_id!r} has checkpoints of its own: copy to a new thread, or delete this one first"
    )


def thread_name(thread_id: object) -> str:
    """The id of a thread as text.

    Raises:
        CheckpointQueryError: It cannot be stored.
    """
    return checked_name(thread_id, "thread_id")


def deletes_all(strategy: str) -> bool:
    """Whether a strategy of `prune` keeps nothing.

    Raises:
        CheckpointQueryError: There is no such strategy.
    """
    if strategy not in get_args(PruneStrategy):
        raise CheckpointQueryError(
            f"prune knows no strategy {strategy!r}, but {' and '.join(map(repr, get_args(PruneStrategy)))}"
        )
    return strategy == "delete"


def require_limit(limit: int | None) -> None:
    """Refuses a limit that makes no sense.

    Raises:
        CheckpointQueryError: It is negative, or not a whole number.
    """
    if limit is not None and (type(limit) is not int or limit < 0):
        raise CheckpointQueryError(f"limit is a whole number and must not be negative: {limit!r}")
