"""What the shape of a graph gives away: each fault by its sentence, reachability against an oracle."""

from itertools import pairwise, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.constants import END, START
from aiograph.graph._analysis import BranchOutline, NodeOutline, Outline, Report, Routes, analyse

PLAIN = NodeOutline(routes="none", may_interrupt=False)
ASKING = NodeOutline(routes="none", may_interrupt=True)
ROAMING = NodeOutline(routes="unknown", may_interrupt=False)


def routing(*destinations: str) -> NodeOutline:
    return NodeOutline(routes="declared", destinations=frozenset(destinations), may_interrupt=False)


def plain(names: str) -> dict[str, NodeOutline]:
    return dict.fromkeys(names, PLAIN)


def path(*names: str) -> frozenset[tuple[str, str]]:
    return frozenset(pairwise(names))


def only(sentences: tuple[str, ...]) -> str:
    (sentence,) = sentences
    return sentence


# -- sound graphs --------------------------------------------------------------------------------------

SOUND = {
    "a path": Outline(nodes=plain("ab"), edges=path(START, "a", "b", END)),
    "a path that just ends": Outline(nodes=plain("ab"), edges=path(START, "a", "b")),
    "nothing but input": Outline(nodes={}, edges=path(START, END)),
    "a conditional entry": Outline(nodes=plain("a"), branches=[BranchOutline(START, frozenset({"a", END}))]),
    "a loop with an exit by branch": Outline(
        nodes=plain("ab"),
        edges=path(START, "a", "b", "a"),
        branches=[BranchOutline("b", frozenset({"a", END}))],
    ),
    "a loop with an exit by Command": Outline(
        nodes={**plain("a"), "b": routing("a", END)}, edges=path(START, "a", "b")
    ),
    "a loop of nodes that may go anywhere": Outline(
        nodes=dict.fromkeys("ab", ROAMING), edges=path(START, "a", "b", "a")
    ),
    "a loop with a branch that may go anywhere": Outline(
        nodes=plain("ab"), edges=path(START, "a", "b"), branches=[BranchOutline("b")]
    ),
    "a loop that a node leaves which finishes": Outline(
        nodes=plain("abc"), edges=path(START, "a", "b", "a") | path("b", "c")
    ),
    "a loop that a join leaves": Outline(
        nodes=plain("abc"), edges=path(START, "a", "b", "a"), joins={(("a", "b"), "c")}
    ),
    "a join": Outline(
        nodes=plain("abc"), edges=path(START, "a") | path(START, "b"), joins={(("a", "b"), "c")}
    ),
    "a join into END": Outline(
        nodes=plain("ab"), edges=path(START, "a") | path(START, "b"), joins={(("a", "b"), END)}
    ),
    "a node that only `then` runs": Outline(
        nodes=plain("abc"),
        edges=path(START, "a"),
        branches=[BranchOutline("a", frozenset({"b", END}), then="c")],
    ),
    "a node that only Send reaches": Outline(nodes={"a": routing("b"), "b": PLAIN}, edges=path(START, "a")),
    "a node that a roaming one may reach": Outline(nodes={"a": ROAMING, "b": PLAIN}, edges=path(START, "a")),
}


@pytest.mark.parametrize("outline", SOUND.values(), ids=SOUND)
def test_sound_graph_is_left_alone(outline: Outline) -> None:
    assert analyse(outline, strict=True) == Report((), ())


# -- entry and names -----------------------------------------------------------------------------------


def test_graph_without_entry_point_says_so_once() -> None:
    report = analyse(Outline(nodes=plain("ab"), edges=path("a", "b")))
    assert report == Report(
        ("the graph has no entry point, as nothing leaves START: add an edge from START to a node",), ()
    )


def test_unknown_target_is_named_with_what_exists_and_the_closest_match() -> None:
    nodes = {"agent": PLAIN, "tools": PLAIN}
    outline = Outline(nodes=nodes, edges=path(START, "agent", "tols") | path("agent", "tools"))
    assert only(analyse(outline).faults) == (
        "the edge 'agent' -> 'tols' names 'tols', which does not exist (did you mean 'tools'?): "
        "add that node, or use one of 'agent', 'tools'"
    )


def test_long_list_of_existing_names_is_cut_short() -> None:
    nodes = {f"n{number}": PLAIN for number in range(50)}
    edges = frozenset((START, name) for name in nodes) | path("n0", "!")
    assert only(analyse(Outline(nodes=nodes, edges=edges)).faults).endswith("'n18', 'n19' and 30 more")


