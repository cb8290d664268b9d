"""Agents as users run them: approval, memory, streams, time travel, agents in graphs, and models that err."""

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest

from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.errors import CheckpointSerializationError, InvalidChatHistoryError
from aiograph.graph import START, StateGraph
from aiograph.graph.message import MessagesState
from aiograph.messages import AIMessage, HumanMessage, RemoveMessage, SystemMessage, ToolCall, ToolMessage
from aiograph.prebuilt import InjectedState, ToolNode, ToolRuntime, create_react_agent
from aiograph.prebuilt.chat_agent_executor import AgentState
from aiograph.store.base import BaseStore
from aiograph.store.memory import InMemoryStore
from aiograph.testing import ScriptedModel
from aiograph.tools import ToolResultError, as_tool, tool
from aiograph.types import Command, RunnableConfig, interrupt

FIRST: RunnableConfig = {"configurable": {"thread_id": "first"}}
SECOND: RunnableConfig = {"configurable": {"thread_id": "second"}}

sent: list[str] = []


@pytest.fixture(autouse=True)
def nothing_is_sent() -> None:
    sent.clear()


def send(text: str) -> str:
    """Sends a mail."""
    sent.append(text)
    return "sent"


def send_if_approved(text: str) -> str:
    """Sends a mail, if the user agrees."""
    answer = interrupt(f"send {text!r}?")
    return send(text) if answer == "yes" else f"the user said {answer}"


def length_of(text: str) -> int:
    """How long a text is."""
    return len(text)


def calls(*calls: tuple[str, dict[str, Any]]) -> AIMessage:
    """A message that calls tools; the n-th call has the id `n`."""
    return AIMessage(
        tool_calls=[ToolCall(name=name, args=args, id=str(n)) for n, (name, args) in enumerate(calls, 1)]
    )


SENDING = ("send", {"text": "hello"})


def texts(output: Any) -> list[str]:
    return [message.text for message in output["messages"]]


@pytest.fixture(params=["memory", "sqlite"])
def saver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BaseCheckpointSaver]:
    if request.param == "memory":
        yield InMemorySaver()
    else:
        with SqliteSaver.from_conn_string(str(tmp_path / "threads.db")) as sqlite:
            yield sqlite


@pytest.fixture(params=["v1", "v2"])
def version(request: pytest.FixtureRequest) -> Any:
    return request.param


# -- approval --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("answer", "mails"), [("yes", ["hello"]), ("never", [])])
def test_a_tool_asks_before_it_acts(saver: Any, version: Any, answer: str, mails: list[str]) -> None:
    both = calls(("send_if_approved", {"text": "hello"}), ("length_of", {"text": "abc"}))
    model = ScriptedModel([both, "done"])
    agent = create_react_agent(model, [send_if_approved, length_of], checkpointer=saver, version=version)
    (question,) = agent.invoke({"messages": "write!"}, FIRST)["__interrupt__"]
    assert question.value == "send 'hello'?"
    output = agent.invoke(Command(resume=answer), FIRST)
    assert sent == mails
    assert texts(output)[-2:] == ["3", "done"]


def test_an_answer_may_come_in_another_process(tmp_path: Path) -> None:
    database = str(tmp_path / "threads.db")

    @contextmanager
    def agent(*script: Any) -> Iterator[Any]:
        with SqliteSaver.from_conn_string(database) as saver:
            yield create_react_agent(ScriptedModel(script), [send_if_approved], checkpointer=saver)

    with agent(calls(("send_if_approved", {"text": "hello"}))) as asking:
        asking.invoke({"messages": "write!"}, FIRST)
    with agent("done") as answered:
        assert texts(answered.invoke(Command(resume="yes"), FIRST)) == ["write!", "", "sent", "done"]
    assert sent == ["hello"]


def test_a_run_may_stop_before_the_tools(saver: Any, version: Any) -> None:
    model = ScriptedModel([calls(SENDING), "done"])
    agent = create_react_agent(model, [send], checkpointer=saver, interrupt_before=["tools"], version=version)
    agent.invoke({"messages": "write!"}, FIRST)
    assert agent.get_state(FIRST).next == ("tools",)
    assert sent == []
    assert texts(agent.invoke(None, FIRST))[-1] == "done"
    assert sent == ["hello"]


