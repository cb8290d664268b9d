"""What the shape of a graph tells before it runs: names that lead nowhere, joins and cycles without end.

Knows names and the links between them, nothing of functions, schemas or channels; whoever builds the
`Outline` has looked at those. Everything is found in one go and comes back as sentences.

What may reach what
-------------------
An edge, the end of a join, a destination of a branch, a branch's `then` (after each of its destinations)
and a declared destination of a node may each follow what they are attached to. A node that may route by
`Command` or `Send` without saying where, and a branch without declared destinations, *roam*: they may reach
every node, and END.

- **A node can run** if START leads to it. A join leads to its end only if each node it waits for can run;
  so a join that feeds itself never fires, which plain reachability would miss.
- **A cycle has a way out** if something that ends or halts a path can be reached from it: END, a node that
  nothing follows, a roaming node, or a static interrupt.
- **A cycle without a way out** may still be meant: a node that calls `interrupt()` halts the run, and the
  loop is a conversation. No analysis can see whether that call happens, only whether the node's code could
  make it. So such a cycle is a fault when none of the nodes it leads to could interrupt, and a mere warning
  when one of them could; a strict analysis lets no cycle rest on a call that nobody can see.

A name that does not exist is reported once, as such. For everything else it counts as a node that runs and
finishes, so that one typing error does not appear as three faults.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Literal, NamedTuple

from aiograph.constants import END, START
from aiograph.types import All

Routes = Literal["none", "declared", "unknown"]
"""Whether a node chooses by `Command` or `Send` what follows it.

- `"none"`: it cannot (its return annotation rules both out).
- `"declared"`: it can, to its declared destinations.
- `"unknown"`: it may, to anywhere.
"""

_LISTED = 20
"""How many existing names a message lists at most."""


class NodeOutline(NamedTuple):
    """What the analysis has to know of a node; the defaults assume the least."""

    routes: Routes = "unknown"
    destinations: frozenset[str] = frozenset()
    """Where the node routes to; counts for reachability when `routes` is `"declared"`."""
    may_interrupt: bool = True
    """Whether the node's code could call `interrupt()`."""

    def handled_by(self, handler: "NodeOutline") -> "NodeOutline":
        """The outline of a node with its error handler, after which a path ends unless that leads on."""
        routes: Routes = "unknown" if "unknown" in (self.routes, handler.routes) else "declared"
        destinations = self.destinations | handler.destinations | {END}
        return NodeOutline(routes, destinations, self.may_interrupt or handler.may_interrupt)


class BranchOutline(NamedTuple):
    """A conditional edge."""

    source: str
    destinations: frozenset[str] | None = None
    """Where it can lead; `None` when it does not say."""
    then: str | None = None
    """The node that runs after whichever destination ran."""


class Outline(NamedTuple):
    """A graph reduced to names."""

    nodes: Mapping[str, NodeOutline]
    edges: Set[tuple[str, str]] = frozenset()
    joins: Set[tuple[tuple[str, ...], str]] = frozenset()
    """Edges that wait for all of their starts."""
    branches: Sequence[BranchOutline] = ()
    interrupts: frozenset[str] | All = frozenset()
    """Nodes with a static interrupt before or after them."""


class Report(NamedTuple):
    """All that an analysis found, in an order that depends on the outline only."""

    faults: tuple[str, ...]
    """Why the graph cannot work."""
    warnings: tuple[str, ...]
    """What looks wrong but may be meant."""


def analyse(outline: Outline, *, strict: bool = False) -> Report:
    """Finds everything that can be known to be wrong with a graph from its shape.

    Args:
        outline: The graph.
        strict: Makes a fault of a cycle that only a call of `interrupt()` could halt.
    """
    flow = _flow(outline)
    runnable = _runnable(flow) if _has_known_entry(outline, flow) else flow.names
    faults = [*_entry_faults(outline), *_name_faults(outline), *_join_faults(outline, runnable)]
    warnings = list(_unreachable(outline, runnable))
    for sentence, is_certain in _cycle_findings(outline, flow, runnable):
        (faults if is_certain or strict else warnings).append(sentence)
    return Report(tuple(faults), tuple(warnings))


# -- names ---------------------------------------------------------------------------------------------


class _Mention(NamedTuple):
    """A place in the graph that names nodes."""

    where: str
    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    virtual: frozenset[str] = frozenset()
    """The virtual nodes that may be named here."""


