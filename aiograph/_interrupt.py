"""Questions that code inside a run asks, and how they travel out of it.

The n-th call of `interrupt` in a task asks the task's n-th question. A question's id depends on the task and
on n alone, so when the task runs again it finds the answers to the questions that it asks again.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

from aiograph._context import require_task
from aiograph.errors import InvalidResumeError, MissingExtraError


@dataclass(frozen=True, slots=True)
class Interrupt:
    """A question that a node asked, waiting for an answer."""

    value: Any
    id: str = ""
    response_schema: Any = field(default=None, kw_only=True)
    """A JSON schema of the answer, if the node gave one."""


class Interrupted(BaseException):
    """Ends an attempt at a task that waits for answers, or for the run nested in it to be gone on with.

    Not an `Exception`, so that a node's `except Exception` does not swallow it.
    """

    def __init__(self, questions: Sequence[Interrupt], *, is_drained: bool = False) -> None:
        self.questions = tuple(questions)
        self.is_drained = is_drained
        """Whether it waits for nothing but to be gone on with after a drain."""
        super().__init__(self.questions)


def interrupt(value: Any, *, response_schema: Any = None) -> Any:
    """Asks whoever runs the graph, and returns the answer.

    Without an answer the run stops here: what the other tasks of the superstep do is finished and kept, and
    the run returns with the question under `"__interrupt__"`. `graph.invoke(Command(resume=answer), config)`
    runs the node again from its first line, and this call returns the answer. So what comes before it
    happens twice; calls of `interrupt` are matched with their answers in the order in which they are made.

    Args:
        value: What is asked; it has to be storable.
        response_schema: What the answer has to look like: a type, which validates it (needs pydantic; the
            validated object is returned), or a JSON schema, which is only shown to whoever answers.

    Raises:
        OutsideRunError: Called outside of a run.
        InvalidResumeError: The answer does not fit; the question stays open.
    """
    scope = require_task("interrupt()")
    question = question_id(scope.id, scope.acting().next_question())
    answers = scope.answers
    if question not in answers:
        asked = Interrupt(value, question, response_schema=_shown(response_schema))
        scope.acting().stop((asked,))
        raise Interrupted((asked,))
    # the node may change what it gets; when it runs again, it gets what was answered
    return _checked(deepcopy(answers[question]), response_schema, question)


def question_id(task_id: str, place: int) -> str:
    """The id of a task's question; 32 hexadecimal digits."""
    from aiograph import _ids

    return _ids.digest_id((task_id, "interrupt", str(place))).replace("-", "")


def refused_answers(error: BaseException) -> frozenset[str]:
    """The ids of the questions whose answers did not fit, if that is what an error is about."""
    if isinstance(error, InvalidResumeError):
        return frozenset(error.interrupt_ids)
    parts = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    causes = () if error.__cause__ is None else (error.__cause__,)
    return frozenset().union(*map(refused_answers, (*parts, *causes)))


def _shown(schema: Any) -> Any:
    if schema is None or isinstance(schema, dict):
        return schema
    return _adapter(schema).json_schema()


def _checked(answer: Any, schema: Any, question: str) -> Any:
    if schema is None or isinstance(schema, dict):
        return answer
    try:
        return _adapter(schema).validate_python(answer)
    except ValueError as error:
        raise InvalidResumeError(
            f"the answer to question {question} does not fit its response_schema: {error}; "
            "the question stays open",
            (question,),
        ) from error


def _adapter(schema: Any) -> Any:
    try:
        from pydantic import TypeAdapter
    except ImportError as error:
        raise MissingExtraError("a type as response_schema", "schema") from error
    return TypeAdapter(schema)