def test_calls_may_be_changed_before_they_are_made(saver: Any, version: Any) -> None:
    model = ScriptedModel([calls(SENDING), "done"])
    agent = create_react_agent(model, [send], checkpointer=saver, interrupt_before=["tools"], version=version)
    agent.invoke({"messages": "write!"}, FIRST)
    said = agent.get_state(FIRST).values["messages"][-1]
    other = AIMessage(
        "", id=said.id, tool_calls=[ToolCall(name="send", args={"text": "good evening"}, id="1")]
    )
    agent.update_state(FIRST, {"messages": [other]})
    agent.invoke(None, FIRST)
    assert sent == ["good evening"]


def test_new_input_instead_of_an_answer_names_the_call_that_waits(saver: Any) -> None:
    model = ScriptedModel([calls(SENDING), "not sent"])
    agent = create_react_agent(model, [send], checkpointer=saver, interrupt_before=["tools"])
    agent.invoke({"messages": "write!"}, FIRST)
    with pytest.raises(InvalidChatHistoryError, match=r"send \(id '1'\)"):
        agent.invoke({"messages": "no, wait"}, FIRST)
    waiting = agent.get_state(FIRST).values["messages"][1]
    agent.update_state(FIRST, {"messages": [RemoveMessage(waiting.id)]})
    assert texts(agent.invoke({"messages": "well?"}, FIRST)) == ["write!", "no, wait", "well?", "not sent"]


# -- memory ----------------------------------------------------------------------------------------


def test_a_thread_remembers_its_conversation(saver: Any) -> None:
    model = ScriptedModel(["hi Ada", "you are Ada"])
    agent = create_react_agent(model, [send], checkpointer=saver)
    agent.invoke({"messages": "I am Ada"}, FIRST)
    output = agent.invoke({"messages": "who am I?"}, FIRST)
    assert texts(output) == ["I am Ada", "hi Ada", "who am I?", "you are Ada"]
    assert [message.text for message in model.requests[1].messages] == texts(output)[:3]


def test_threads_share_what_a_store_keeps() -> None:
    def note(text: str, runtime: ToolRuntime[None, AgentState]) -> str:
        """Notes something for later."""
        assert runtime.store is not None
        runtime.store.put(("notes",), text, {"text": text})
        return "noted"

    def remembering(state: AgentState, store: BaseStore) -> list[Any]:
        return [SystemMessage(item.value["text"]) for item in store.search(("notes",))] + state["messages"]

    model = ScriptedModel([calls(("note", {"text": "likes tea"})), "I'll remember", "tea?"])
    agent = create_react_agent(
        model, [note], prompt=remembering, store=InMemoryStore(), checkpointer=InMemorySaver()
    )
    agent.invoke({"messages": "I like tea"}, FIRST)
    agent.invoke({"messages": "a drink, please"}, SECOND)
    assert [message.text for message in model.requests[2].messages] == ["likes tea", "a drink, please"]


def test_one_goes_back_and_takes_another_way(saver: Any) -> None:
    model = ScriptedModel([calls(("length_of", {"text": "abc"})), "three", "it is 3"])
    agent = create_react_agent(model, [length_of], checkpointer=saver)
    agent.invoke({"messages": "how long?"}, FIRST)
    before = next(each for each in agent.get_state_history(FIRST) if each.next == ("agent",))
    assert texts(before.values)[-1] == "3"
    assert texts(agent.invoke(None, before.config)) == ["how long?", "", "3", "it is 3"]


# -- streams ---------------------------------------------------------------------------------------


async def test_what_the_model_says_is_streamed_as_it_says_it() -> None:
    model = ScriptedModel([calls(("length_of", {"text": "abc"})), "it is 3"])
    agent = create_react_agent(model, [length_of])
    seen = [
        (metadata["langgraph_node"], message.text)
        async for message, metadata in agent.astream({"messages": "how long?"}, stream_mode="messages")
        if message.text
    ]
    assert seen == [("tools", "3"), ("agent", "it"), ("agent", " is"), ("agent", " 3")]


async def test_updates_tell_what_each_node_has_added() -> None:
    model = ScriptedModel([calls(("length_of", {"text": "abc"})), "it is 3"])
    agent = create_react_agent(model, [length_of])
    updates = [update async for update in agent.astream({"messages": "?"}, stream_mode="updates")]
    assert [(node, texts(update)) for each in updates for node, update in each.items()] == [
        ("agent", [""]),
        ("tools", ["3"]),
        ("agent", ["it is 3"]),
    ]


# -- agents in graphs ------------------------------------------------------------------------------


