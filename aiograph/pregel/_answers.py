"""Answers to the questions that stopped a run: which question each is for. Pure."""

from collections.abc import Mapping, Sequence
from string import hexdigits
from typing import Any

from aiograph.errors import UnknownInterruptError
from aiograph.types import Command, Interrupt

_NOBODY: Mapping[str, Any] = {}


def answers_in(input: Any, questions: Sequence[Interrupt]) -> Mapping[str, Any]:
    """The answers that an input gives, by the questions' ids.

    Args:
        input: What a run was called with.
        questions: The questions that are open.

    Raises:
        UnknownInterruptError: An answer is to no open question, or to one of several.
    """
    if not isinstance(input, Command) or input.resume is None:
        return _NOBODY
    given = input.resume
    if isinstance(given, dict) and all(map(_is_id, given)):
        return _by_id(given, questions)
    if len(questions) != 1:
        raise _refused(given, questions)
    return {questions[0].id: given}


def is_answer(input: Any) -> bool:
    """Whether an input answers something."""
    return isinstance(input, Command) and input.resume is not None


def require_saver(input: Any, graph: str) -> None:
    """Refuses an answer where nothing is kept that could be gone on with.

    Raises:
        UnknownInterruptError: It is one.
    """
    if is_answer(input):
        raise UnknownInterruptError(
            f"graph {graph!r} has no checkpointer, so no question is kept that could be answered: "
            "compile it with one",
            "not_pending",
            (),
            (),
        )


def _is_id(key: object) -> bool:
    return isinstance(key, str) and len(key) == 32 and all(digit in hexdigits for digit in key)


def _by_id(given: dict[str, Any], questions: Sequence[Interrupt]) -> Mapping[str, Any]:
    pending = [question.id for question in questions]
    if not given:
        raise UnknownInterruptError("resume={} answers nothing: pass an answer", "empty_map", (), pending)
    unknown = [each for each in given if each not in pending]
    if unknown:
        raise UnknownInterruptError(
            f"nobody waits for an answer to {unknown}; open questions are {_told(questions)}",
            "not_pending",
            unknown,
            pending,
        )
    return given


def _refused(given: Any, questions: Sequence[Interrupt]) -> UnknownInterruptError:
    pending = [question.id for question in questions]
    if not questions:
        text = f"resume={given!r:.80} answers no question: none is open on this thread"
        return UnknownInterruptError(text, "not_pending", (), pending)
    return UnknownInterruptError(
        f"resume={given!r:.80} could be meant for each of {len(questions)} questions: pass a dict of "
        f"answers by id; open are {_told(questions)}",
        "ambiguous",
        (),
        pending,
    )


def _told(questions: Sequence[Interrupt]) -> str:
    return ", ".join(f"{each.id} ({each.value!r:.60})" for each in questions) or "none"
