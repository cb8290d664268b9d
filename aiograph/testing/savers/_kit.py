"""What the tests of a saver are made with: its verbs in one colour, checkpoints, and names that are traps."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar, Literal, TypeAlias

import pytest

from aiograph import _ids
from aiograph.checkpoint.base import (
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    ThreadInfo,
    config_for,
)
from aiograph.types import RunnableConfig

Colour: TypeAlias = Literal["async", "sync"]

HOSTILE = (
    "'; DROP TABLE checkpoints; --",
    'a"b',
    "a%",
    "a_",
    "$.step",
    "\\",
    "ключ 🔑",
    "a.b",
    "a[0]",
    "a\nb",
)
"""Text that means something to some parser or other; as a name or a key, it is just text."""

UNSTORABLE = ("a\0b", "a\ud800b")
"""Text that one database or another cannot hold: PostgreSQL knows no NUL, and nobody lone surrogates."""


def make_checkpoint(
    values: Mapping[str, Any], *, versions: ChannelVersions | None = None, after: str | None = None
) -> Checkpoint:
    """A checkpoint with these values.

    Args:
        values: Channel values.
        versions: Channel versions; 1 for each value if left out.
        after: The id of its parent.
    """
    return Checkpoint(
        v=1,
        id=_ids.checkpoint_id(after=after),
        ts=_ids.now_iso(),
        channel_values=dict(values),
        channel_versions=dict.fromkeys(values, 1) if versions is None else versions,
        versions_seen={"node": dict.fromkeys(values, 1)},
        updated_channels=sorted(values),
    )


class Verbs:
    """The verbs of a saver in one colour; the synchronous ones are called on worker threads."""

    def __init__(self, saver: BaseCheckpointSaver, colour: Colour) -> None:
        self.saver = saver
        self._is_sync = colour == "sync"

    async def __call__(self, verb: str, *args: Any, **kwargs: Any) -> Any:
        """Calls a verb by its synchronous name."""
        if self._is_sync:
            return await asyncio.to_thread(getattr(self.saver, verb), *args, **kwargs)
        return await getattr(self.saver, f"a{verb}")(*args, **kwargs)

    async def get(self, config: RunnableConfig) -> CheckpointTuple:
        """The tuple, which has to be there."""
        found = await self("get_tuple", config)
        assert found is not None, f"nothing is stored at {config}"
        assert isinstance(found, CheckpointTuple)
        return found

    async def listed(self, config: RunnableConfig | None, **query: Any) -> list[CheckpointTuple]:
        """All that `list` yields."""
        if self._is_sync:
            return await asyncio.to_thread(lambda: list(self.saver.list(config, **query)))
        return [found async for found in self.saver.alist(config, **query)]

    async def threads(self, **query: Any) -> list[ThreadInfo]:
        """All that `list_threads` yields."""
        if self._is_sync:
            return await asyncio.to_thread(lambda: list(self.saver.list_threads(**query)))
        return [found async for found in self.saver.alist_threads(**query)]

    async def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata | None = None,
        new_versions: ChannelVersions | None = None,
    ) -> RunnableConfig:
        """Puts a checkpoint whose values are all new, unless told otherwise."""
        changed = checkpoint["channel_versions"] if new_versions is None else new_versions
        stored: RunnableConfig = await self("put", config, checkpoint, metadata or {}, changed)
        return stored

    async def put_chain(
        self, thread_id: str, length: int, namespace: str = "", extra: Mapping[str, Any] | None = None
    ) -> list[RunnableConfig]:
        """Puts a line of checkpoints, numbered by the channel `n` and by `step`; oldest first."""
        configs: list[RunnableConfig] = []
        for step in range(length):
            parent = configs[-1] if configs else config_for(thread_id, namespace)
            checkpoint = make_checkpoint({"n": step}, versions={"n": step + 1}, after=_id(parent))
            metadata: Any = {"source": "loop", "step": step, **(extra or {})}
            configs.append(await self.put(parent, checkpoint, metadata))
        return configs


def _id(config: RunnableConfig) -> Any:
    return config["configurable"].get("checkpoint_id")


def ids_of(found: Iterable[CheckpointTuple]) -> list[str]:
    return [each.checkpoint["id"] for each in found]


def steps_of(found: Iterable[CheckpointTuple]) -> list[Any]:
    return [each.metadata.get("step") for each in found]


@pytest.mark.anyio
class Part(ABC):
    """Some of the tests that make up the contract, and what they start from."""

    can_withdraw: ClassVar[bool] = True
    """Whether the saver defines `withdraw_writes`; what `BaseCheckpointSaver` does in its place is poorer."""

    can_hold: ClassVar[bool] = True
    """Whether the saver notices that two runs work on one thread: by `ahold`, and what takes a hold."""

    can_compare: ClassVar[bool] = True
    """Whether its filters know comparisons and times, and not only what is equal."""

    keeps_house: ClassVar[bool] = True
    """Whether the saver defines `list_threads`, `delete_for_runs`, `copy_thread` and `prune`."""

    refuses_names: ClassVar[bool] = True
    """Whether names that some database cannot hold are refused; a saver may hold them instead."""

    @abstractmethod
    def open_saver(self) -> AbstractAsyncContextManager[BaseCheckpointSaver]:
        """An empty saver; left when the test is over."""

    @pytest.fixture
    async def saver(self) -> AsyncIterator[BaseCheckpointSaver]:
        """The saver under test."""
        async with self.open_saver() as saver:
            yield saver

    @pytest.fixture(params=["async", "sync"])
    def verbs(self, saver: BaseCheckpointSaver, request: pytest.FixtureRequest) -> Verbs:
        """Its verbs in one colour."""
        return Verbs(saver, request.param)

    @pytest.fixture
    def house(self, verbs: Verbs) -> Verbs:
        """The same, for tests of keeping house."""
        if not self.keeps_house:
            pytest.skip("the saver leaves out list_threads, delete_for_runs, copy_thread and prune")
        return verbs