def test_an_agent_is_a_node_like_any_other(saver: Any) -> None:
    model = ScriptedModel([calls(("send_if_approved", {"text": "hello"})), "done"])
    writer = create_react_agent(model, [send_if_approved], name="writer")

    def check(state: MessagesState) -> dict[str, Any]:
        return {"messages": [HumanMessage("checked")]}

    builder = StateGraph(MessagesState).add_node("writer", writer).add_node(check)
    graph = builder.add_edge(START, "writer").add_edge("writer", "check").compile(saver)
    (question,) = graph.invoke({"messages": [HumanMessage("write!")]}, FIRST)["__interrupt__"]
    assert question.value == "send 'hello'?"
    output = graph.invoke(Command(resume="yes"), FIRST)
    assert texts(output) == ["write!", "", "sent", "done", "checked"]
    assert sent == ["hello"]


def test_a_tool_hands_over_to_another_agent() -> None:
    def to_bob() -> Command[Any]:
        """Hands over to Bob."""
        return Command(goto="bob", graph=Command.PARENT)

    ada = create_react_agent(ScriptedModel([calls(("to_bob", {}))]), [to_bob], name="ada")
    bob = create_react_agent(ScriptedModel(["Bob here"]), [], name="bob")
    builder = StateGraph(MessagesState).add_node("ada", ada, destinations=["bob"]).add_node("bob", bob)
    graph = builder.add_edge(START, "ada").compile()
    output = graph.invoke({"messages": [HumanMessage("Bob, please")]})
    assert texts(output) == ["Bob, please", "Bob here"]


# -- models that err -------------------------------------------------------------------------------


def answer_to(said: AIMessage, *tools: Any, version: Any = "v2") -> Any:
    """What the tools answer to a message; the model then ends the run."""
    model = ScriptedModel([said, "I see"])
    output = create_react_agent(model, list(tools) or [length_of], version=version).invoke({"messages": "go"})
    assert texts(output)[-1] == "I see"
    assert [message.text for message in model.requests[1].messages] == texts(output)[:-1]
    return output["messages"][2]


def test_a_tool_that_there_is_not_is_an_error_for_the_model(version: Any) -> None:
    answer = answer_to(calls(("lenght_of", {"text": "abc"})), version=version)
    assert (answer.status, answer.tool_call_id) == ("error", "1")
    assert "length_of" in answer.text


def test_wrong_arguments_are_an_error_for_the_model(version: Any) -> None:
    answer = answer_to(calls(("length_of", {"txt": "abc"})), version=version)
    assert (answer.status, answer.tool_call_id) == ("error", "1")
    assert "text" in answer.text


def test_malformed_arguments_are_an_error_for_the_model(version: Any) -> None:
    malformed: Any = {"name": "length_of", "args": '{"text": "ab', "id": "7", "error": None}
    answer = answer_to(AIMessage("", invalid_tool_calls=[malformed]), version=version)
    assert (answer.status, answer.tool_call_id, answer.name) == ("error", "7", "length_of")
    assert 'no JSON object: {"text": "ab' in answer.text


def test_beside_a_malformed_call_others_are_made(version: Any) -> None:
    malformed: Any = {"name": "length_of", "args": "{", "id": "7", "error": None}
    good: Any = {"name": "length_of", "args": {"text": "abc"}, "id": "8"}
    said = AIMessage("", tool_calls=[good], invalid_tool_calls=[malformed])
    model = ScriptedModel([said, "I see"])
    output = create_react_agent(model, [length_of], version=version).invoke({"messages": "go"})
    answers = {each.tool_call_id: each.status for each in output["messages"] if each.type == "tool"}
    assert answers == {"7": "error", "8": "success"}


def test_a_call_without_a_name_is_an_error_for_the_model(version: Any) -> None:
    nameless: Any = {"name": None, "args": "{}", "id": "7", "error": "it does not name a tool"}
    answer = answer_to(AIMessage("", invalid_tool_calls=[nameless]), version=version)
    assert (answer.status, answer.tool_call_id) == ("error", "7")
    assert "it does not name a tool" in answer.text


def test_a_call_without_an_id_gets_one(version: Any) -> None:
    nameless: Any = {"name": "length_of", "args": {"text": "abc"}}
    answer = answer_to(AIMessage("", tool_calls=[nameless]), version=version)
    assert (answer.text, answer.status) == ("3", "success")
    assert answer.tool_call_id


def test_a_call_without_an_id_in_the_history_is_a_dangling_one() -> None:
    nameless: Any = {"name": "length_of", "args": {"text": "abc"}}
    agent = create_react_agent(ScriptedModel(["never said"]), [length_of])
    with pytest.raises(InvalidChatHistoryError, match=r"length_of \(id None\)"):
        agent.invoke({"messages": [AIMessage("", tool_calls=[nameless])]})


