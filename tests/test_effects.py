"""What an attempt does besides returning: noted as it ends, as a process forks, as garbage is collected."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from typing import Any, TypedDict

import pytest

from aiograph._context import TaskScope
from aiograph._effects import Effects
from aiograph.errors import OutsideRunError
from aiograph.graph import START, MessagesState, StateGraph
from aiograph.graph.message import push_message
from aiograph.messages import AIMessage


async def test_what_comes_as_the_attempt_ends_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    note = TaskScope.acting

    def late(scope: TaskScope) -> Effects:
        scope.has_ended = True  # as if a thread that the node has left behind had its turn only now
        return note(scope)

    def talk(state: MessagesState) -> None:
        with pytest.raises(OutsideRunError, match="'talk' has ended"):
            push_message(AIMessage("late", id="1"))

    monkeypatch.setattr(TaskScope, "acting", late)
    graph = StateGraph(MessagesState).add_node(talk).add_edge(START, "talk").compile()
    assert await graph.ainvoke({"messages": []}) == {"messages": []}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_child_forked_while_another_thread_notes_an_effect_can_note_one_too() -> None:
    stop = threading.Event()

    def make() -> Any:
        pass

    def note() -> None:
        while not stop.is_set():
            Effects().callees_from(make)

    noting = threading.Thread(target=note)
    noting.start()
    try:
        assert all(_ends_well(Effects().next_run) for _ in range(20))
    finally:
        stop.set()
        noting.join()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="it hangs in a child, if at all")
@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_nested_run_may_end_as_garbage_while_an_effect_is_noted() -> None:
    assert _ends_well(lambda: asyncio.run(_abandon_a_nested_run()))


class State(TypedDict):
    value: int


async def _abandon_a_nested_run() -> None:
    async def wait(state: State) -> None:
        await asyncio.get_running_loop().create_future()

    async def call(state: State) -> Any:
        return await inner.ainvoke(state)

    inner = StateGraph(State).add_node(wait).add_edge(START, "wait").compile()
    run = StateGraph(State).add_node(call).add_edge(START, "call").compile().ainvoke({"value": 1})
    run.send(None)
    garbage: list[Any] = [run]
    garbage.append(garbage)
    del run, garbage
    Effects().callees_from(_collect)


def _collect() -> Any:
    gc.collect()


def _ends_well(fn: Callable[[], object]) -> bool:
    """Whether a forked child comes to the end of `fn` within some seconds."""
    if (child := os.fork()) == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        try:
            fn()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0
