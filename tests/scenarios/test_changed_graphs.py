"""Threads that a graph has stored which has changed since: what goes on, is refused, or is migrated."""

import operator
from collections import Counter
from typing import Annotated, Any, TypedDict

import pytest

from aiograph.channels import LastValue, Topic
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.constants import SHAPE
from aiograph.errors import ChangedGraphError, InvalidUpdateError
from aiograph.graph import START, StateGraph
from aiograph.pregel import NodeBuilder, Pregel
from aiograph.types import Command, RunnableConfig, Send, StoredThread, interrupt

THREAD: RunnableConfig = {"configurable": {"thread_id": "1"}}


class State(TypedDict, total=False):
    log: Annotated[list[str], operator.add]
    topic: str


RAN: Counter[str] = Counter()


@pytest.fixture(autouse=True)
def nothing_has_run() -> None:
    RAN.clear()


def node(name: str) -> Any:
    async def work(state: Any) -> Any:
        RAN[name] += 1
        return {"log": [name]}

    return work


def asking(name: str) -> Any:
    async def ask(state: Any) -> Any:
        RAN[name] += 1
        return {"log": [f"{name}: {interrupt('?')}"]}

    return ask


def graph_of(saver: Any, *edges: tuple[Any, str], schema: Any = State, **options: Any) -> Any:
    """A graph with a node for each name; those that begin with `ask` ask."""
    builder: Any = StateGraph(schema)
    for name in sorted({end for _, end in edges}):
        builder.add_node(name, asking(name) if name.startswith("ask") else node(name))
    for start, end in edges:
        builder.add_edge(start, end)
    return builder.compile(saver, name="answers", **options)


@pytest.fixture
async def saver() -> InMemorySaver:
    """Holds a thread that waits for an answer: `a` has run, `ask` is next, `z` waits for both."""
    saver = InMemorySaver()
    await graph_of(saver, *OLD).ainvoke({"log": [], "topic": "old"}, THREAD)
    RAN.clear()
    return saver


OLD: list[tuple[Any, str]] = [(START, "a"), ("a", "ask"), (["a", "ask"], "z")]
NEW: list[tuple[Any, str]] = [(START, "a"), ("a", "ask_user"), (["a", "ask_user"], "z")]


# -- what may change -----------------------------------------------------------------------------------


async def test_a_graph_that_has_grown_goes_on(saver: InMemorySaver) -> None:
    class Wider(State, total=False):
        more: Annotated[list[str], operator.add]

    graph = graph_of(saver, *OLD, ("z", "after"), schema=Wider)
    result = await graph.ainvoke(Command(resume="!"), THREAD)
    assert result["log"] == ["a", "ask: !", "z", "after"]


async def test_code_is_no_part_of_a_graphs_shape(saver: InMemorySaver) -> None:
    class Named(TypedDict, total=False):
        log: Annotated[list[str], lambda left, right: [*left, *right]]
        topic: str

    one, other = graph_of(saver, *OLD), graph_of(saver, *OLD, schema=Named)
    assert one.plan.shape == other.plan.shape


async def test_a_node_that_is_gone_and_was_not_to_run_does_not_matter(saver: InMemorySaver) -> None:
    graph = graph_of(saver, (START, "ask"), ("ask", "new"))
    await graph_of(saver, *OLD).aupdate_state(THREAD, {"log": ["x"]}, as_node="z")
    assert (await graph.ainvoke({"log": ["y"]}, THREAD))["__interrupt__"]


async def test_an_unchanged_thread_is_not_looked_through(saver: InMemorySaver) -> None:
    calls: list[StoredThread] = []

    def migrate(stored: StoredThread) -> StoredThread:
        calls.append(stored)
        return stored

    graph = graph_of(saver, *OLD, migrate=migrate)
    await graph.ainvoke(Command(resume="!"), THREAD)
    assert calls == []


# -- what is refused -----------------------------------------------------------------------------------


@pytest.mark.parametrize("input", [None, Command(resume="!"), Command(update={"topic": "t"})])
async def test_a_run_that_would_go_on_with_a_node_that_is_gone_is_refused(
    saver: InMemorySaver, input: Any
) -> None:
    before = await saver.aget(THREAD)
    with pytest.raises(ChangedGraphError) as caught:
        await graph_of(saver, *NEW).ainvoke(input, THREAD)
    error = caught.value
    assert (error.thread_id, error.graph, error.nodes, error.keys) == ("1", "answers", ("ask", "z"), ())
    assert "thread '1'" in str(error)
    assert "graph 'answers'" in str(error)
    assert "node 'ask' is to run next and is gone, there are ['a', 'ask_user', 'z']" in str(error)
    assert "node 'z' waits for others to run by way of 'join:a+ask:z', which is gone" in str(error)
    assert "compile(migrate=...)" in str(error)
    assert await saver.aget(THREAD) == before
    assert not RAN