def test_two_calls_with_one_id_are_two_calls(version: Any) -> None:
    one: Any = {"name": "length_of", "args": {"text": "a"}, "id": "1"}
    two: Any = {"name": "length_of", "args": {"text": "ab"}, "id": "1"}
    model = ScriptedModel([AIMessage("", tool_calls=[one, two]), "I see"])
    output = create_react_agent(model, [length_of], version=version).invoke({"messages": "go"})
    made = [call["id"] for call in output["messages"][1].tool_calls]
    assert [message.tool_call_id for message in output["messages"][2:4]] == made
    assert texts(output)[2:] == ["1", "2", "I see"]
    assert len(set(made)) == 2


def test_an_injected_argument_cannot_be_forged(version: Any) -> None:
    def whose(state: Annotated[dict[str, Any], InjectedState]) -> str:
        """Tells who asks."""
        return str(state["messages"][0].text)

    answer = answer_to(calls(("whose", {"state": {"messages": ["the root"]}})), whose, version=version)
    assert answer.text == "go"


def failing() -> str:
    """Fails."""
    raise RuntimeError("out of paper")


@tool(timeout=0.01)
def hanging() -> str:
    """Hangs."""
    time.sleep(0.3)  # a thread cannot be cancelled: it is given up on
    return "late"


def test_a_tool_that_fails_fails_the_run(version: Any) -> None:
    agent = create_react_agent(ScriptedModel([calls(("failing", {}))]), [failing], version=version)
    with pytest.raises(RuntimeError, match="out of paper"):
        agent.invoke({"messages": "go"})


def returning() -> object:
    """Returns what nobody can be told."""
    return object()


def test_a_tool_that_returns_what_cannot_be_told_fails_the_run(version: Any) -> None:
    agent = create_react_agent(ScriptedModel([calls(("returning", {}))]), [returning], version=version)
    with pytest.raises(ToolResultError, match="returning"):
        agent.invoke({"messages": "go"})


def test_a_tool_that_writes_what_cannot_be_stored_fails_the_run_and_not_the_thread(saver: Any) -> None:
    def writing() -> Command[Any]:
        """Writes into the conversation."""
        artifact = threading.Lock()
        return Command(update={"messages": [ToolMessage("", tool_call_id="1", artifact=artifact)]})

    model = ScriptedModel([calls(("writing", {})), "hello again"])
    agent = create_react_agent(model, [writing], checkpointer=saver)
    with pytest.raises(CheckpointSerializationError, match="lock"):
        agent.invoke({"messages": "go"}, FIRST)
    assert agent.get_state(FIRST).next == ("tools",)


@pytest.mark.parametrize(
    ("called", "said"), [(failing, "out of paper"), (hanging, "0.01"), (returning, "object")]
)
def test_or_the_model_is_told(called: Any, said: str, version: Any) -> None:
    name = as_tool(called).name
    model = ScriptedModel([calls((name, {})), "I see"])
    agent = create_react_agent(model, ToolNode([called], handle_tool_errors=True), version=version)
    output = agent.invoke({"messages": "go"})
    assert said in output["messages"][2].text
    assert texts(output)[-1] == "I see"


def test_of_a_tool_that_hangs_the_model_is_told_in_any_case(version: Any) -> None:
    answer = answer_to(calls(("hanging", {})), hanging, version=version)
    assert (answer.status, answer.tool_call_id) == ("error", "1")


async def test_many_run_an_agent_at_once() -> None:
    def answer(messages: Sequence[Any]) -> AIMessage:
        last = messages[-1]
        return calls(("length_of", {"text": last.text})) if last.type == "human" else AIMessage(last.text)

    agent = create_react_agent(ScriptedModel([answer], repeat=True), [length_of])
    outputs = await asyncio.gather(*(agent.ainvoke({"messages": "x" * n}) for n in range(1, 21)))
    assert [texts(output)[-1] for output in outputs] == [str(n) for n in range(1, 21)]


def test_after_a_failure_the_run_goes_on_where_it_was(saver: Any, version: Any) -> None:
    paper: list[str] = []

    def print_it() -> str:
        """Prints."""
        if not paper:
            raise RuntimeError("out of paper")
        return "printed"

    model = ScriptedModel([calls(("print_it", {}), SENDING), "done"])
    agent = create_react_agent(model, [print_it, send], checkpointer=saver, version=version)
    with pytest.raises(RuntimeError, match="out of paper"):
        agent.invoke({"messages": "go"}, FIRST, on_error="finish")
    paper.append("a sheet")
    assert texts(agent.invoke(None, FIRST)) == ["go", "", "printed", "sent", "done"]
    assert len(model.requests) == 2
