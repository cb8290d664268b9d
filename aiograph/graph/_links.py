"""What may follow what in a graph as built, with what each way is called: the edges of its drawing. Pure.

A source that *roams* (see `_analysis`) may lead anywhere, and an edge to everywhere would hide what is known.
So it is drawn to the nodes that nothing else leads to, as somebody must, and beside them to END, unless a
plain edge says what follows it.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

from aiograph.constants import END, START
from aiograph.drawing._values import Edge
from aiograph.graph._analysis import roaming
from aiograph.graph._spec import BranchSpec, GraphSpec, HandlerSpec


def links(spec: GraphSpec) -> tuple[Edge, ...]:
    """The edges of a graph that has been found valid, by their sources in the order of nodes."""
    known = list(dict.fromkeys(_declared(spec)))
    known += _roamed(spec, known)
    leaving = {edge.source for edge in known}
    known += [Edge(name, END) for name in spec.nodes if name not in leaving]
    handlers = {name: handler for name in spec.nodes if (handler := spec.handler_of(spec.nodes[name]))}
    known += _handled(handlers)
    names = (START, *spec.nodes, *dict.fromkeys(handler.name for handler in handlers.values()), END)
    positions = {name: position for position, name in enumerate(names)}
    return tuple(sorted(known, key=lambda edge: (positions[edge.source], positions[edge.target])))


def _declared(spec: GraphSpec) -> Iterator[Edge]:
    yield from (Edge(start, end) for start, end in sorted(spec.edges))
    for starts, end in sorted(spec.joins):
        yield from (Edge(start, end, waits=len(starts) > 1) for start in starts)
    for branch in spec.branches.values():
        yield from _of_branch(branch)
    for node in spec.nodes.values():
        # where the node goes counts only if it says so: a graph as a node, say, has ways of its own
        if node.outline.routes == "declared":
            for target in sorted(node.outline.destinations):
                label = node.way_labels.get(target, target)
                yield Edge(node.name, target, None if label == target else label, conditional=True)


def _handled(handlers: Mapping[str, HandlerSpec]) -> Iterator[Edge]:
    """The ways to error handlers, by node, and on from there."""
    for name, handler in handlers.items():
        yield Edge(name, handler.name, "error", conditional=True)
    for handler in {each.name: each for each in handlers.values()}.values():
        targets = sorted(handler.outline.destinations) or [END]
        yield from (Edge(handler.name, target, conditional=targets != [END]) for target in targets)


def _of_branch(branch: BranchSpec) -> Iterator[Edge]:
    if branch.path_map is None:
        if branch.then is not None:
            yield Edge(branch.source, branch.then, "then", conditional=True)
        return
    for target, label in _ways(branch.path_map.items()):
        yield Edge(branch.source, target, label, conditional=True)
        if branch.then is not None and target != END:
            yield Edge(target, branch.then, waits=len(set(branch.path_map.values())) > 1)


def _ways(answers: Iterable[tuple[object, str]]) -> Iterator[tuple[str, str | None]]:
    """Each target, with the answers that lead there, unless its name is the only one."""
    by_target: defaultdict[str, list[str]] = defaultdict(list)
    for answer, target in answers:
        by_target[target].append(str(answer))
    for target, labels in by_target.items():
        yield target, None if labels == [target] else ", ".join(labels)


def _roamed(spec: GraphSpec, known: Sequence[Edge]) -> Iterator[Edge]:
    ending = {edge.source for edge in known if edge.target == END}
    reached = {edge.target for edge in known if edge.source != edge.target}
    settled = {edge.source for edge in known if not edge.conditional}
    choosing = {edge.source for edge in known} | {branch.source for branch in spec.branches.values()}
    for source in sorted(roaming(spec.outline)):
        lonely = [name for name in spec.nodes if name not in reached and name != source]
        yield from (Edge(source, name, conditional=True) for name in lonely)
        if source not in settled | ending and (lonely or source in choosing):
            yield Edge(source, END, conditional=True)