def _mentions(outline: Outline) -> Iterator[_Mention]:
    for start, end in sorted(outline.edges):
        yield _Mention(f"the edge {start!r} -> {end!r}", (start,), (end,), frozenset({START, END}))
    for starts, end in sorted(outline.joins):
        yield _Mention(f"the join of {_quoted(starts)} into {end!r}", starts, (end,), frozenset({END}))
    for branch in outline.branches:
        where = f"the branch from {branch.source!r}"
        targets = tuple(sorted(branch.destinations or ()))
        yield _Mention(where, (branch.source,), targets, frozenset({START, END}))
        if branch.then is not None:
            yield _Mention(f"`then` of {where}", (), (branch.then,), frozenset({END}))
    for name, node in outline.nodes.items():
        where = f"the list of destinations of node {name!r}"
        yield _Mention(where, (), tuple(sorted(node.destinations)), frozenset({END}))
    if outline.interrupts != "*":
        yield _Mention("the list of interrupts", (), tuple(sorted(outline.interrupts)))


def _name_faults(outline: Outline) -> Iterator[str]:
    for mention in _mentions(outline):
        for name in mention.sources:
            if name not in outline.nodes and not (name == START and START in mention.virtual):
                yield _bad_source(mention.where, name, outline)
        for name in mention.targets:
            if name not in outline.nodes and not (name == END and END in mention.virtual):
                yield _bad_target(mention.where, name, outline)


def _bad_source(where: str, name: str, outline: Outline) -> str:
    if name == END:
        return f"{where} leaves END, where every path stops: let it start at a node"
    if name == START:
        return f"{where} waits for START, which is no node: leave START out of it"
    return _unknown(where, name, outline)


def _bad_target(where: str, name: str, outline: Outline) -> str:
    if name == START:
        return f"{where} names START, which only the input enters: name a node in its place"
    return _unknown(where, name, outline)


def _unknown(where: str, name: str, outline: Outline) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, outline.nodes, n=1)
    guess = f" (did you mean {close[0]!r}?)" if close else ""
    known = f", or use one of {_quoted(outline.nodes)}" if outline.nodes else ""
    return f"{where} names {name!r}, which does not exist{guess}: add that node{known}"


def _quoted(names: Iterable[str]) -> str:
    listed = [repr(name) for name in names]
    rest = len(listed) - _LISTED
    return ", ".join(listed[:_LISTED]) + (f" and {rest} more" if rest > 0 else "")


# -- flow ----------------------------------------------------------------------------------------------


class _Flow(NamedTuple):
    """Who may follow whom."""

    names: frozenset[str]
    """All names that occur, the virtual and the unknown ones included."""
    entries: frozenset[str]
    """START, and the names that do not exist."""
    follows: Mapping[str, Set[str]]
    """What may follow a name by something else than a join."""
    joins: Sequence[tuple[frozenset[str], str]]
    roaming: frozenset[str]
    """The names that everything may follow."""


def _flow(outline: Outline) -> _Flow:
    follows: defaultdict[str, set[str]] = defaultdict(set)
    for source, target in _links(outline):
        if source != END and target != START:
            follows[source].add(target)
    joins = [(frozenset(starts), end) for starts, end in sorted(outline.joins) if end != START]
    linked = {name for source, targets in follows.items() for name in (source, *targets)}
    joined = {name for starts, end in joins for name in (*starts, end)}
    names = frozenset({START, END, *outline.nodes, *linked, *joined})
    entries = names - outline.nodes.keys() - {END}
    return _Flow(names, entries, follows, joins, roaming(outline))


def _links(outline: Outline) -> Iterator[tuple[str, str]]:
    yield from outline.edges
    for branch in outline.branches:
        # Where an undeclared branch leads its `then` may follow everything, but only on its behalf; as its
        # source roams, those links could open no way that is not open already.
        for destination in branch.destinations or ():
            yield branch.source, destination
            if branch.then is not None:
                yield destination, branch.then
    for name, node in outline.nodes.items():
        if node.routes == "declared":
            yield from ((name, destination) for destination in node.destinations)


def roaming(outline: Outline) -> frozenset[str]:
    """The names that everything may follow, as nothing tells where they lead."""
    nodes = (name for name, node in outline.nodes.items() if node.routes == "unknown")
    sources = (branch.source for branch in outline.branches if branch.destinations is None)
    return frozenset((*nodes, *sources))


