"""What the code of an attempt does besides returning, while the attempt ends."""

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
