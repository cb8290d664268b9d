"""Synchronous verbs derived from asynchronous ones: what they are called, take, say and return."""

import asyncio
import inspect
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from aiograph.bridge import blocking, blocking_cm, blocking_iter
from tests.bridge.kit import chain, promptly


class Toy:
    def __init__(self) -> None:
        self.log: list[str] = []

    async def aadd(self, /, one: int, *more: int, times: int = 1, **names: int) -> int:
        """Adds numbers.

        Args:
            one: The first.
        """
        return (one + sum(more) + sum(names.values())) * times

    async def acount(self, end: int, *, start: int = 0) -> AsyncIterator[int]:
        """Counts."""
        try:
            for number in range(start, end):
                yield number
        finally:
            self.log.append("closed")

    async def asay(self, word: str) -> str:
        return word

    add = blocking(aadd)
    count = blocking_iter(acount)
    say = blocking(asay)


@asynccontextmanager
async def aopened(log: list[str], *, fails: str = "") -> AsyncIterator[str]:
    """Opens a thing."""
    task = asyncio.current_task()
    log.append("enter")
    try:
        if fails == "enter":
            raise ValueError("it is stuck")
        yield "the thing"
    except KeyError:
        log.append("swallowed")
    finally:
        log.append(f"exit in the same task: {asyncio.current_task() is task}")


opened = blocking_cm(aopened)


# -- blocking --------------------------------------------------------------------------------------


def test_a_twin_passes_all_kinds_of_arguments_and_returns_the_result() -> None:
    assert Toy().add(1, 2, 3, times=10, four=4) == 100


def test_a_twin_raises_what_the_work_raises() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'word'"):
        Toy().say()  # type: ignore[call-overload]  # that is the point


def test_a_twin_bears_the_name_without_its_a() -> None:
    assert (Toy.add.__name__, Toy.add.__qualname__) == ("add", "Toy.add")  # type: ignore[attr-defined]
    assert Toy.add.__module__ == __name__


def test_a_twin_has_the_parameters_of_its_verb_and_a_timeout_before_further_keywords() -> None:
    parameters = inspect.signature(Toy.add).parameters
    assert list(parameters) == ["self", "one", "more", "times", "timeout", "names"]
    assert parameters["timeout"].kind is inspect.Parameter.KEYWORD_ONLY
    assert parameters["timeout"].default is None
    assert list(inspect.signature(Toy.say).parameters) == ["self", "word", "timeout"]


@pytest.mark.parametrize(
    ("twin", "advice"),
    [
        (Toy.add, "`await aadd(...)`"),
        (Toy.count, "`async for ... in acount(...)`"),
        (opened, "`async with aopened(...)`"),
    ],
)
def test_the_documentation_names_the_asynchronous_verb_and_keeps_its_text(twin: Any, advice: str) -> None:
    doc = inspect.getdoc(twin)
    assert doc is not None
    assert doc.splitlines()[0].endswith(f"from a coroutine, use {advice}.")
    assert doc.splitlines()[-1].strip() in ("Counts.", "Opens a thing.", "one: The first.")


def test_a_subclass_that_overrides_the_verb_changes_the_twin() -> None:
    class Loud(Toy):
        async def asay(self, word: str) -> str:
            return word.upper()

        async def acount(self, end: int, *, start: int = 0) -> AsyncIterator[int]:
            yield -1

    assert Loud().say("hello") == "HELLO"
    assert list(Loud().count(3)) == [-1]


def test_an_instance_attribute_changes_the_twin() -> None:
    async def asay(word: str) -> str:
        return "replaced"

    toy = Toy()
    toy.asay = asay  # type: ignore[method-assign]  # what a user who patches one verb does
    assert toy.say("hello") == "replaced"


def test_a_subclass_that_overrides_the_twin_reaches_the_verb_of_its_parent_by_way_of_super() -> None:
    class Loud(Toy):
        def say(self, word: str) -> str:  # type: ignore[override]  # without the timeout
            return super().say(word).upper()

        async def asay(self, word: str) -> str:  # made from the twin, as savers do it
            return await asyncio.to_thread(self.say, word)

        def count(self, end: int) -> Iterator[int]:  # type: ignore[override]
            yield from super().count(end)

        async def acount(self, end: int, *, start: int = 0) -> AsyncIterator[int]:
            for number in await asyncio.to_thread(list, self.count(end)):
                yield number

    assert promptly(lambda: Loud().say("hello")) == "HELLO"
    assert promptly(lambda: asyncio.run(Loud().asay("hello"))) == "HELLO"
    assert promptly(lambda: list(Loud().count(3))) == [0, 1, 2]