def _spread(starts: Iterable[str], follows: Mapping[str, Set[str]]) -> set[str]:
    """The starts and all that can follow them."""
    found: set[str] = set()
    todo = list(starts)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo.extend(follows.get(name, ()))
    return found


# -- what can run --------------------------------------------------------------------------------------


def _entry_faults(outline: Outline) -> Iterator[str]:
    sources = {start for start, _ in outline.edges} | {branch.source for branch in outline.branches}
    if START not in sources:
        yield "the graph has no entry point, as nothing leaves START: add an edge from START to a node"


def _has_known_entry(outline: Outline, flow: _Flow) -> bool:
    """Whether it is known where the graph starts; if not, all its nodes are taken to run."""
    known = {*outline.nodes, END}
    return START in flow.roaming or not known.isdisjoint(flow.follows.get(START, ()))


def _runnable(flow: _Flow) -> Set[str]:
    waiting = [(set(starts), end) for starts, end in flow.joins]
    waiters: defaultdict[str, list[tuple[set[str], str]]] = defaultdict(list)
    for starts, end in waiting:
        for start in starts:
            waiters[start].append((starts, end))
    found: set[str] = set()
    todo = list(flow.entries)
    while todo:
        name = todo.pop()
        if name in flow.roaming:
            return flow.names
        if name in found:
            continue
        found.add(name)
        todo.extend(flow.follows.get(name, ()))
        for missing, end in waiters.pop(name, ()):
            missing.discard(name)
            if not missing:
                todo.append(end)
    return found


def _join_faults(outline: Outline, runnable: Set[str]) -> Iterator[str]:
    for starts, end in sorted(outline.joins):
        dead = [start for start in starts if start in outline.nodes and start not in runnable]
        if dead:
            yield (
                f"the join of {_quoted(starts)} into {end!r} can never fire, as {_quoted(dead)} can "
                "never run: add an edge that leads there, or do not wait for it"
            )


def _unreachable(outline: Outline, runnable: Set[str]) -> Iterator[str]:
    for name in outline.nodes:
        if name not in runnable:
            yield f"node {name!r} can never run, as nothing leads to it from START: add an edge, or remove it"


# -- what can stop -------------------------------------------------------------------------------------


def _cycle_findings(outline: Outline, flow: _Flow, runnable: Set[str]) -> Iterator[tuple[str, bool]]:
    """A sentence for each cycle without a way out, and whether it is beyond doubt."""
    follows = _with_joins(flow, runnable)
    for cycle in _trapped_cycles(outline, flow, follows, runnable):
        reached = _spread(cycle, follows)
        asking = [name for name, node in outline.nodes.items() if name in reached and node.may_interrupt]
        halted = f" unless interrupt() is called in {_quoted(asking)}" if asking else ""
        sentence = (
            f"the cycle of {_quoted(cycle)} has no way out{halted}: lead a branch from it to END or to a "
            "node that finishes"
        )
        yield sentence, not asking


def _with_joins(flow: _Flow, runnable: Set[str]) -> dict[str, set[str]]:
    """What may follow what can run, joins included; a join that never fires leads nowhere."""
    follows = {name: set(targets) for name, targets in flow.follows.items() if name in runnable}
    for starts, end in flow.joins:
        if starts <= runnable:
            for start in starts - {END}:
                follows.setdefault(start, set()).add(end)
    return follows


def _trapped_cycles(
    outline: Outline, flow: _Flow, follows: Mapping[str, Set[str]], runnable: Set[str]
) -> Iterator[tuple[str, ...]]:
    """The cycles (strongly connected sets of nodes) that can run and have no way out."""
    precedes = _reversed(follows)
    halting = runnable if outline.interrupts == "*" else outline.interrupts
    ways_out = (name for name in runnable if not follows.get(name) or name in flow.roaming)
    trapped = runnable - _spread((*ways_out, *halting), precedes)
    placed: set[str] = set()
    for name in sorted(trapped):
        if name not in placed:
            # What follows a trapped name is trapped too, so a path between two of them meets no other.
            cycle = _spread(follows[name], follows) & _spread(precedes.get(name, ()), precedes)
            placed |= cycle
            if cycle:
                yield tuple(sorted(cycle))


def _reversed(follows: Mapping[str, Set[str]]) -> dict[str, set[str]]:
    precedes: defaultdict[str, set[str]] = defaultdict(set)
    for source, targets in follows.items():
        for target in targets:
            precedes[target].add(source)
    return dict(precedes)
