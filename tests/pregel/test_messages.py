"""Where messages are found in what nodes take and write, who is shown them, and which ids they get."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiograph.constants import RETURN
from aiograph.messages import AIMessage, HumanMessage, RemoveMessage
from aiograph.pregel._emit import View
from aiograph.pregel._messages import Messages, messages_taken_in, messages_written, with_ids
from aiograph.types import Overwrite

HI, HO = HumanMessage("hi", id="1"), AIMessage("ho", id="2")


class Shown:
    """An outlet that remembers."""

    def __init__(self) -> None:
        self.chunks: list[Any] = []

    def push_from_anywhere(self, chunk: Any) -> None:
        self.chunks.append(chunk)

    is_full = False

    async def room(self) -> None: ...


def listeners(*modes: Sequence[str]) -> tuple[Messages, list[list[Any]]]:
    outlets = [Shown() for _ in modes]
    views = [View(outlet, frozenset(each)) for outlet, each in zip(outlets, modes, strict=True)]
    return Messages(views), [outlet.chunks for outlet in outlets]


@dataclass
class Notebook:
    first: Any = None
    rest: list[Any] = field(default_factory=list)


def taken_in(input: Any) -> list[Any]:
    return list(messages_taken_in(input))


def test_messages_are_found_in_all_that_a_node_may_be_called_with() -> None:
    assert taken_in({"a": HI, "b": [HO, "text"], "c": {"deep": HO}}) == [HI, HO]
    assert taken_in([HI, HO]) == [HI, HO]
    assert taken_in(HI) == [HI]
    assert taken_in(Notebook(HI, [HO])) == [HI, HO]
    assert taken_in(((HI, [HO]), {"more": HI})) == [HI, HO, HI]
    assert taken_in((1, HI)) == [HI]
    assert taken_in(None) == taken_in(7) == taken_in("text") == []


def test_messages_are_found_in_all_that_a_task_may_write() -> None:
    writes = [
        ("a", HI),
        ("b", [HO, 7]),
        ("c", Overwrite((HI,))),
        (RETURN, ("name", [HO])),
        ("d", {"deep": HI}),
    ]
    assert list(messages_written(writes)) == [HI, HO, HI, HO]


def test_what_removes_a_message_is_none() -> None:
    assert list(messages_written([("a", [RemoveMessage("1"), HI])])) == [HI]


def test_a_message_without_an_id_gets_one_wherever_it_is_written() -> None:
    nameless = AIMessage("who?")
    writes = [("a", nameless), ("b", [HI, nameless]), ("c", Overwrite([nameless])), (RETURN, ("n", nameless))]
    named = list(messages_written(with_ids(writes, lambda message: False)))
    assert [message.content for message in named] == ["who?", "hi", "who?", "who?", "who?"]
    assert len({message.id for message in named}) == 2
    assert nameless.id is None


def test_a_message_that_is_known_without_an_id_stays_as_it_is() -> None:
    writes = [("a", AIMessage("who?"))]
    assert with_ids(writes, lambda message: True) == writes


def test_only_those_who_listen_to_messages_are_shown_any() -> None:
    messages, (one, other) = listeners(["messages"], ["custom"])
    messages.hear(HI, {"n": 1})
    assert (one, other) == ([(HI, {"n": 1})], [])


def test_a_message_is_read_to_those_who_have_neither_heard_it_nor_had_it_before() -> None:
    messages, (shown,) = listeners(["messages"])
    messages.hear(HI, {})
    messages.take_in({"kept": [HO]})
    new = AIMessage("new", id="3")
    assert messages.read([("a", [HI, HO, new]), ("b", new)], {}) == [("a", [HI, HO, new]), ("b", new)]
    assert [message for message, _ in shown] == [HI, new]


def test_a_message_is_read_with_the_id_that_is_written() -> None:
    messages, (shown,) = listeners(["messages"])
    ((_, written),) = messages.read([("a", AIMessage("who?"))], {})
    assert [message for message, _ in shown] == [written]
    assert written.id is not None


def test_who_sees_a_run_from_outside_knows_what_was_said_inside() -> None:
    shown = Shown()
    outside = View(shown, frozenset({"messages"}), path=())
    inside = outside.within(("node:1",))
    Messages([inside]).hear(HI, {})
    Messages([outside]).read([("a", HI)], {})
    assert shown.chunks == [(("node:1",), (HI, {}))]
