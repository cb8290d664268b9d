"""The loop of one node, watched: a stream in each mode, and events that a node writes."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from bench._case import Case, Setup, Work
from bench._packages import END, RIVAL, START, Package
from bench._savers import OpenSaver, memory, no_saver, options_of
from bench.cases.loop import State, count, graph_of, router

TOPIC = "Streams"


async def bare_stream(setup: Setup) -> Work:
    route = router(setup.size)

    async def steps() -> AsyncIterator[dict[str, int]]:
        state: Any = {"count": 0}
        is_done = False
        while not is_done:
            state = {**state, **await count(state)}
            yield state
            is_done = await route(state) == END

    async def work() -> dict[str, int]:
        return [state async for state in steps()][-1]

    return work


def watched(mode: Any, open_saver: OpenSaver = no_saver) -> Callable[[Package, Setup], Awaitable[Work]]:
    async def subject(package: Package, setup: Setup) -> Work:
        saver = await open_saver(package, setup)
        graph = graph_of(package, count, router(setup.size), saver)
        modes = [*([mode] if isinstance(mode, str) else mode), "values"]

        async def work() -> Any:
            async for name, chunk in graph.astream({"count": 0}, stream_mode=modes, **options_of(saver)):
                if name == "values":
                    state = chunk
            return state

        return work

    return subject


def watched_alone(mode: str) -> Callable[[Package, Setup], Awaitable[Work]]:
    """Of updates and values one can tell the end without another mode."""

    async def subject(package: Package, setup: Setup) -> Work:
        graph = graph_of(package, count, router(setup.size))

        async def work() -> Any:
            chunks = [chunk async for chunk in graph.astream({"count": 0}, stream_mode=mode)]
            return chunks[-1] if mode == "values" else chunks[-1]["count"]

        return work

    return subject


# -- events of a node ------------------------------------------------------------------------------


async def bare_events(setup: Setup) -> Work:
    async def events() -> AsyncIterator[dict[str, int]]:
        for number in range(setup.size):
            yield {"event": number}

    async def work() -> int:
        return len([event async for event in events()])

    return work


async def custom_events(package: Package, setup: Setup) -> Work:
    get_writer = package.find("config", "get_stream_writer")

    async def tell(state: State) -> dict[str, int]:
        write = get_writer()
        for number in range(setup.size):
            write({"event": number})
        return {"count": setup.size}

    graph = (
        package.builder(State).add_node("tell", tell).add_edge(START, "tell").add_edge("tell", END).compile()
    )

    async def work() -> int:
        return len([event async for event in graph.astream({"count": 0}, stream_mode="custom")])

    return work


# -- what a model says -----------------------------------------------------------------------------


def pieces(size: int) -> list[str]:
    """Words and the spaces between them."""
    return re.split(r"(\s)", " ".join(["word"] * (size // 2 + 1)))


def speaker(package: Package, text: str) -> Callable[[Any], Awaitable[dict[str, int]]]:
    """A node that says a text piece by piece, in the way of its package."""
    if package == RIVAL:
        from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
        from langchain_core.messages import AIMessage

        async def ask(state: State) -> dict[str, int]:
            model = GenericFakeChatModel(messages=iter([AIMessage(text)]))
            return {"count": len([chunk async for chunk in model.astream("go on")])}

        return ask
    get_stream = package.find("config", "get_message_stream")
    kind = package.find("messages", "AIMessageChunk")

    async def speak(state: State) -> dict[str, int]:
        stream, said = get_stream(), re.split(r"(\s)", text)
        for piece in said:
            stream.emit(kind(content=piece, id="1"))
        return {"count": len(said)}

    return speak


async def bare_pieces(setup: Setup) -> Work:
    async def say() -> AsyncIterator[str]:
        for piece in pieces(setup.size):
            yield piece

    async def work() -> str:
        return "".join([piece async for piece in say()])

    return work


async def message_pieces(package: Package, setup: Setup) -> Work:
    node = speaker(package, "".join(pieces(setup.size)))
    graph = package.builder(State).add_node("say", node).add_edge(START, "say").add_edge("say", END).compile()

    async def work() -> str:
        stream = graph.astream({"count": 0}, stream_mode="messages")
        return "".join([message.content async for message, _ in stream])

    return work


CASES = [
    *(
        Case(
            name=f"stream_{mode}_1000",
            unit="superstep",
            size=1000,
            floor=bare_stream,
            subject=watched_alone(mode),
        )
        for mode in ("values", "updates")
    ),
    *(
        Case(
            name=f"stream_{name}_1000",
            unit="superstep",
            size=1000,
            floor=bare_stream,
            subject=watched(mode, open_saver),
            note=note,
        )
        for name, mode, open_saver, note in (
            ("tasks", "tasks", no_saver, "tasks and values"),
            ("debug", "debug", no_saver, "debug and values"),
            ("checkpoints", "checkpoints", memory, "checkpoints and values, in-memory saver"),
            ("all", ["updates", "tasks", "checkpoints", "custom"], memory, "five modes, in-memory saver"),
        )
    ),
    Case(
        name="stream_custom_10000",
        unit="event",
        size=10_000,
        floor=bare_events,
        subject=custom_events,
        note="events that one node writes; the floor is an asynchronous generator",
    ),
    Case(
        name="stream_messages_1000",
        unit="piece",
        size=1000,
        floor=bare_pieces,
        subject=message_pieces,
        note="a node emits pieces of a message; for LangGraph LangChain's fake model says them",
    ),
]