UNKNOWN = {
    "the edge 'x' -> 'a' names 'x'": Outline(nodes=plain("a"), edges=path(START, "a") | path("x", "a")),
    "the join of 'a', 'x' into 'b' names 'x'": Outline(
        nodes=plain("ab"), edges=path(START, "a"), joins={(("a", "x"), "b")}
    ),
    "the join of 'a', 'b' into 'x' names 'x'": Outline(
        nodes=plain("ab"), edges=path(START, "a", "b"), joins={(("a", "b"), "x")}
    ),
    "the branch from 'x' names 'x'": Outline(
        nodes=plain("a"), edges=path(START, "a"), branches=[BranchOutline("x", frozenset({"a"}))]
    ),
    "the branch from 'a' names 'x'": Outline(
        nodes=plain("a"), edges=path(START, "a"), branches=[BranchOutline("a", frozenset({"x", END}))]
    ),
    "`then` of the branch from 'a' names 'x'": Outline(
        nodes=plain("ab"), edges=path(START, "a"), branches=[BranchOutline("a", frozenset({"b"}), "x")]
    ),
    "the list of destinations of node 'a' names 'x'": Outline(
        nodes={"a": routing("x")}, edges=path(START, "a")
    ),
    "the list of interrupts names 'x'": Outline(
        nodes=plain("a"), edges=path(START, "a"), interrupts=frozenset({"x"})
    ),
}


@pytest.mark.parametrize(("sentence", "outline"), UNKNOWN.items(), ids=UNKNOWN)
def test_unknown_name_is_one_fault_and_nothing_follows_from_it(sentence: str, outline: Outline) -> None:
    faults, warnings = analyse(outline)
    assert only(faults).startswith(f"{sentence}, which does not exist: add that node, or use one of 'a'")
    assert warnings == ()


MISPLACED = {
    "the edge '__end__' -> 'a' leaves END": Outline(
        nodes=plain("a"), edges=path(START, "a") | path(END, "a")
    ),
    "the edge 'a' -> '__start__' names START": Outline(nodes=plain("a"), edges=path(START, "a", START)),
    "the join of '__start__', 'a' into 'b' waits for START": Outline(
        nodes=plain("ab"), edges=path(START, "a"), joins={((START, "a"), "b")}
    ),
    "the join of 'a', '__end__' into 'b' leaves END": Outline(
        nodes=plain("ab"), edges=path(START, "a", "b"), joins={(("a", END), "b")}
    ),
    "the branch from '__end__' leaves END": Outline(
        nodes=plain("a"), edges=path(START, "a"), branches=[BranchOutline(END, frozenset({"a"}))]
    ),
    "the branch from 'a' names START": Outline(
        nodes=plain("a"), edges=path(START, "a"), branches=[BranchOutline("a", frozenset({START}))]
    ),
    "the list of destinations of node 'a' names START": Outline(
        nodes={"a": routing(START)}, edges=path(START, "a")
    ),
}


@pytest.mark.parametrize(("sentence", "outline"), MISPLACED.items(), ids=MISPLACED)
def test_virtual_node_in_the_wrong_place(sentence: str, outline: Outline) -> None:
    assert only(analyse(outline).faults).startswith(sentence)


def test_everything_is_found_at_once_and_always_in_the_same_order() -> None:
    outline = Outline(
        nodes=plain("abcd"),
        edges=path("a", "x") | path(END, "a") | path("c", "d", "c"),
        joins={(("a", "y"), "b")},
        branches=[BranchOutline("b", frozenset({"z"}))],
    )
    faults, warnings = analyse(outline)
    firsts = [fault.split(",")[0].split(":")[0] for fault in faults]
    assert firsts == [
        "the graph has no entry point",
        "the edge '__end__' -> 'a' leaves END",
        "the edge 'a' -> 'x' names 'x'",
        "the join of 'a'",
        "the branch from 'b' names 'z'",
        "the cycle of 'c'",
    ]
    assert warnings == ()


# -- what can run --------------------------------------------------------------------------------------


def test_unreachable_nodes_are_warnings() -> None:
    faults, warnings = analyse(Outline(nodes=plain("abc"), edges=path(START, "a", END) | path("b", "c")))
    assert faults == ()
    assert [warning.split(",")[0] for warning in warnings] == [
        "node 'b' can never run",
        "node 'c' can never run",
    ]