async def test_a_key_that_another_kind_of_channel_has_kept_is_refused(saver: InMemorySaver) -> None:
    class Plain(TypedDict, total=False):
        log: list[str]
        topic: Annotated[str, operator.add]

    with pytest.raises(ChangedGraphError) as caught:
        await graph_of(saver, *OLD, schema=Plain).ainvoke(None, THREAD)
    assert sorted(caught.value.keys) == ["log", "topic"]
    assert "key 'log' was kept as BinaryOperatorAggregate and is LastValue now" in str(caught.value)


async def test_a_node_whose_only_trigger_is_gone_is_refused() -> None:
    saver = InMemorySaver()
    with pytest.raises(ValueError, match="as planned"):
        await by_hand(saver, "in", fails=True).ainvoke(1, THREAD)
    with pytest.raises(ChangedGraphError, match="node 'n' is to run next and is gone"):
        await by_hand(saver, "in", name="m").ainvoke(None, THREAD)
    assert await by_hand(saver, "in").ainvoke(None, THREAD) == 2


def by_hand(saver: Any, trigger: str, name: str = "n", *, fails: bool = False) -> Any:
    def work(value: int) -> int:
        if fails:
            raise ValueError("as planned")
        return value + 1

    return Pregel(
        nodes={name: NodeBuilder().subscribe_only(trigger).do(work).write_to("out")},
        channels={trigger: LastValue(int), "out": LastValue(int)},
        input_channels=trigger,
        output_channels="out",
        checkpointer=saver,
    )


async def test_a_send_to_a_node_that_is_gone_is_refused_when_it_runs() -> None:
    saver = InMemorySaver()

    def fan_out(state: State) -> list[Send]:
        return [Send("ask", state)]

    builder: Any = StateGraph(State).add_node("ask", asking("ask"))
    builder.add_conditional_edges(START, fan_out, ["ask"])
    await builder.compile(saver).ainvoke({"log": []}, THREAD)
    with pytest.raises(InvalidUpdateError, match="a Send names the node 'ask'"):
        await graph_of(saver, *NEW).ainvoke(Command(resume="!"), THREAD)


# -- what can be done about it ---------------------------------------------------------------------------


async def test_the_state_of_such_a_thread_can_be_seen(saver: InMemorySaver) -> None:
    graph = graph_of(saver, *NEW)
    state = await graph.aget_state(THREAD)
    assert state.next == ("ask",)
    assert state.values == {"log": ["a"], "topic": "old"}
    assert [question.value for question in state.interrupts] == ["?"]
    assert [each.next async for each in graph.aget_state_history(THREAD, limit=1)] == [("ask",)]


async def test_a_value_that_cannot_be_read_any_more_is_left_out_of_what_is_shown() -> None:
    saver = InMemorySaver()
    await graph_of(saver, (START, "ask")).ainvoke({"log": [], "topic": "old"}, THREAD)

    class Numbered(LastValue[int]):
        def from_checkpoint(self, checkpoint: Any) -> "Numbered":
            new = super().from_checkpoint(checkpoint)
            new.value = int(checkpoint)
            return new

    class Other(TypedDict, total=False):
        log: Annotated[list[str], operator.add]
        topic: Annotated[int, Numbered(int)]

    graph = graph_of(saver, (START, "ask"), schema=Other)
    assert (await graph.aget_state(THREAD)).values == {"log": []}
    with pytest.raises(ChangedGraphError, match="key 'topic' was kept as LastValue and is Numbered now"):
        await graph.ainvoke({"log": ["new"]}, THREAD)


async def test_new_input_drops_what_was_to_run(saver: InMemorySaver) -> None:
    result = await graph_of(saver, *NEW).ainvoke({"topic": "new"}, THREAD)
    assert result["__interrupt__"]
    assert RAN == {"a": 1, "ask_user": 1}


async def test_an_update_can_mend_the_thread(saver: InMemorySaver) -> None:
    graph = graph_of(saver, *NEW)
    await graph.aupdate_state(THREAD, {"log": ["by hand"]}, as_node="a")
    assert (await graph.aget_state(THREAD)).next == ("ask_user",)
    assert (await graph.ainvoke(None, THREAD))["__interrupt__"]


# -- migrations ------------------------------------------------------------------------------------------


def renamed(stored: StoredThread) -> StoredThread:
    return stored.rename_node("ask", "ask_user")


async def test_a_renamed_node_keeps_its_question_and_takes_the_answer(saver: InMemorySaver) -> None:
    graph = graph_of(saver, *NEW, migrate=renamed)
    state = await graph.aget_state(THREAD)
    assert (state.next, [question.value for question in state.interrupts]) == (("ask_user",), ["?"])
    result = await graph.ainvoke(Command(resume="!"), THREAD)
    assert result["log"] == ["a", "ask_user: !", "z"]
    assert RAN == {"ask_user": 1, "z": 1}


