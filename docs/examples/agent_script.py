"""What stands in for a model in `agent.py`: a script that reads what the tools answer, as a model would."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from aiograph.messages import AIMessage, ToolCall
from aiograph.testing import ScriptedModel

LONGEST = """
SELECT name, file, line, length, lines FROM functions JOIN modules USING (file)
ORDER BY length DESC, file LIMIT 1
"""

MEMORY = "You found before: "
"""How the prompt begins to tell what is in the store."""


def script() -> ScriptedModel:
    """A model that knows one question about the tree, and one about its memory."""
    return ScriptedModel([next_move], repeat=True)


def next_move(messages: Sequence[Any]) -> AIMessage:
    """What to say next. It follows from the conversation alone, in whichever process that goes on."""
    asked = max(index for index, message in enumerate(messages) if message.type == "human")
    if "before" in messages[asked].text:
        return AIMessage(messages[0].text.partition(MEMORY)[2] or "I remember nothing.")
    answers = [message for message in messages[asked:] if message.type == "tool"]
    if failed := [answer.text for answer in answers if answer.status == "error"]:
        return AIMessage(f"That does not work: {failed[0]}")
    return next_call({answer.name: answer.text for answer in answers})


def next_call(known: Mapping[str, str]) -> AIMessage:
    """Finds the longest function, its share of its module and who mentions it, and writes that down."""
    if "query" not in known:
        return calling(query={"sql": LONGEST})
    rows = json.loads(known["query"])
    if not rows:
        return AIMessage("There is no function at all.")
    name, file, line, length, lines = rows[0]
    if "calculate" not in known:
        share = f"round(100 * {length} / {lines}, 1)"
        return calling(calculate={"expression": share}, search_files={"text": name.rpartition(".")[2]})
    if "write_report" not in known:
        return calling(
            write_report={
                "text": f"The longest function is `{name}` in {file}:{line}. Its {length} lines are "
                f"{known['calculate']} % of the module, and {len(known['search_files'].splitlines())} "
                "lines mention its name.\n"
            }
        )
    return AIMessage(f"The longest function is {name}. {known['write_report']}.")


def calling(**arguments: dict[str, Any]) -> AIMessage:
    """A message that calls tools, by their names."""
    return AIMessage(
        tool_calls=[ToolCall(name=name, args=args, id=f"{name}-1") for name, args in arguments.items()]
    )
