"""Supersteps that are made from outside: what `update_state` and `bulk_update_state` do.

A superstep is one or several updates, each in the name of a node; or one in the name of something that is
no node: `END` drops what is left to do, `INPUT` is new input, `COPY` clones the checkpoint. All supersteps
are made before the first one is stored, so one that does not fit leaves nothing behind.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from aiograph.constants import COPY, END, INPUT
from aiograph.errors import AiographError, InvalidUpdateError
from aiograph.pregel._journal import Journal
from aiograph.pregel._open import Base
from aiograph.pregel._start import take_input
from aiograph.pregel._update import apply_updates, drop_tasks
from aiograph.types import Command, RunnableConfig, StateUpdate


def checked_supersteps(supersteps: Sequence[Sequence[StateUpdate]]) -> list[list[StateUpdate]]:
    """The supersteps, tuples made into updates.

    Raises:
        InvalidUpdateError: There are none, or one is empty, or updates that cannot go together are in one.
    """
    checked = [[StateUpdate(*update) for update in superstep] for superstep in supersteps]
    if not checked or not all(checked):
        raise InvalidUpdateError(
            "there is nothing to update: pass at least one superstep, and in each at least one StateUpdate"
        )
    for number, superstep in enumerate(checked):
        _check_company(superstep)
        if number and superstep[0].as_node == COPY:
            raise InvalidUpdateError(
                f"as_node={COPY!r} clones the checkpoint that the config names, so it comes first: "
                f"it is in superstep {number + 1}"
            )
    return checked


def _check_company(superstep: Sequence[StateUpdate]) -> None:
    if len(superstep) == 1:
        return
    for update in superstep:
        if update.as_node in _NO_NODES:
            raise InvalidUpdateError(
                f"as_node={update.as_node!r} is a superstep of its own: pass the other "
                f"{len(superstep) - 1} updates in another one"
            )
        if update.as_node is None and update.task_id is None:
            raise InvalidUpdateError(
                f"of {len(superstep)} updates in one superstep each needs as_node or task_id, "
                f"and {update.values!r:.60} has neither"
            )


async def revise(base: Base, supersteps: Sequence[Sequence[StateUpdate]]) -> RunnableConfig:
    """Makes supersteps, one upon the other, stores them, and names the last one's checkpoint.

    Raises:
        InvalidUpdateError: One does not fit; nothing is stored.
    """
    journal = _journal(base)
    journal.keep_back()
    for number, updates in enumerate(supersteps, 1):
        try:
            await _make(base, updates)
        except AiographError as error:
            if len(supersteps) > 1:
                error.add_note(f"in superstep {number} of {len(supersteps)}; none of them is stored")
            raise
        base = Base(base.run, (), None, is_past=False)
    await journal.release()
    return journal.mapped_config


async def keep_change(base: Base) -> RunnableConfig:
    """Keeps a state that was changed from outside, and names the checkpoint."""
    journal = _journal(base)
    await journal.commit("update", ())  # no task of the checkpoint before has made the change
    await journal.close()
    return journal.mapped_config


def _journal(base: Base) -> Journal:
    assert base.run.journal is not None
    return base.run.journal


async def _make(base: Base, updates: Sequence[StateUpdate]) -> None:
    kind = _NO_NODES.get(updates[0].as_node or "")
    if kind is None:
        return await _update(base, updates)
    if updates[0].task_id is not None:
        raise InvalidUpdateError(f"as_node={updates[0].as_node!r} stands for no task: leave out task_id")
    await kind(base, updates[0].values)


async def _update(base: Base, updates: Sequence[StateUpdate]) -> None:
    if tuple(updates[0]) == (None, None, None):
        _require_checkpoint(base, "nothing that could be gone on with")
        updates = ()
    tasks = await apply_updates(base.run, updates, base.pending)
    # what a past has written, or has not, is history
    await _journal(base).commit("update", () if base.is_past else tasks)


async def _end(base: Base, values: Any) -> None:
    if values is not None:
        raise InvalidUpdateError(
            f"as_node={END!r} drops what is left to do, and takes no values: pass None, or the name of a node"
        )
    _require_checkpoint(base, "nothing left to do")
    drop_tasks(base.run, base.pending)
    await _journal(base).commit("update", ())


async def _take(base: Base, values: Any) -> None:
    if values is None or isinstance(values, Command):
        raise InvalidUpdateError(f"as_node={INPUT!r} takes an input, not {values!r:.60}")
    take_input(base.run.plan, base.run.state, values)
    await _journal(base).commit("input", ())


async def _copy(base: Base, values: Any) -> None:
    _require_checkpoint(base, "nothing to copy")
    updates = _following(values)
    _journal(base).clone(base.parent_id)
    if updates:
        await _update(Base(base.run, (), None, is_past=False), updates)


def _following(values: Any) -> list[StateUpdate]:
    """The updates that a copy comes with, which make a superstep of their own."""
    if values is None:
        return []
    if not isinstance(values, list | tuple) or not all(isinstance(each, tuple) for each in values):
        raise InvalidUpdateError(
            f"as_node={COPY!r} takes None, or a list of (values, as_node) for the superstep after the copy, "
            f"not {values!r:.60}"
        )
    (updates,) = checked_supersteps([values])
    if updates[0].as_node in _NO_NODES:
        raise InvalidUpdateError(
            f"a copy may be followed by updates in the name of nodes, not of {updates[0].as_node!r}: "
            "use bulk_update_state"
        )
    return updates


def _require_checkpoint(base: Base, lack: str) -> None:
    if base.run.state.checkpoint_id is None:
        raise InvalidUpdateError(
            f"the thread has no checkpoint, so there is {lack}: "
            f"pass values and as_node, or as_node={INPUT!r} to start it"
        )


_NO_NODES: Mapping[str, Callable[[Base, Any], Awaitable[None]]] = {END: _end, INPUT: _take, COPY: _copy}
"""What an update in a name that is no node's does."""