def test_join_that_waits_for_a_node_which_never_runs_is_a_deadlock() -> None:
    outline = Outline(nodes=plain("abc"), edges=path(START, "a"), joins={(("a", "b"), "c")})
    assert only(analyse(outline).faults) == (
        "the join of 'a', 'b' into 'c' can never fire, as 'b' can never run: "
        "add an edge that leads there, or do not wait for it"
    )


def test_join_that_waits_for_what_only_itself_starts_is_a_deadlock() -> None:
    outline = Outline(nodes=plain("abc"), edges=path(START, "a") | path("c", "b"), joins={(("a", "b"), "c")})
    assert "'b' can never run" in only(analyse(outline).faults)


def test_join_behind_a_join_that_never_fires_is_reported_too() -> None:
    outline = Outline(
        nodes=plain("abcd"), edges=path(START, "a"), joins={(("a", "b"), "c"), (("a", "c"), "d")}
    )
    assert len(analyse(outline).faults) == 2


# -- what can stop -------------------------------------------------------------------------------------


def loop(node: NodeOutline, interrupts: frozenset[str] = frozenset()) -> Outline:
    """START -> a -> b -> a, where b is `node`."""
    nodes = {"a": PLAIN, "b": node}
    return Outline(nodes=nodes, edges=path(START, "a", "b", "a"), interrupts=interrupts)


def test_cycle_without_a_way_out_is_a_fault() -> None:
    assert only(analyse(loop(PLAIN)).faults) == (
        "the cycle of 'a', 'b' has no way out: lead a branch from it to END or to a node that finishes"
    )


def test_node_that_leads_to_itself_only_is_a_cycle() -> None:
    outline = Outline(nodes=plain("a"), edges=path(START, "a", "a"))
    assert only(analyse(outline).faults).startswith("the cycle of 'a' has no way out:")


def test_declared_destinations_inside_the_cycle_are_no_way_out() -> None:
    assert only(analyse(loop(routing("a", "b"))).faults).startswith("the cycle of 'a', 'b' has no way out:")


@pytest.mark.parametrize("interrupts", [frozenset({"a"}), "*"])
def test_static_interrupt_on_the_cycle_makes_it_sound(interrupts: frozenset[str]) -> None:
    assert analyse(loop(PLAIN, interrupts), strict=True) == Report((), ())


def test_cycle_that_a_call_of_interrupt_could_halt_is_a_warning() -> None:
    faults, warnings = analyse(loop(ASKING))
    assert faults == ()
    assert only(warnings).startswith(
        "the cycle of 'a', 'b' has no way out unless interrupt() is called in 'b':"
    )


def test_strict_analysis_does_not_rely_on_a_call_of_interrupt() -> None:
    faults, warnings = analyse(loop(ASKING), strict=True)
    assert "unless interrupt() is called in 'b'" in only(faults)
    assert warnings == ()


def test_cycle_that_leads_to_nothing_but_a_trapped_cycle_is_trapped_too() -> None:
    edges = path(START, "a", "b", "a") | path("b", "c", "c")
    assert [fault.split(" has")[0] for fault in analyse(Outline(nodes=plain("abc"), edges=edges)).faults] == [
        "the cycle of 'a', 'b'",
        "the cycle of 'c'",
    ]


def test_way_to_a_cycle_that_halts_is_a_way_out() -> None:
    edges = path(START, "a", "b", "a") | path("b", "c", "c")
    outline = Outline(nodes=plain("abc"), edges=edges, interrupts=frozenset({"c"}))
    assert analyse(outline, strict=True) == Report((), ())


def test_join_that_never_fires_is_no_way_out() -> None:
    outline = Outline(nodes=plain("abc"), edges=path(START, "a", "a"), joins={(("a", "b"), "c")})
    assert [fault.split(" ")[1] for fault in analyse(outline).faults] == ["join", "cycle"]


def test_cycle_that_never_runs_is_only_unreachable() -> None:
    faults, warnings = analyse(Outline(nodes=plain("abc"), edges=path(START, "a") | path("b", "c", "b")))
    assert faults == ()
    assert len(warnings) == 2


def test_long_path_is_analysed_without_recursion() -> None:
    names = [f"n{number}" for number in range(5_000)]
    outline = Outline(nodes=dict.fromkeys(names, PLAIN), edges=path(START, *names, names[0]))
    assert only(analyse(outline).faults).startswith("the cycle of 'n0'")


