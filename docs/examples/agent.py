"""An agent that looks into a tree of Python files, and writes a report if one lets it.

    aiograph run docs/examples/agent.py:graph --thread demo --input '{"messages": "What is longest?"}'

searches files, asks a database that it makes of them, calculates, and then stops, with a question: may it
write `agent_report.md`? The thread waits for the answer, for as long as it takes:

    aiograph resume docs/examples/agent.py:graph --thread demo --answer yes

As a conversation, and with a second one that remembers what the first has found:

    python docs/examples/agent.py

The tree is the `asyncio` package of the Python in use, or what the environment variable AGENT_FOLDER names.
With OPENAI_API_KEY, one of OpenAI's models decides what to do, AGENT_MODEL says which; without, the script in
`agent_script.py`, which needs no network. The tools are in `agent_tools.py`.
"""

import os
import sys
from typing import Any
from uuid import uuid4

from agent_script import MEMORY, script
from agent_tools import FINDINGS, tools

from aiograph.checkpoint.sqlite import SqliteSaver
from aiograph.messages import SystemMessage
from aiograph.prebuilt import create_react_agent
from aiograph.prebuilt.chat_agent_executor import AgentState
from aiograph.store.base import BaseStore
from aiograph.store.memory import InMemoryStore
from aiograph.types import Command, RunnableConfig

TASK = "You answer questions about the Python files of a folder. When you know the answer, write a report."


def model() -> Any:
    if os.environ.get("OPENAI_API_KEY"):
        return f"openai:{os.environ.get('AGENT_MODEL', 'gpt-5-mini')}"
    return script()


def prompt(state: AgentState, store: BaseStore) -> list[Any]:
    """The task, what was found before, in whichever thread, and the conversation."""
    found = [f"{MEMORY}{item.value['text']}" for item in store.search(FINDINGS)]
    return [SystemMessage("\n".join([TASK, *found])), *state["messages"]]


graph = create_react_agent(model(), tools, prompt=prompt, store=InMemoryStore(), name="analyst")


def converse(agent: Any, question: str) -> None:
    """Asks in a thread of its own, lets the user decide what the agent asks, and prints the answer."""
    config: RunnableConfig = {"configurable": {"thread_id": str(uuid4())}}
    print(f"> {question}")
    output = agent.invoke({"messages": question}, config)
    while "__interrupt__" in output:
        (wish,) = output["__interrupt__"]
        print(f"May I write {wish.value['write']}?\n\n{wish.value['text']}")
        output = agent.invoke(Command(resume=input("yes, or what else: ")), config)
    print(output["messages"][-1].text)


if __name__ == "__main__":
    with SqliteSaver.from_conn_string("agent.db") as saver:
        agent = graph.with_checkpointer(saver)
        converse(agent, " ".join(sys.argv[1:]) or "What is longest?")
        converse(agent, "What did you find before?")
