"""The stages of a superstep, as the loop calls them: replaceable as a whole, for a run that is measured."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Stages:
    """What the loop does in each superstep, in this order."""

    plan: Callable[..., Any]
    """Which tasks are due."""
    room: Callable[..., Awaitable[None]]
    """Holds the run back while those who listen are slow; not called otherwise."""
    superstep: Callable[..., Awaitable[None]]
    """The stages below."""
    execute: Callable[..., Awaitable[bool]]
    """Tells whether all tasks have finished."""
    apply: Callable[..., Any]
    """Makes what the tasks have written the next state, or raises and leaves it as it is."""
    keep: Callable[..., Awaitable[None]]
    """Hands a checkpoint to the journal; not called where nothing is kept."""
    show: Callable[..., None]
    """Tells those who listen."""
    close: Callable[..., Awaitable[None]]
    """Once per run: what was handed to the journal is stored."""
