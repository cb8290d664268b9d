"""Ctrl-C, as real signals to real processes whose main thread waits in a synchronous call."""

import pytest

from tests.bridge.kit import script

# Each script presses Ctrl-C itself, once it knows that the node is where it should be.

NODES = """
from aiograph._threads import current_job

log = []
begun, cancelled, release = threading.Event(), threading.Event(), threading.Event()

def press(times=1):
    def pressing():
        begun.wait()
        ctrl_c()
        if times == 2:
            cancelled.wait()
            ctrl_c()
    threading.Thread(target=pressing, daemon=True).start()

async def awaiting(state):
    until(main_thread_waits)
    begun.set()
    await beside(state)

async def beside(state):
    try:
        await asyncio.Event().wait()
    finally:
        await asyncio.sleep(0.01)
        log.append("cleaned up")

def stuck(state):
    begun.set()
    while not release.wait(0.001):
        job = current_job.get()  # there is none on the thread that calls
        if job is not None and job.cancelled:
            cancelled.set()
    log.append("node ended")
    return {}

def served(state):
    assert threading.current_thread() is threading.main_thread()
    return stuck(state)

def in_worker(state):
    assert threading.current_thread() is not threading.main_thread()
    return stuck(state)

async def quick(state):
    return {}

def first(state):
    return {}

def usable():
    assert chain(lambda state: {"value": "usable"}).invoke({"value": 0}) == {"value": "usable"}
    until(lambda: thread_statistics().busy == 0)
    say("usable", thread_statistics().abandoned)
"""


def test_while_an_async_node_runs_its_clean_up_is_waited_for() -> None:
    done = script(
        NODES,
        """
        press()
        try:
            chain(awaiting).invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted ['cleaned up']", "usable 0"], done.complaints


def test_while_a_stream_waits_for_an_async_node_its_clean_up_is_waited_for() -> None:
    done = script(
        NODES,
        """
        seen = []

        async def awaiting_later(state):
            while not seen:
                await asyncio.sleep(0.001)
            await awaiting(state)

        press()
        stream = chain(quick, awaiting_later).stream({"value": 0})
        try:
            for update in stream:
                say(update)
                seen.append(update)
        except KeyboardInterrupt:
            say("interrupted", log)
        say(list(stream))
        usable()
        """,
    )
    assert done.said == ["{'node_0': None}", "interrupted ['cleaned up']", "[]", "usable 0"], done.complaints


def test_while_a_sync_node_is_served_it_strikes_the_node() -> None:
    done = script(
        NODES,
        """
        press()
        try:
            chain(served).invoke({"value": 0})
        except KeyboardInterrupt as error:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted []", "usable 0"], done.complaints


def test_while_a_sync_node_is_served_in_a_stream_it_strikes_the_node() -> None:
    done = script(
        NODES,
        """
        press()
        try:
            list(chain(quick, served).stream({"value": 0}))
        except KeyboardInterrupt as error:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted []", "usable 0"], done.complaints


def test_while_a_sync_node_is_served_its_siblings_are_cancelled_and_cleaned_up() -> None:
    done = script(
        NODES,
        """
        press()
        try:
            fan(beside, served, schema=Box).invoke({"value": 0})
        except KeyboardInterrupt as error:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted ['cleaned up']", "usable 0"], done.complaints


def test_while_a_sync_node_runs_in_a_worker_its_end_is_waited_for() -> None:
    done = script(
        NODES,
        """
        press()
        threading.Thread(target=lambda: (cancelled.wait(), release.set()), daemon=True).start()
        try:
            fan(first, in_worker, schema=Box).invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted ['node ended']", "usable 0"], done.complaints


def test_a_second_time_it_gives_up_on_the_sync_node_which_is_counted() -> None:
    done = script(
        NODES,
        """
        press(2)
        try:
            fan(first, in_worker, schema=Box).invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log, thread_statistics().abandoned)
        release.set()
        until(lambda: log)
        usable()
        """,
    )
    assert done.said == ["interrupted [] 1", "usable 0"], done.complaints


def test_a_second_time_counts_even_if_the_first_struck_a_node_that_was_served() -> None:
    done = script(
        NODES,
        """
        both = threading.Barrier(2)

        def meeting(state):
            both.wait(30)
            return stuck(state)

        press(2)
        try:
            fan(meeting, meeting, schema=Box).invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log, thread_statistics().abandoned)
        release.set()
        until(lambda: log)
        usable()
        """,
    )
    assert done.said == ["interrupted [] 1", "usable 0"], done.complaints


def test_a_second_time_gives_up_under_step_and_node_timeouts_as_well() -> None:
    done = script(
        NODES,
        """
        from dataclasses import replace
        from aiograph.types import TimeoutPolicy
        graph = chain(in_worker)
        timeout = TimeoutPolicy(run_timeout=60)
        nodes = {name: replace(node, timeout=timeout) for name, node in graph._plan.nodes.items()}
        graph = graph.of(replace(graph._plan, nodes=nodes), replace(graph._options, step_timeout=60))
        press(2)
        try:
            graph.invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log, thread_statistics().abandoned)
        release.set()
        until(lambda: log)
        usable()
        """,
    )
    assert done.said == ["interrupted [] 1", "usable 0"], done.complaints
    assert done.seconds < 30


def test_a_second_time_gives_up_on_nodes_of_nested_runs() -> None:
    done = script(
        NODES,
        """
        inner = fan(first, in_worker, schema=Box)
        def outer(state):
            return inner.invoke(state, timeout=60)  # in no hurry, but never on the waiting thread
        press(2)
        try:
            fan(first, outer, schema=Box).invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log, thread_statistics().abandoned > 0)
        release.set()
        until(lambda: log)
        usable()
        """,
    )
    assert done.said == ["interrupted [] True", "usable 0"], done.complaints


def test_below_nested_calls_on_the_waiting_thread_it_ends_all_of_them() -> None:
    done = script(
        NODES,
        """
        graph = chain(awaiting)
        for _ in range(6):
            graph = chain(graph.invoke)
        press()
        try:
            graph.invoke({"value": 0})
        except KeyboardInterrupt:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted ['cleaned up']", "usable 0"], done.complaints


