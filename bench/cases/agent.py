"""An agent of a hundred turns: a model that asks for a tool, and the tool, with what they say in the state.

The model answers at once, so what is measured is all that an agent does but for waiting.
"""

import operator
from collections.abc import Awaitable, Callable
from importlib import import_module
from typing import Annotated, Any, TypeAlias, TypedDict

from bench._case import Case, Goal, Point, Setup, Work
from bench._packages import END, OURS, START, Package
from bench._savers import OpenSaver, memory, no_saver, options_of

TOPIC = "Agents"

LANGCHAIN = "langchain_core.messages"


class Voice:
    """How a model, a tool and a user speak, in messages of one kind."""

    def user(self, text: str) -> Any:
        return {"type": "human", "content": text}

    def call(self, number: int) -> Any:
        calls = [{"name": "search", "args": {"query": number}, "id": f"call{number}"}]
        return {"type": "ai", "content": "", "tool_calls": calls}

    def answer(self, text: str) -> Any:
        return {"type": "ai", "content": text, "tool_calls": []}

    def result(self, call: Any, text: str) -> Any:
        return {"type": "tool", "content": text, "tool_call_id": call["id"]}

    def calls(self, message: Any) -> Any:
        return message["tool_calls"]

    def text(self, message: Any) -> str:
        return f"{message['type']}: {message['content']}"


class ClassVoice(Voice):
    """In messages of the classes of a module; aiograph's and LangChain's have the same names and fields."""

    def __init__(self, module: str) -> None:
        found = import_module(module)
        self._ai, self._human, self._tool = found.AIMessage, found.HumanMessage, found.ToolMessage

    def user(self, text: str) -> Any:
        return self._human(content=text)

    def call(self, number: int) -> Any:
        calls = [{"name": "search", "args": {"query": number}, "id": f"call{number}"}]
        return self._ai(content="", tool_calls=calls)

    def answer(self, text: str) -> Any:
        return self._ai(content=text)

    def result(self, call: Any, text: str) -> Any:
        return self._tool(content=text, tool_call_id=call["id"])

    def calls(self, message: Any) -> Any:
        return message.tool_calls

    def text(self, message: Any) -> str:
        return f"{message.type}: {message.content}"


MakeVoice: TypeAlias = Callable[[Package], Voice]


def plain(package: Package) -> Voice:
    return Voice()


def own(package: Package) -> Voice:
    return ClassVoice("aiograph.messages" if package == OURS else LANGCHAIN)


def langchain(package: Package) -> Voice:
    return ClassVoice(LANGCHAIN)


def schema(package: Package, make_voice: MakeVoice) -> Any:
    reducer = operator.add if make_voice is plain else package.find("graph.message", "add_messages")
    return TypedDict("State", {"messages": Annotated[list[Any], reducer]})  # type: ignore[operator]


class Team:
    """The user's functions: a model, a tool, and who is next."""

    def __init__(self, voice: Voice, turns: int) -> None:
        self.voice = voice
        self._turns = turns

    async def model(self, state: Any) -> dict[str, list[Any]]:
        turn = len(state["messages"]) // 2 + 1
        message = self.voice.call(turn) if turn < self._turns else self.voice.answer("done")
        return {"messages": [message]}

    async def tools(self, state: Any) -> dict[str, list[Any]]:
        calls = self.voice.calls(state["messages"][-1])
        return {"messages": [self.voice.result(call, f"found {call['args']['query']}") for call in calls]}

    async def route(self, state: Any) -> str:
        return "tools" if self.voice.calls(state["messages"][-1]) else END


def turns_in(setup: Setup) -> int:
    """A turn is a superstep of the model and one of the tool, which the last one goes without."""
    return max(1, (setup.size + 1) // 2)


def bare(make_voice: MakeVoice) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        team = Team(make_voice(OURS), turns_in(setup))

        async def work() -> list[str]:
            state = {"messages": [team.voice.user("go")]}
            while True:
                state["messages"] = state["messages"] + (await team.model(state))["messages"]
                if await team.route(state) == END:
                    return [team.voice.text(message) for message in state["messages"]]
                state["messages"] = state["messages"] + (await team.tools(state))["messages"]

        return work

    return floor


def agent(make_voice: MakeVoice, open_saver: OpenSaver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        team = Team(make_voice(package), turns_in(setup))
        saver = await open_saver(package, setup)
        builder = package.builder(schema(package, make_voice))
        builder.add_node("model", team.model).add_node("tools", team.tools)
        builder.add_edge(START, "model").add_edge("tools", "model")
        builder.add_conditional_edges("model", team.route, ["tools", END])
        graph = builder.compile(checkpointer=saver)

        async def work() -> list[str]:
            state = await graph.ainvoke({"messages": [team.voice.user("go")]}, **options_of(saver))
            return [team.voice.text(message) for message in state["messages"]]

        return work

    return subject


# -- growth ----------------------------------------------------------------------------------------


def bare_longer(messages: int) -> Callable[[Setup], Awaitable[Work]]:
    async def floor(setup: Setup) -> Work:
        voice = own(OURS)
        start = [voice.answer(str(number)) for number in range(setup.scaled(messages))]

        async def work() -> int:
            state = start
            for number in range(setup.size):
                state = [*state, voice.answer(str(number))]
            return len(state)

        return work

    return floor


def longer(messages: int) -> Callable[[Package, Setup], Awaitable[Work]]:
    """Adds messages to a conversation that is long already."""

    async def subject(package: Package, setup: Setup) -> Work:
        voice, stored = own(package), setup.scaled(messages)

        async def speak(state: Any) -> dict[str, list[Any]]:
            return {"messages": [voice.answer(str(len(state["messages"])))]}

        async def route(state: Any) -> str:
            return END if len(state["messages"]) >= stored + setup.size else "speak"

        builder = package.builder(schema(package, own)).add_node("speak", speak).add_edge(START, "speak")
        graph = builder.add_conditional_edges("speak", route, ["speak", END]).compile()
        start = [voice.answer(str(number)) for number in range(stored)]

        async def work() -> int:
            return len((await graph.ainvoke({"messages": start}))["messages"])

        return work

    return subject


def _case(name: str, make_voice: MakeVoice, open_saver: OpenSaver, note: str) -> Case:
    goal = (Goal(0.08),) if name == "agent_100_memory" else ()
    return Case(
        name=name,
        unit="superstep",
        size=199,
        floor=bare(make_voice),
        subject=agent(make_voice, open_saver),
        requires="langchain_core" if make_voice is langchain else "",
        goals=goal,
        note=f"{note}{', in-memory saver; the floor stores nothing' if open_saver is memory else ''}",
    )


CASES = [
    *(
        _case(f"agent_100{kind}{suffix}", make_voice, open_saver, note)
        for kind, make_voice, note in (
            ("", own, "add_messages, each with its own messages: LangGraph with LangChain's"),
            ("_langchain", langchain, "add_messages, LangChain's messages for both"),
            ("_plain", plain, "dicts, operator.add"),
        )
        for suffix, open_saver in (("", no_saver), ("_memory", memory))
    ),
    *(
        Case(
            name=f"add_messages_{messages}",
            unit="superstep",
            size=50,
            floor=bare_longer(messages),
            subject=longer(messages),
            point=Point("messages in the state (add_messages)", messages),
            note=f"adds 50 to a conversation of {messages:,}",
        )
        for messages in (10, 100, 1000)
    ),
]
