"""A superstep as the engine hands it to a saver: a checkpoint in parts, and what its parent has not.

Most savers keep no more than that, so the whole checkpoint is put together for those who ask for it.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple, Self, cast

from aiograph import _ids
from aiograph.checkpoint._model import (
    FORMAT_VERSION,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    Version,
    VersionsSeen,
    checked_name,
    config_for,
    thread_of,
)
from aiograph.errors import CheckpointSerializationError
from aiograph.types import RunnableConfig


class Facts:
    """What the metadata of all checkpoints of a run have in common.

    Args:
        entries: Neither `source` nor `step` is among them. They do not change.
    """

    __slots__ = ("entries", "stem")

    def __init__(self, entries: Mapping[str, Any]) -> None:
        self.entries = entries
        self.stem: bytes | None = None
        """What a saver has made of them, to go on with at the next superstep."""

    def metadata(self, source: str | None, step: int) -> dict[str, Any]:
        """The metadata of a checkpoint with what it has of its own; without a source that is nothing."""
        own = {} if source is None else {"source": source, "step": step}
        return {**self.entries, **own}


class Superstep(NamedTuple):
    """A checkpoint on its way from the engine to a saver.

    It is the live state: what is kept of it has to be detached, the values and the dicts that they stand in.
    """

    thread_id: str
    namespace: str
    parent_id: str | None
    checkpoint_id: str
    created_at: int
    """Microseconds since 1970, UTC."""
    values: Mapping[str, Any]
    """By channel."""
    versions: Mapping[str, Version]
    seen: VersionsSeen
    updated: list[str] | None
    """The channels that the superstep has changed."""
    new_versions: ChannelVersions
    """Those of the channels whose values differ from the parent's."""
    new_seen: VersionsSeen | None
    """What the nodes have seen that have run since the parent, if that and `new_versions` are all that sets
    the checkpoint apart from it; these dicts do not change any more."""
    facts: Facts
    source: str | None = None
    """Where it comes from; `None`: the facts are all of the metadata."""
    step: int = -1
    ts: str | None = None
    """Its time as text, if that does not follow from `created_at`."""
    v: int = FORMAT_VERSION

    @classmethod
    def of(
        cls,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> Self:
        """A checkpoint that does not come from the engine; the arguments are those of `aput`.

        Raises:
            CheckpointQueryError: A name cannot be stored, or `config` names no thread.
            CheckpointSerializationError: The checkpoint's `ts` is not a time.
        """
        thread_id, namespace, parent_id = thread_of(config)
        moment = _moment(checkpoint)
        return cls(
            thread_id,
            namespace,
            parent_id,
            checked_name(checkpoint["id"], "checkpoint_id"),
            _ids.microseconds(moment),
            checkpoint["channel_values"],
            checkpoint["channel_versions"],
            checkpoint["versions_seen"],
            checkpoint["updated_channels"],
            new_versions,
            None,
            Facts(metadata),
            ts=None if moment.isoformat() == checkpoint["ts"] else checkpoint["ts"],
            v=checkpoint["v"],
        )

    @property
    def config(self) -> RunnableConfig:
        """Names thread, namespace and, as `checkpoint_id`, the parent."""
        return config_for(self.thread_id, self.namespace, self.parent_id)

    @property
    def metadata(self) -> CheckpointMetadata:
        """All of it."""
        return cast(CheckpointMetadata, self.facts.metadata(self.source, self.step))

    def checkpoint(self) -> Checkpoint:
        """The checkpoint: its dicts are new, the values are shared."""
        return Checkpoint(
            v=self.v,
            id=self.checkpoint_id,
            ts=self.ts or _ids.moment_of(self.created_at).isoformat(),
            channel_values={**self.values},
            channel_versions={**self.versions},
            versions_seen={node: {**seen} for node, seen in self.seen.items()},
            updated_channels=None if self.updated is None else [*self.updated],
        )


def _moment(checkpoint: Checkpoint) -> datetime:
    """When a checkpoint was made, in UTC, which is what a time without an offset is in."""
    try:
        moment = datetime.fromisoformat(checkpoint["ts"])
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, TypeError, OverflowError) as error:
        raise CheckpointSerializationError(
            f"checkpoint {checkpoint['id']!r}: ts={checkpoint['ts']!r} is not a time in ISO 8601"
        ) from error
