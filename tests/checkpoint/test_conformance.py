"""LangGraph's published conformance suite over our savers."""

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from langgraph.checkpoint.conformance.capabilities import BASE_CAPABILITIES, Capability

from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from tests.checkpoint.conformance import SaverForLangGraph

Saver: TypeAlias = BaseCheckpointSaver[Any]
Opener: TypeAlias = Callable[[pytest.FixtureRequest], AbstractAsyncContextManager[Saver]]


@asynccontextmanager
async def in_memory(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    yield SaverForLangGraph(InMemorySaver())


@asynccontextmanager
async def sqlite(request: pytest.FixtureRequest) -> AsyncIterator[Saver]:
    folder: Path = request.getfixturevalue("tmp_path")
    async with AsyncSqliteSaver.from_conn_string(str(folder / "checkpoints.db")) as saver:
        yield SaverForLangGraph(saver)


SAVERS: Sequence[Opener] = [in_memory, sqlite]

# -- the suite -------------------------------------------------------------------------------------

TESTS = {
    Capability.PUT: 17,
    Capability.PUT_WRITES: 10,
    Capability.GET_TUPLE: 10,
    Capability.LIST: 16,
    Capability.DELETE_THREAD: 5,
}
"""How many tests each capability has, so that none is left out unseen."""


def test_every_capability_that_a_saver_must_have_is_examined() -> None:
    assert TESTS.keys() == BASE_CAPABILITIES


@pytest.mark.parametrize("capability", TESTS, ids=lambda capability: capability.value)
@pytest.mark.parametrize("opened", SAVERS)
async def test_a_saver_has_the_capability(
    request: pytest.FixtureRequest, opened: Opener, capability: Capability
) -> None:
    @checkpointer_test(name=opened.__name__)
    async def examined() -> AsyncGenerator[Saver]:
        async with opened(request) as saver:
            yield saver

    report = await validate(examined, capabilities={capability.value})
    result = report.results[capability.value]
    assert result.failures == []
    assert result.tests_passed == TESTS[capability]
