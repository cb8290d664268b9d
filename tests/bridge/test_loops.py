"""Which event loop the bridge runs on."""

import asyncio
import importlib.util

import pytest

from tests.bridge.kit import script

HAS_UVLOOP = importlib.util.find_spec("uvloop") is not None
needs_uvloop = pytest.mark.skipif(not HAS_UVLOOP, reason="uvloop is not installed, as on Windows")

ASK = "chain(lambda state: {}).invoke({'value': 0}); say(type(bridge_loop()).__module__.partition('.')[0])"


def test_asyncios_own_on_demand() -> None:
    assert script(ASK, AIOGRAPH_LOOP="asyncio").said == ["asyncio"]


@needs_uvloop
@pytest.mark.parametrize("choice", ["auto", "uvloop"])
def test_uvloop_where_it_is_installed(choice: str) -> None:
    assert script(ASK, AIOGRAPH_LOOP=choice).said == ["uvloop"]


def test_asyncios_own_where_uvloop_is_not_installed() -> None:
    done = script("sys.modules['uvloop'] = None", ASK, AIOGRAPH_LOOP="auto")
    assert done.said == ["asyncio"], done.complaints


def test_uvloop_that_is_asked_for_has_to_be_there() -> None:
    done = script("sys.modules['uvloop'] = None", ASK, AIOGRAPH_LOOP="uvloop")
    assert "ModuleNotFoundError" in done.complaints


@needs_uvloop
def test_a_process_without_descriptors_left_gets_an_error_and_goes_on() -> None:
    """libuv ends the process where it finds none."""
    done = script(
        "import resource",
        "limits = resource.getrlimit(resource.RLIMIT_NOFILE)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir('/dev/fd')), limits[1]))",
        "try: bridge_loop()",
        "except OSError as error: say(error.strerror)",
        "resource.setrlimit(resource.RLIMIT_NOFILE, limits)",
        ASK,
        AIOGRAPH_LOOP="uvloop",
    )
    assert done.said == ["Too many open files", "uvloop"], done.complaints


def test_a_loop_that_gets_no_thread_says_so() -> None:
    done = script(
        "from aiograph.errors import BridgeClosedError",
        "def refuse(thread): raise RuntimeError('can\\'t start new thread')",
        "start, threading.Thread.start = threading.Thread.start, refuse",
        "try: bridge_loop()",
        "except BridgeClosedError as error: say(error)",
        "threading.Thread.start = start",
        ASK,
        AIOGRAPH_LOOP="asyncio",
    )
    assert done.said == [
        "no thread can be started for synchronous calls, "
        "as the interpreter shuts down or the system has none left: can't start new thread",
        "asyncio",
    ], done.complaints


def test_a_choice_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = script(ASK, AIOGRAPH_LOOP="trio")
    last = done.complaints.splitlines()[-1]
    assert last == "ValueError: AIOGRAPH_LOOP is 'trio'; it may be 'auto', 'uvloop' or 'asyncio'"


@needs_uvloop
def test_a_run_on_uvloop_and_its_nodes_work_with_the_bridge() -> None:
    import uvloop

    from tests.bridge.kit import chain

    inner = chain(lambda state: {"value": state["value"] + 1})

    async def anode(state: object) -> object:
        return await inner.ainvoke(state)

    graph = chain(lambda state: inner.invoke(state), anode)

    async def main() -> object:
        assert isinstance(asyncio.get_running_loop(), uvloop.Loop)
        return await graph.ainvoke({"value": 0})

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(main()) == {"value": 2}
    assert graph.invoke({"value": 0}) == {"value": 2}
