"""What is kept of tasks that did not finish: what they have asked, and what went wrong."""

from collections.abc import Sequence

from aiograph._interrupt import refused_answers
from aiograph.pregel._journal import Journal
from aiograph.pregel._tasks import Task


def keep_unfinished(journal: Journal | None, tasks: Sequence[Task]) -> None:
    """Keeps what went wrong, and what tasks have asked although others failed."""
    if journal is None:
        return
    for task in tasks:
        if task.questions:
            journal.record_questions(task)
        elif task.error is not None:
            journal.record_failure(task)
            _reopen(journal, task, refused_answers(task.error))


def _reopen(journal: Journal, task: Task, questions: frozenset[str]) -> None:
    """Takes back answers that did not fit, so that the questions are open again."""
    if questions:
        task.answers = {each: answer for each, answer in task.answers.items() if each not in questions}
        journal.record_answers(task)
