"""Models and event loops: one model from any of them, and nothing left open on any."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypedDict

from openai import AsyncOpenAI

from aiograph import bridge
from aiograph.graph import START, StateGraph
from aiograph.models._clients import ClientPerLoop
from aiograph.models.openai import OpenAIChat
from tests.models.conftest import openai_model
from tests.models.server import ModelServer, said, streamed
from tests.models.wire import completion, openai_events


class State(TypedDict, total=False):
    answer: str


class Client:
    """Knows whether it was closed, and on which loop."""

    def __init__(self) -> None:
        self.home = asyncio.get_running_loop()
        self.closed_on: list[asyncio.AbstractEventLoop] = []
        self.is_closed = asyncio.Event()

    async def close(self) -> None:
        await asyncio.sleep(0)
        self.closed_on.append(asyncio.get_running_loop())
        self.is_closed.set()


def used(clients: ClientPerLoop[Client]) -> Client:
    """The client of a loop that has come and gone."""
    return asyncio.run(clients.here())


# -- one client for each loop ------------------------------------------------------------------------


async def test_a_loop_has_one_client() -> None:
    clients = ClientPerLoop(Client)
    assert await clients.here() is await clients.here()
    await clients.close_here()


def test_each_loop_has_its_own_and_closes_it_as_it_ends() -> None:
    clients = ClientPerLoop(Client)
    first, second = used(clients), used(clients)
    assert first is not second
    assert (first.closed_on, second.closed_on) == ([first.home], [second.home])


def test_clients_of_loops_that_are_gone_are_forgotten() -> None:
    clients = ClientPerLoop(Client)
    used(clients), used(clients), used(clients)
    assert len(clients._kept) <= 1


async def test_a_client_is_closed_when_nobody_has_the_model_any_more() -> None:
    clients = ClientPerLoop(Client)
    client = await clients.here()
    del clients
    await client.is_closed.wait()
    assert client.closed_on == [client.home]


def test_also_if_the_model_goes_with_the_last_task_of_its_loop() -> None:
    async def main() -> Client:
        return await ClientPerLoop(Client).here()

    client = asyncio.run(main())
    assert client.closed_on == [client.home]


async def test_after_closing_there_is_another_one() -> None:
    clients = ClientPerLoop(Client)
    first = await clients.here()
    await clients.close_here()
    assert await clients.here() is not first
    await clients.close_here()
    await clients.close_here()


# -- a model from everywhere -------------------------------------------------------------------------


def test_one_model_is_used_from_loops_that_come_and_go_from_threads_and_by_synchronous_calls(
    server: ModelServer, openai: OpenAIChat
) -> None:
    server.replies = [said(completion("ok"))]

    async def several() -> list[str]:
        answers = await asyncio.gather(*(openai.ainvoke("q") for _ in range(3)))
        return [answer.text for answer in answers]

    for _ in range(2):
        assert asyncio.run(several()) == ["ok"] * 3
        assert openai.invoke("q").text == "ok"
        with ThreadPoolExecutor(4) as threads:
            assert [answer.text for answer in threads.map(openai.invoke, "abcdef")] == ["ok"] * 6
    openai.close()


def test_streams_too(server: ModelServer, openai: OpenAIChat) -> None:
    server.replies = [streamed(openai_events({"content": "o"}, {"content": "k"}))]

    async def letters() -> list[Any]:
        return [chunk.content async for chunk in openai.astream("q") if chunk.content]

    assert asyncio.run(letters()) == ["o", "k"]
    assert [chunk.content for chunk in openai.stream("q") if chunk.content] == ["o", "k"]
    assert asyncio.run(letters()) == ["o", "k"]
    with openai.stream("q") as chunks:
        next(chunks)  # and no further: what is left is closed
    openai.close()


def test_a_model_made_and_lost_on_a_loop_leaves_nothing_open(server: ModelServer) -> None:
    server.replies = [said(completion("ok"))]

    async def main() -> str:
        return (await openai_model(server).ainvoke("q")).text

    assert asyncio.run(main()) == "ok"  # or the test fails for a ResourceWarning


def test_the_bridges_own_loop_closes_its_client_as_it_is_shut_down(
    server: ModelServer, openai: OpenAIChat
) -> None:
    server.replies = [said(completion("ok"))]
    assert openai.invoke("q").text == "ok"
    bridge.shutdown()
    assert openai.invoke("q").text == "ok"
    openai.close()


async def test_a_model_in_a_block_is_closed_after_it(server: ModelServer) -> None:
    server.replies = [said(completion("ok"))]
    async with openai_model(server) as model:
        await model.ainvoke("q")
        client = await model._clients.here()
        assert not client.is_closed()
    assert client.is_closed()


def test_synchronous_nodes_use_the_client_of_the_runs_loop(server: ModelServer) -> None:
    server.replies = [streamed(openai_events({"content": "o"}, {"content": "k"}))]
    model = openai_model(server)

    def ask(state: State) -> State:
        return {"answer": model.invoke("q").text}

    graph = StateGraph(State).add_node(ask).add_edge(START, "ask").compile()
    shown = list(graph.stream({}, stream_mode="messages"))
    assert [chunk.content for chunk, _ in shown if chunk.content] == ["o", "k"]
    model.close()


# -- a client of one's own ---------------------------------------------------------------------------


async def test_a_client_that_is_passed_in_is_used_and_not_closed(server: ModelServer) -> None:
    server.replies = [said(completion("ok"))]
    async with AsyncOpenAI(api_key="own", base_url=f"{server.url}/v1") as client:
        model = OpenAIChat("gpt-test", client=client)
        await model.ainvoke("q")
        await model.aclose()
        await model.ainvoke("q")
    assert server.requests[0].headers["authorization"] == "Bearer own"
