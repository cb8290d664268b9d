"""What there is where a run starts: its state as it is stored, and what is kept beside it."""

from collections.abc import Sequence
from typing import NamedTuple

from aiograph.checkpoint.base import ChannelVersions, CheckpointTuple, PendingWrite
from aiograph.errors import CheckpointQueryError
from aiograph.pregel._backlog import Storage
from aiograph.pregel._changes import NO_CHANGES, Changes, is_current
from aiograph.pregel._migrate import Migrate, fitted
from aiograph.pregel._place import Place
from aiograph.pregel._plan import Plan
from aiograph.pregel._snapshot import open_questions
from aiograph.pregel._state import RunState, fresh_state, passing_state, restored_state
from aiograph.pregel._stateful import look_up
from aiograph.types import Interrupt


class Found(NamedTuple):
    """What there is where a run starts."""

    saved: CheckpointTuple | None
    state: RunState
    storage: Storage | None
    is_resumed: bool = False
    """Whether a nested run was broken off here, or has ended, and the same task asks for it again."""
    versions: ChannelVersions | None = None
    """Those of what is stored, if what is loaded was changed to fit the graph."""
    changes: Changes = NO_CHANGES
    """What of it does not fit the graph."""

    @property
    def kept(self) -> Sequence[PendingWrite]:
        """All writes beside the checkpoint."""
        return () if self.saved is None else self.saved.pending_writes or ()

    @property
    def is_past(self) -> bool:
        """Whether the thread has left the checkpoint behind."""
        return self.storage is not None and self.storage.hold.is_behind

    @property
    def pending(self) -> Sequence[PendingWrite]:
        """What finished tasks have written; in a past that the thread has left behind, they run again."""
        return () if self.is_past else self.kept

    @property
    def questions(self) -> Sequence[Interrupt]:
        """What is asked and not answered; where tasks run again, what they have asked before."""
        return open_questions(self.kept, again=self.is_past)


def nothing(plan: Plan, place: Place) -> Found:
    """What there is for a run of which nothing is kept."""
    return Found(None, passing_state(plan, place.nested), None)


async def find(plan: Plan, place: Place, migrate: Migrate | None) -> Found:
    if place.saver is None or place.thread_id is None:
        return nothing(plan, place)
    if place.caller is not None:
        saved, hold, is_resumed = await look_up(place, place.saver, place.caller)
    else:
        saved, hold = await place.saver.ahold(place.config)
        is_resumed = saved is not None and place.is_of_call
    storage = Storage(place.saver, hold, place.thread_id)
    if saved is None:
        return Found(None, fresh_state(plan, place.namespace), storage, is_resumed)
    if is_current(plan, saved.checkpoint):
        return Found(
            saved,
            restored_state(plan, saved.checkpoint, saved.metadata, place.namespace),
            storage,
            is_resumed,
        )
    fit = fitted(plan, saved, migrate)
    versions = saved.checkpoint["channel_versions"]
    return Found(fit.saved, fit.state(plan, place.namespace), storage, is_resumed, versions, fit.changes)


def require_named(found: Found, place: Place) -> None:
    """Refuses a start from a checkpoint that is not there: the thread would begin anew, without a word.

    Raises:
        CheckpointQueryError: It is not.
    """
    if found.saved is None and place.checkpoint_id is not None:
        within = f" in namespace {place.namespace!r}" if place.namespace else ""
        raise CheckpointQueryError(
            f"thread {place.thread_id!r} has no checkpoint {place.checkpoint_id!r}{within}: it may have been "
            "removed; name one that get_state_history shows, or none, to go on with the newest"
        )