async def test_a_migration_is_told_what_there_is(saver: InMemorySaver) -> None:
    seen: list[StoredThread] = []

    def look(stored: StoredThread) -> StoredThread:
        seen.append(stored)
        return renamed(stored)

    newest: Any = await saver.aget(THREAD)
    await graph_of(saver, *NEW, migrate=look).ainvoke(Command(resume="!"), THREAD)
    assert (seen[0].thread_id, seen[0].namespace, seen[0].checkpoint_id) == ("1", "", newest["id"])
    assert seen[0].graph == graph_of(saver, *OLD).plan.shape.id
    assert (seen[0].values, seen[0].next) == ({"log": ["a"], "topic": "old"}, ("ask",))


async def test_a_migration_happens_once_and_its_result_is_kept(saver: InMemorySaver) -> None:
    calls: list[str] = []

    class Renamed(TypedDict, total=False):
        log: Annotated[list[str], operator.add]
        subject: str

    def migrate(stored: StoredThread) -> StoredThread:
        calls.append(stored.thread_id)
        return renamed(stored).rename_key("topic", "subject")

    graph = graph_of(saver, *NEW, schema=Renamed, migrate=migrate)
    result = await graph.ainvoke(Command(resume="!"), THREAD)
    assert result == {"log": ["a", "ask_user: !", "z"], "subject": "old"}
    assert (await graph_of(saver, *NEW, schema=Renamed).aget_state(THREAD)).values == result
    await graph.ainvoke({"log": ["again"]}, THREAD)
    assert calls == ["1"]


async def test_what_a_migration_makes_of_the_values_is_stored(tmp_path: Any) -> None:
    class Counted(TypedDict, total=False):
        log: Annotated[str, Topic(str, accumulate=True)]
        topic: str

    def migrate(stored: StoredThread) -> StoredThread:
        return stored.with_values(log=[each.upper() for each in stored.values["log"]])

    async with AsyncSqliteSaver(str(tmp_path / "threads.db")) as saver:
        await graph_of(saver, (START, "a"), ("a", "b")).ainvoke({"log": ["x"], "topic": "t"}, THREAD)
        graph = graph_of(saver, (START, "a"), ("a", "b"), schema=Counted, migrate=migrate)
        result = await graph.ainvoke({"topic": "u"}, THREAD)
        assert result == {"log": ["X", "A", "B", "a", "b"], "topic": "u"}
        assert (await graph.aget_state(THREAD)).values == result


async def test_a_migration_may_say_what_runs_next(saver: InMemorySaver) -> None:
    def skip(stored: StoredThread) -> StoredThread:
        return stored.with_next("z")

    result = await graph_of(saver, *NEW, migrate=skip).ainvoke(None, THREAD)
    assert result["log"] == ["a", "z"]


async def test_a_migration_may_end_what_was_to_run(saver: InMemorySaver) -> None:
    graph = graph_of(saver, *NEW, migrate=lambda stored: stored.with_next())
    assert (await graph.aget_state(THREAD)).next == ()
    assert (await graph.ainvoke(None, THREAD))["log"] == ["a"]
    assert not RAN


async def test_sends_go_to_the_node_under_its_new_name() -> None:
    saver = InMemorySaver()

    def graph(name: str, **options: Any) -> Any:
        builder: Any = StateGraph(State).add_node(name, asking(name))
        builder.add_conditional_edges(START, lambda state: [Send(name, {})], [name])
        return builder.compile(saver, **options)

    await graph("ask").ainvoke({"log": []}, THREAD)
    migrated = graph("ask_user", migrate=renamed)
    assert (await migrated.ainvoke(Command(resume="!"), THREAD))["log"] == ["ask_user: !"]


async def test_finished_siblings_of_a_renamed_node_do_not_run_again() -> None:
    saver = InMemorySaver()
    await graph_of(saver, (START, "ask"), (START, "b")).ainvoke({"log": []}, THREAD)
    RAN.clear()
    graph = graph_of(saver, (START, "ask_user"), (START, "b"), migrate=renamed)
    assert (await graph.ainvoke(Command(resume="!"), THREAD))["log"] == ["ask_user: !", "b"]
    assert RAN == {"ask_user": 1}


async def test_a_migration_that_does_not_help_is_refused_like_none(saver: InMemorySaver) -> None:
    with pytest.raises(ChangedGraphError, match="'ask' is to run next"):
        await graph_of(saver, *NEW, migrate=lambda stored: stored).ainvoke(None, THREAD)


