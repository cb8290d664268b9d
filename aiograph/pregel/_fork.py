"""Questions of a superstep that a run goes back to, and what becomes of them at a copy of it. Pure.

A run that goes back to a checkpoint starts from a copy of it: what is asked and answered from there on is
not mixed with what was. At the copy tasks have other ids, and so have their
questions. What a nested graph asked cannot be told under its new id before it is asked again.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from aiograph._interrupt import question_id
from aiograph.checkpoint.base import PendingWrite
from aiograph.constants import INTERRUPT, RESUME
from aiograph.errors import UnknownInterruptError
from aiograph.pregel._tasks import Task


def own_questions(tasks: Sequence[Task], pending: Sequence[PendingWrite]) -> dict[str, tuple[int, int]]:
    """The questions that tasks asked themselves, by id: the number of the task, and that of its question."""
    known = Counter[str]()
    for task_id, channel, value in pending:
        if channel in (INTERRUPT, RESUME):
            known[task_id] += len(value)
    return {
        question_id(task.id, place): (number, place)
        for number, task in enumerate(tasks)
        for place in range(known[task.id])
    }


def require_own(answers: Mapping[str, Any], own: Mapping[str, Any]) -> None:
    """Refuses answers to what nested graphs have asked.

    Raises:
        UnknownInterruptError: There is one.
    """
    foreign = [each for each in answers if each not in own]
    if foreign:
        raise UnknownInterruptError(
            f"{foreign} was asked by a graph or a task inside a node, in a past that the thread has left "
            "behind: go on from that checkpoint with None as input, and answer what is asked then",
            "not_pending",
            foreign,
            list(own),
        )


def new_names(own: Mapping[str, tuple[int, int]], tasks: Sequence[Task]) -> dict[str, str]:
    """What the questions are called at the copy, by what they were called."""
    return {old: question_id(tasks[number].id, place) for old, (number, place) in own.items()}


def moved(
    pending: Sequence[PendingWrite], names: Mapping[str, str], task_ids: Mapping[str, str]
) -> list[PendingWrite]:
    """The questions that were asked last, open again, and the answers to those before, at the copy.

    Args:
        pending: The writes beside the checkpoint that the run goes back to.
        names: The questions' ids at the copy, by the old ones.
        task_ids: The tasks' ids there, by the old ones.
    """
    again = {question.id for _, channel, value in pending if channel == INTERRUPT for question in value}
    return [
        (task_ids[task_id], channel, _moved_value(channel, value, names, again))
        for task_id, channel, value in pending
        if channel in (INTERRUPT, RESUME) and task_id in task_ids
    ]


def _moved_value(channel: str, value: Any, names: Mapping[str, str], again: set[str]) -> Any:
    if channel == INTERRUPT:
        return [replace(question, id=names[question.id]) for question in value if question.id in names]
    return {names[each]: answer for each, answer in value.items() if each in names and each not in again}