# -- against brute force -------------------------------------------------------------------------------

NAMES = "abcde"
some_names = st.frozensets(st.sampled_from([*NAMES, END]), max_size=3)
outlines = st.builds(
    Outline,
    nodes=st.fixed_dictionaries(
        dict.fromkeys(
            NAMES,
            st.builds(
                NodeOutline,
                routes=st.sampled_from(["none", "none", "none", "declared", "unknown"]),
                destinations=some_names,
                may_interrupt=st.just(False),
            ),
        )
    ),
    edges=st.frozensets(
        st.tuples(st.sampled_from([START, *NAMES]), st.sampled_from([*NAMES, END])), max_size=7
    ).map(lambda edges: edges | {(START, "a")}),
    joins=st.frozensets(
        st.tuples(
            st.lists(st.sampled_from(NAMES), min_size=2, max_size=3, unique=True).map(tuple),
            st.sampled_from([*NAMES, END]),
        ),
        max_size=2,
    ),
    branches=st.lists(
        st.builds(
            BranchOutline,
            source=st.sampled_from([START, *NAMES]),
            destinations=st.one_of(some_names, some_names, st.none()),
            then=st.one_of(st.none(), st.sampled_from(NAMES)),
        ),
        max_size=2,
    ),
    interrupts=st.frozensets(st.sampled_from(NAMES), max_size=1),
)

EVERYTHING = frozenset({*NAMES, END})
ROUTES: dict[Routes, frozenset[str]] = {"none": frozenset(), "unknown": EVERYTHING}


def followers(outline: Outline, name: str) -> set[str]:
    """What may follow a name, joins left out, read off the rules one by one."""
    found = {end for start, end in outline.edges if start == name}
    for branch in outline.branches:
        destinations = EVERYTHING if branch.destinations is None else branch.destinations
        if branch.source == name:
            found |= destinations
        if branch.then and branch.destinations is not None and name in destinations - {END}:
            found.add(branch.then)
    node = outline.nodes.get(name)
    return found | (ROUTES.get(node.routes, node.destinations) if node else set())


def oracle_runnable(outline: Outline) -> set[str]:
    found = {START}
    while True:
        more = {follower for name in found for follower in followers(outline, name)}
        more |= {end for starts, end in outline.joins if found.issuperset(starts)}
        if more <= found:
            return found
        found |= more


def oracle_reach(outline: Outline, runnable: set[str]) -> set[tuple[str, str]]:
    """All pairs (x, y) such that y can be reached from x in one step or more."""
    pairs = {(name, follower) for name in runnable for follower in followers(outline, name)}
    for starts, end in outline.joins:
        if runnable.issuperset(starts):
            pairs |= {(start, end) for start in starts}
    for middle, first, last in product([START, *NAMES, END], repeat=3):
        if (first, middle) in pairs and (middle, last) in pairs:
            pairs.add((first, last))
    return pairs


def oracle_trapped(outline: Outline) -> set[str]:
    """The runnable nodes on a cycle that reach nothing which halts (themselves included)."""
    assert outline.interrupts != "*"
    runnable = oracle_runnable(outline)
    reach = oracle_reach(outline, runnable)
    leading_on = {first for first, _ in reach}
    halting = (runnable - leading_on) | outline.interrupts
    on_cycles = {name for name in runnable if (name, name) in reach}
    return {name for name in on_cycles if not any((name, halt) in reach for halt in halting)}


@given(outlines)
def test_reachability_agrees_with_the_oracle(outline: Outline) -> None:
    runnable = oracle_runnable(outline)
    dead = {warning.split("'")[1] for warning in analyse(outline).warnings}
    assert dead == set(NAMES) - runnable
    deadlocks = [fault for fault in analyse(outline).faults if fault.startswith("the join")]
    assert len(deadlocks) == sum(not runnable.issuperset(starts) for starts, _ in outline.joins)


@given(outlines)
def test_trapped_cycles_agree_with_the_oracle(outline: Outline) -> None:
    cycles = [fault for fault in analyse(outline).faults if fault.startswith("the cycle")]
    found = [name for cycle in cycles for name in cycle.split(" has ")[0].split("'")[1::2]]
    assert sorted(found) == sorted(oracle_trapped(outline))
