"""Which question an answer is for."""

from typing import Any

import pytest

from aiograph.constants import ERROR, INTERRUPT, RESUME
from aiograph.errors import UnknownInterruptError
from aiograph.pregel._answers import answers_in, require_saver
from aiograph.pregel._fork import moved
from aiograph.pregel._snapshot import open_questions
from aiograph.types import Command, Interrupt

ONE, TWO = Interrupt("one?", "1" * 32), Interrupt("two?", "2" * 32)


@pytest.mark.parametrize("input", [None, {}, {"resume": 1}, Command()])
def test_what_is_no_answer_answers_nothing(input: Any) -> None:
    assert answers_in(input, [ONE]) == {}


@pytest.mark.parametrize("value", ["yes", 0, False, {"key": 1}, {1: 2}, {"1" * 31: 1}, {"g" * 32: 1}])
def test_any_other_value_answers_the_one_question_that_is_open(value: Any) -> None:
    assert answers_in(Command(resume=value), [ONE]) == {ONE.id: value}


def test_a_dict_of_ids_answers_the_questions_that_it_names() -> None:
    assert answers_in(Command(resume={TWO.id: "b"}), [ONE, TWO]) == {TWO.id: "b"}


def test_a_dict_with_one_other_key_is_an_answer_itself() -> None:
    value = {ONE.id: "a", "comment": "b"}
    assert answers_in(Command(resume=value), [ONE]) == {ONE.id: value}


@pytest.mark.parametrize(
    ("resume", "questions", "reason", "answered"),
    [
        ("yes", [], "not_pending", ()),
        ("yes", [ONE, TWO], "ambiguous", ()),
        ({}, [ONE], "empty_map", ()),
        ({TWO.id: "b"}, [ONE], "not_pending", (TWO.id,)),
        ({ONE.id: "a", TWO.id: "b"}, [ONE], "not_pending", (TWO.id,)),
    ],
)
def test_an_answer_that_fits_no_question_tells_why(
    resume: Any, questions: list[Interrupt], reason: str, answered: tuple[str, ...]
) -> None:
    with pytest.raises(UnknownInterruptError) as caught:
        answers_in(Command(resume=resume), questions)
    error = caught.value
    assert (error.reason, error.interrupt_ids) == (reason, answered)
    assert error.pending_ids == tuple(question.id for question in questions)


def test_the_message_lists_what_is_open() -> None:
    with pytest.raises(UnknownInterruptError, match=f"{ONE.id} .'one.'., {TWO.id} .'two.'."):
        answers_in(Command(resume="yes"), [ONE, TWO])


def test_what_else_a_command_does_is_no_answer() -> None:
    assert answers_in(Command(update={"a": 1}, goto="a"), [ONE]) == {}
    assert answers_in(Command(update={"a": 1}, goto="a", resume=1), [ONE]) == {ONE.id: 1}


def test_without_a_saver_only_answers_are_refused() -> None:
    require_saver({"a": 1}, "graph")
    require_saver(Command(), "graph")
    with pytest.raises(UnknownInterruptError, match="graph 'graph' has no checkpointer"):
        require_saver(Command(resume=1), "graph")


# -- what is open, by what is stored -------------------------------------------------------------------


def asked(task: str, *questions: Interrupt) -> tuple[str, str, Any]:
    return (task, INTERRUPT, list(questions))


def test_a_question_is_open_until_it_is_answered() -> None:
    assert open_questions([asked("t", ONE, TWO)], again=False) == [ONE, TWO]
    assert open_questions([asked("t", ONE, TWO), ("t", RESUME, {ONE.id: "a"})], again=False) == [TWO]


def test_a_question_is_not_open_once_its_task_has_finished() -> None:
    pending = [asked("t", ONE), asked("u", TWO), ("t", "log", "written"), ("u", ERROR, "broken")]
    assert open_questions(pending, again=False) == [TWO]


def test_where_tasks_run_again_all_that_was_asked_last_is_open() -> None:
    pending = [asked("t", ONE), ("t", RESUME, {ONE.id: "a"}), ("t", "log", "written")]
    assert open_questions(pending, again=True) == [ONE]


def test_at_a_copy_questions_and_earlier_answers_have_new_names() -> None:
    names = {ONE.id: "3" * 32, TWO.id: "4" * 32}
    pending = [asked("t", TWO), ("t", RESUME, {ONE.id: "a", TWO.id: "b"}), ("t", "log", "written")]
    assert moved(pending, names, {"t": "u"}) == [
        ("u", INTERRUPT, [Interrupt("two?", "4" * 32)]),
        ("u", RESUME, {"3" * 32: "a"}),
    ]
