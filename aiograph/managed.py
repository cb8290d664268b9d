"""Managed values: state keys that the run computes for a node and that are never written or stored.

A managed value is declared by annotation, beside the other keys of a state schema, and shows up in what a
node of that schema receives. It depends on one number only: how many supersteps may still follow.

Example:
    >>> from typing import TypedDict
    >>> from aiograph.managed import RemainingSteps
    >>> class State(TypedDict):
    ...     draft: str
    ...     remaining: RemainingSteps
    >>> def write(state: State) -> dict[str, str]:
    ...     return {"draft": "in a hurry" if state["remaining"] < 2 else "at leisure"}
"""

from abc import ABC, abstractmethod
from typing import Annotated, Generic, TypeVar

__all__ = ["IsLastStep", "IsLastStepManager", "ManagedValue", "RemainingSteps", "RemainingStepsManager"]

V = TypeVar("V")


class ManagedValue(ABC, Generic[V]):
    """What stands behind a managed key: put the class into the key's `Annotated`."""

    @staticmethod
    @abstractmethod
    def get(remaining: int) -> V:
        """The value in a superstep after which `remaining` more are allowed by the `recursion_limit`.

        With `recursion_limit=5` the first node sees `remaining=4`, the last possible one `remaining=0`.
        """


class IsLastStepManager(ManagedValue[bool]):
    """Computes `IsLastStep`."""

    @staticmethod
    def get(remaining: int) -> bool:
        return remaining <= 0


class RemainingStepsManager(ManagedValue[int]):
    """Computes `RemainingSteps`."""

    @staticmethod
    def get(remaining: int) -> int:
        return remaining


IsLastStep = Annotated[bool, IsLastStepManager]
"""Whether the `recursion_limit` allows no superstep after this one."""

RemainingSteps = Annotated[int, RemainingStepsManager]
"""How many supersteps the `recursion_limit` allows after this one."""