def test_a_twin_can_be_called_through_its_class() -> None:
    assert Toy.say(Toy(), "hello") == "hello"


def test_the_work_runs_on_the_loop_of_one_thread_that_is_reused() -> None:
    class Where:
        async def awhere(self) -> tuple[int, int]:
            return threading.get_ident(), id(asyncio.get_running_loop())

        where = blocking(awhere)

    first, second = Where().where(), promptly(lambda: Where().where())
    assert first == second
    assert first[0] != threading.get_ident()


def test_the_verbs_of_a_graph_are_twins() -> None:
    graph = chain(lambda state: {"value": state["value"] + 1})
    assert "timeout" in inspect.signature(graph.invoke).parameters
    assert graph.invoke({"value": 1}, timeout=60) == {"value": 2}
    assert list(graph.stream({"value": 1}, timeout=60)) == [{"node_0": {"value": 2}}]


# -- blocking_iter ---------------------------------------------------------------------------------


def test_an_iterator_yields_every_item_in_order() -> None:
    assert list(Toy().count(1000, start=1)) == list(range(1, 1000))


def test_an_iterator_is_its_own_iterator_and_stays_exhausted() -> None:
    numbers = Toy().count(1)
    assert iter(numbers) is numbers
    assert list(numbers) == [0]
    assert list(numbers) == []


def test_nothing_runs_before_the_first_item_is_asked_for() -> None:
    toy = Toy()
    numbers = toy.count(3)
    numbers.close()
    assert toy.log == []
    assert list(numbers) == []


def test_an_iterator_yields_what_there_was_before_an_error_and_then_raises_it_once() -> None:
    class Broken:
        async def aitems(self) -> AsyncIterator[int]:
            yield 1
            yield 2
            raise ValueError("no more")

        items = blocking_iter(aitems)

    items = Broken().items()
    assert [next(items), next(items)] == [1, 2]
    with pytest.raises(ValueError, match="no more"):
        next(items)
    assert list(items) == []


def test_a_verb_that_cannot_be_called_says_so_at_the_first_item() -> None:
    numbers: Iterator[int] = Toy().count()  # type: ignore[call-overload]  # that is the point
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'end'"):
        next(numbers)


def test_leaving_the_block_of_an_iterator_ends_the_work() -> None:
    toy = Toy()
    with toy.count(10**9) as numbers:
        assert next(numbers) == 0
    assert toy.log == ["closed"]
    assert list(numbers) == []


# -- blocking_cm -----------------------------------------------------------------------------------


def test_a_context_is_entered_and_left_in_one_task() -> None:
    log: list[str] = []
    with opened(log) as thing:
        assert thing == "the thing"
        log.append("body")
    assert log == ["enter", "body", "exit in the same task: True"]


def test_an_error_while_entering_reaches_the_caller() -> None:
    log: list[str] = []
    with pytest.raises(ValueError, match="it is stuck"), opened(log, fails="enter"):
        log.append("body")
    assert "body" not in log


def test_an_error_in_the_block_passes_through_the_context_manager() -> None:
    log: list[str] = []
    with pytest.raises(LookupError, match="in the body"), opened(log):
        raise LookupError("in the body")
    assert log == ["enter", "exit in the same task: True"]


def test_a_context_manager_may_swallow_the_error_of_the_block() -> None:
    log: list[str] = []
    with opened(log):
        dict[str, int]()["nothing"]
    assert log == ["enter", "swallowed", "exit in the same task: True"]


def test_the_twin_of_a_context_manager_bears_the_name_without_its_a() -> None:
    assert opened.__name__ == "opened"
    assert list(inspect.signature(opened).parameters) == ["log", "fails"]


class Ready:
    """Its verbs never wait, or so it says."""

    needs_no_loop = True

    async def aecho(self, word: str) -> str:
        return f"{word} on {threading.current_thread().name}"

    async def await_turn(self) -> None:
        await asyncio.sleep(0)

    async def afail(self) -> None:
        raise LookupError("nothing")

    echo = blocking(aecho)
    wait_turn = blocking(await_turn)
    fail = blocking(afail)


def test_what_needs_no_loop_is_done_on_the_spot() -> None:
    here = f"x on {threading.current_thread().name}"
    assert Ready().echo("x") == here
    with pytest.raises(LookupError, match="nothing"):
        Ready().fail()


async def test_what_needs_no_loop_may_be_called_on_one() -> None:
    assert Ready().echo("x", timeout=1).startswith("x on")


def test_who_wrongly_says_that_it_needs_no_loop_is_found_out() -> None:
    with pytest.raises(RuntimeError, match="await_turn waits"):
        Ready().wait_turn()