async def test_wherever_a_thread_stands_it_goes_on_with_all_its_nodes_renamed() -> None:
    saver = InMemorySaver()
    edges: list[tuple[Any, str]] = [
        *((START, "a"), (START, "b"), ("a", "c"), (["a", "b"], "d"), (["b", "c", "d"], "e"), ("e", "f"))
    ]
    names = {name: f"new_{name}" for name in "abcdef"}
    renamed_edges: list[tuple[Any, str]] = [
        (start if start == START else [names[each] for each in start], names[end]) for start, end in edges
    ]

    def migrate(stored: StoredThread) -> StoredThread:
        for old, new in names.items():
            stored = stored.rename_node(old, new)
        return stored

    graph = graph_of(saver, *edges)
    expected = (await graph.ainvoke({"log": []}, THREAD, durability="sync"))["log"]
    new = graph_of(saver, *renamed_edges, migrate=migrate)
    checkpoints = [each async for each in graph.aget_state_history(THREAD)]
    assert len(checkpoints) == 6
    for each in checkpoints:
        done = each.values.get("log", [])
        result = await new.ainvoke(None, each.config)
        assert result["log"] == [*done, *(names[name] for name in expected[len(done) :])]


async def test_a_migrated_value_triggers_nobody_who_has_run_for_it() -> None:
    saver = InMemorySaver()
    ran: list[int] = []

    def graph(**options: Any) -> Any:
        def first(value: int) -> int:
            ran.append(value)
            return value + 1

        def second(value: int) -> int:
            if not options:
                raise ValueError("as planned")
            return value * 10

        nodes = {
            "first": NodeBuilder().subscribe_only("in").do(first).write_to("between"),
            "second": NodeBuilder().subscribe_only("between").do(second).write_to("out"),
        }
        names = ("in", "between", "out", *(["more"] if options else []))
        return Pregel(
            nodes=nodes,
            channels={name: LastValue(int, name) for name in names},
            input_channels="in",
            output_channels="out",
            checkpointer=saver,
            **options,
        )

    with pytest.raises(ValueError, match="as planned"):
        await graph().ainvoke(1, THREAD)
    migrated = graph(migrate=lambda stored: stored.with_values(between=5))
    assert await migrated.ainvoke(None, THREAD) == 50
    assert ran == [1]


@pytest.mark.parametrize(
    ("migrate", "kind", "text"),
    [
        (lambda stored: None, TypeError, "returns the StoredThread"),
        (lambda stored: stored.with_next("nowhere"), ValueError, "has 'nowhere' run next"),
    ],
)
async def test_a_migration_that_makes_no_sense_is_told(
    saver: InMemorySaver, migrate: Any, kind: Any, text: str
) -> None:
    with pytest.raises(kind, match=text):
        await graph_of(saver, *NEW, migrate=migrate).ainvoke(None, THREAD)


# -- what it costs -----------------------------------------------------------------------------------------


async def test_the_shape_is_stored_once_for_a_thread(saver: InMemorySaver) -> None:
    await graph_of(saver, *OLD).ainvoke(Command(resume="!"), THREAD)
    versions = {each.checkpoint["channel_versions"][SHAPE] async for each in saver.alist(THREAD)}
    assert len(versions) == 1


async def test_a_thread_that_was_stored_before_there_were_shapes_goes_on(saver: InMemorySaver) -> None:
    old = await without_shapes(saver)
    assert (await graph_of(old, *OLD).ainvoke(Command(resume="!"), THREAD))["log"] == ["a", "ask: !", "z"]


async def test_such_a_thread_is_refused_for_nodes_that_are_gone_and_can_be_migrated(
    saver: InMemorySaver,
) -> None:
    old = await without_shapes(saver)
    with pytest.raises(ChangedGraphError, match="'ask' is to run next"):
        await graph_of(old, *NEW).ainvoke(Command(resume="!"), THREAD)
    migrated = graph_of(old, *NEW, migrate=renamed)
    assert (await migrated.ainvoke(Command(resume="!"), THREAD))["log"] == ["a", "ask_user: !", "z"]


async def without_shapes(saver: InMemorySaver) -> Any:
    """The same saver, which has nothing to tell of shapes that were stored so far."""

    class Old(InMemorySaver):
        async def ahold(self, config: RunnableConfig) -> Any:
            found, hold = await saver.ahold(config)
            if found is not None and found.checkpoint["id"] in known:
                found.checkpoint["channel_values"].pop(SHAPE)
                found.checkpoint["channel_versions"].pop(SHAPE)
            return found, hold

        acommit = saver.acommit
        arecord = saver.arecord
        aclaim = saver.aclaim
        encode_commit = saver.encode_commit
        encode_writes = saver.encode_writes

    known = [each.checkpoint["id"] async for each in saver.alist(THREAD)]
    return Old()
