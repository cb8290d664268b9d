"""The end of the interpreter, with all kinds of work under way: prompt and quiet."""

from pathlib import Path

import pytest

from aiograph.bridge._loop import SHUTDOWN_SECONDS
from tests.bridge.kit import script

PROMPT = 20.0
"""Seconds; far less than what the nodes below would take, and than the patience of the bridge's shutdown
if a machine is not busy, but machines are."""

WORK = """
begun = threading.Event()
log = []

async def forever(state):
    begun.set()
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        say("cleaned up")

def busy(state):
    begun.set()
    time.sleep(300)

def quick(state):
    return {}

async def aquick(state):
    return {}

def in_background(fn):
    thread = threading.Thread(target=fn, daemon=True)
    thread.start()
    begun.wait()
"""

UNDER_WAY = {
    "an async node": ("in_background(lambda: chain(forever).invoke({'value': 0}))", ["cleaned up"]),
    "a sync node on its caller's thread": ("in_background(lambda: chain(busy).invoke({'value': 0}))", []),
    "a sync node on a thread": ("in_background(lambda: chain(busy).invoke({'value': 0}, timeout=60))", []),
    "a stream": ("in_background(lambda: list(chain(forever).stream({'value': 0})))", ["cleaned up"]),
    "an iterator that nobody closed": (
        "stream = chain(aquick, forever).stream({'value': 0}); next(stream); begun.wait()",
        ["cleaned up"],
    ),
    "an iterator whose next node waits for its consumer": (
        "stream = chain(quick, busy).stream({'value': 0}); next(stream)",
        [],
    ),
    "nested runs": (
        "in_background(lambda: chain(chain(chain(forever).invoke).invoke).invoke({'value': 0}))",
        ["cleaned up"],
    ),
    "an asynchronous run": (
        "in_background(lambda: asyncio.run(chain(busy).ainvoke({'value': 0})))",
        [],
    ),
    "abandoned code": (
        """
try:
    chain(busy).invoke({'value': 0}, timeout=0.01)
except TimeoutError:
    pass
""",
        [],
    ),
}


@pytest.mark.parametrize("kind", UNDER_WAY)
def test_it_ends_promptly_and_quietly(kind: str) -> None:
    code, said = UNDER_WAY[kind]
    done = script(WORK, code, "say('last line')")
    assert (done.code, done.complaints) == (0, "")
    assert done.said == ["last line", *said]
    assert done.seconds < PROMPT


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_it_passes_the_exit_code_on(loop: str) -> None:
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    code, _ = UNDER_WAY["a sync node on a thread"]
    done = script(WORK, code, "sys.exit(5)", AIOGRAPH_LOOP=loop)
    assert (done.code, done.complaints) == (5, "")
    assert done.seconds < PROMPT


def test_a_node_that_exits_in_the_main_thread_ends_the_process() -> None:
    done = script("chain(lambda state: sys.exit(4)).invoke({'value': 0})")
    assert (done.code, done.complaints) == (4, "")


def test_ctrl_c_that_nobody_catches_ends_the_process_as_it_does_elsewhere() -> None:
    done = script(
        WORK,
        """
        threading.Thread(target=lambda: (begun.wait(), ctrl_c()), daemon=True).start()
        chain(forever).invoke({"value": 0})
        """,
    )
    assert done.said == ["cleaned up"]
    assert done.complaints.splitlines()[-1] == "KeyboardInterrupt"
    assert done.seconds < PROMPT


def test_calls_at_the_very_end_are_answered_or_refused() -> None:
    """Handlers that were registered before the bridge was run after it, when its loop has been closed."""
    done = script(
        """
        import atexit
        from aiograph.errors import BridgeClosedError
        graph = chain(lambda state: {"value": state["value"] + 1})

        def call():
            try:
                say(graph.invoke({"value": 1}))
            except BridgeClosedError as error:
                say("refused" if "interpreter shuts down" in str(error) else error)

        atexit.register(call)  # runs before the bridge's own handler
        atexit.unregister(shutdown)
        atexit.register(call)
        atexit.register(shutdown)
        graph.invoke({"value": 1})
        """
    )
    assert (done.code, done.complaints) == (0, "")
    assert done.said[-1] in ("refused", "{'value': 2}")
    assert len(done.said) == 2


def test_a_process_that_never_called_starts_no_thread() -> None:
    done = script("say(threading.active_count())")
    assert done.said == ["1"]


STORING = """
from aiograph.checkpoint.sqlite import SqliteSaver

class Pair(TypedDict, total=False):
    first: int
    second: int

async def first(state):
    return {"first": 1}

async def second(state):
    begun.set()
    await asyncio.Event().wait()

def blocking(state):
    begun.set()
    time.sleep(300)

graph = fan(first, SECOND, schema=Pair, checkpointer=SqliteSaver("thread.db"))
config = {"configurable": {"thread_id": "1"}}
"""


@pytest.mark.parametrize("node", ["second", "blocking"])
def test_what_has_finished_is_stored_before_its_file_is_closed_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: str
) -> None:
    monkeypatch.chdir(tmp_path)
    storing = STORING.replace("SECOND", node)
    done = script(WORK, storing, "in_background(lambda: graph.invoke({}, config, durability='exit'))")
    assert (done.code, done.complaints) == (0, "")
    assert done.seconds < SHUTDOWN_SECONDS
    state = script(WORK, storing, "state = graph.get_state(config); say(state.values, state.next)").said
    assert state == ["{'first': 1} ('node_001',)"]
    assert not Path("thread.db-wal").exists()