def test_during_the_clean_up_after_a_timeout_the_clean_up_is_still_waited_for() -> None:
    done = script(
        NODES,
        """
        async def slow_to_leave(state):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                begun.set()
                try:
                    await asyncio.sleep(0.3)
                finally:
                    log.append("cleaned up")
                raise
        press()
        try:
            chain(slow_to_leave).invoke({"value": 0}, timeout=0.5)
        except KeyboardInterrupt:
            say("interrupted", log)
        usable()
        """,
    )
    assert done.said == ["interrupted ['cleaned up']", "usable 0"], done.complaints


STRIKES = """
import random
graph = chain(*[first, quick] * 4)
wide = fan(first, first, quick, schema=Box)
def nested(state):
    return wide.invoke(state)
graphs = [graph, wide, chain(nested, quick, nested)]
for warmed_up in graphs:  # Ctrl-C in the middle of an import is another story
    warmed_up.invoke({"value": 0})
    list(warmed_up.stream({"value": 0}))
chance = random.Random(int(os.environ["SEED"]))
go = threading.Event()

def pressing():
    while True:
        go.wait()
        go.clear()
        time.sleep(chance.random() * 0.002)
        ctrl_c()

threading.Thread(target=pressing, daemon=True).start()
struck = 0
for number in range(int(os.environ["STRIKES"])):
    try:
        go.set()
        end = time.monotonic() + 3
        while time.monotonic() < end:
            if number % 2:
                graphs[number % 3].invoke({"value": 0})
            else:
                list(graphs[number % 3].stream({"value": 0}))
    except KeyboardInterrupt:
        struck += 1

async def left():
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]

until(lambda: thread_statistics().busy == 0)
until(lambda: not asyncio.run_coroutine_threadsafe(left(), bridge_loop()).result())
# Python itself loses one that strikes while a weak reference is cleared away: it says so and goes on
say("struck" if struck > 0.98 * int(os.environ["STRIKES"]) else struck, thread_statistics().abandoned)
"""


def test_it_never_hangs_and_leaves_nothing_wherever_it_strikes() -> None:
    """Pressed at moments spread over calls of many supersteps, again and again."""
    done = script(NODES, STRIKES, SEED="7", STRIKES="300")
    assert done.said == ["struck 0"], done.complaints
    assert "never awaited" not in done.complaints
    assert "was destroyed" not in done.complaints


@pytest.mark.long
@pytest.mark.parametrize("seed", range(20))
def test_it_never_hangs_wherever_it_strikes_at_length(seed: int) -> None:
    done = script(NODES, STRIKES, SEED=str(seed), STRIKES="10000", patience=600)
    assert done.said == ["struck 0"], done.complaints


def test_in_a_foreign_running_loop_it_ends_the_call_as_well() -> None:
    done = script(
        NODES,
        """
        import warnings
        from aiograph.warnings import BlockingCallWarning
        warnings.simplefilter("ignore", BlockingCallWarning)

        async def cell():
            signal.signal(signal.SIGINT, signal.default_int_handler)  # as a notebook has it
            press()
            try:
                chain(awaiting).invoke({"value": 0})
            except KeyboardInterrupt:
                say("interrupted", log)

        asyncio.run(cell())
        usable()
        """,
    )
    assert done.said == ["interrupted ['cleaned up']", "usable 0"], done.complaints
