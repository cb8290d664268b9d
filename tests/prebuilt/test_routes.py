"""Where an agent's nodes lead, by what stands in the conversation."""

from typing import Any

import pytest

from aiograph.constants import END
from aiograph.messages import AIMessage, HumanMessage, ToolMessage
from aiograph.prebuilt._routes import Routes
from aiograph.types import Send


def call(id: str, name: str = "add") -> Any:
    return {"name": name, "args": {}, "id": id}


def routes(*nodes: str, direct: str = "", is_split: bool = True) -> Routes:
    return Routes(frozenset(nodes), frozenset(direct.split()), is_split, lambda name: name == "look")


def state(*messages: Any) -> Any:
    return {"messages": [HumanMessage("hi"), *messages]}


def sent(routes: Routes, state: Any) -> list[Send]:
    sends = routes.after_model(state)
    assert isinstance(sends, list)
    return sends


TWO_CALLS = AIMessage("", tool_calls=[call("1"), call("2")])


def test_without_calls_the_agent_has_finished() -> None:
    assert routes("tools").after_model(state(AIMessage("hello"))) == END
    assert routes("generate_structured_response").after_model(state(AIMessage("hello"))) == (
        "generate_structured_response"
    )


def test_each_call_is_sent_to_the_tools_by_itself() -> None:
    sends = sent(routes("tools"), state(TWO_CALLS))
    assert [(send.node, send.arg["tool_call"]["id"]) for send in sends] == [("tools", "1"), ("tools", "2")]


def test_a_call_brings_the_whole_state_only_for_a_tool_that_sees_it() -> None:
    said = AIMessage("", tool_calls=[call("1", "look"), call("2")])
    before = state(said)
    seeing, blind = sent(routes("tools"), before)
    assert seeing.arg["state"] is before
    assert blind.arg["state"] == {"messages": [said]}


def test_in_the_first_version_all_calls_of_a_message_go_together() -> None:
    assert routes("tools", is_split=False).after_model(state(TWO_CALLS)) == "tools"


def test_calls_that_a_hook_has_answered_are_not_made() -> None:
    answered = state(TWO_CALLS, ToolMessage("no", tool_call_id="1"))
    (send,) = sent(routes("tools", "post_model_hook"), answered)
    assert send.arg["tool_call"]["id"] == "2"


def test_if_a_hook_has_answered_all_calls_the_model_goes_on() -> None:
    answers = [ToolMessage("no", tool_call_id=id) for id in ("1", "2")]
    way = routes("tools", "post_model_hook", "pre_model_hook").after_model(state(TWO_CALLS, *answers))
    assert way == "pre_model_hook"


def test_a_tool_whose_answer_is_the_last_word_ends_the_run() -> None:
    said = AIMessage("", tool_calls=[call("1", "show"), call("2")])
    shown = ToolMessage("shown", tool_call_id="1", name="show")
    # the tasks of the calls do not see each other's answers, and must come to the same end
    assert routes("tools", direct="show").after_tools(state(said, shown)) == END
    assert routes("tools", direct="show").after_tools(state(said, ToolMessage("3", tool_call_id="2"))) == END


def test_such_a_tool_that_has_failed_is_for_the_model_to_mend() -> None:
    said = AIMessage("", tool_calls=[call("1", "show")])
    failed = ToolMessage("no such thing", tool_call_id="1", name="show", status="error")
    assert routes("tools", direct="show").after_tools(state(said, failed)) == "agent"


def test_other_tools_lead_back_to_the_model() -> None:
    answered = state(TWO_CALLS, ToolMessage("3", tool_call_id="1", name="add"))
    assert routes("tools", "pre_model_hook", direct="show").after_tools(answered) == "pre_model_hook"


@pytest.mark.parametrize(
    ("nodes", "steps"),
    [
        ("tools", 2),
        ("tools pre_model_hook", 3),
        ("tools post_model_hook", 4),
        ("tools generate_structured_response", 3),
        ("tools pre_model_hook post_model_hook generate_structured_response", 6),
    ],
)
def test_calls_take_supersteps_until_the_last_word_is_said(nodes: str, steps: int) -> None:
    assert routes(*nodes.split()).steps_for([call("1")]) == steps


def test_a_call_that_ends_the_run_takes_one_superstep() -> None:
    assert routes("tools", direct="show").steps_for([call("1", "show")]) == 1
    assert routes("tools", direct="show").steps_for([call("1", "show"), call("2")]) == 2
