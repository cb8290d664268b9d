"""A node's output, or an input, as writes to the channels of a state graph. Pure."""

import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from aiograph.constants import END, ROOT, START, TASKS
from aiograph.errors import ErrorCode, InvalidUpdateError
from aiograph.graph._schema import values_of
from aiograph.pregel._plan import Leaving, Write
from aiograph.types import Command, Send
from aiograph.warnings import UnknownKeyWarning

UnknownKeys = Literal["silence", "warning", "error"]

_SEVERAL = (list, tuple, set, frozenset)
"""What names several targets."""


class StateWriter:
    """Turns what one node returns into writes.

    Args:
        node: Name of the node, for messages.
        keys: The state keys that may be written.
        nodes: All nodes of the graph, by name: what makes them run.
        managed: State keys that are computed and cannot be written.
        unknown: What unknown keys lead to; but for errors, they are left out.
    """

    __slots__ = ("_is_root", "_keys", "_managed", "_node", "_nodes", "_unknown")

    def __init__(
        self,
        node: str,
        keys: frozenset[str],
        nodes: Mapping[str, Write],
        managed: frozenset[str] = frozenset(),
        *,
        unknown: UnknownKeys = "warning",
    ) -> None:
        self._node = node
        self._keys = keys
        self._is_root = ROOT in keys
        self._nodes = nodes
        self._managed = managed
        self._unknown = unknown

    def writes(self, output: Any) -> list[Write]:
        """The writes that an output stands for.

        Raises:
            InvalidUpdateError: A node may not return that, or a key or target is unknown.
            Leaving: It is for a graph further out.
        """
        if type(output) is dict and not self._is_root:
            return self._from_mapping(output)
        if output is None:
            return []
        if isinstance(output, Command):
            if output.graph is not None:
                raise Leaving((output,))
            return self._from_update(output.update) + self.goto(output.goto)
        if isinstance(output, Send):
            return self.goto(output)
        if isinstance(output, list | tuple) and any(isinstance(item, Command | Send) for item in output):
            if leaving := [item for item in output if isinstance(item, Command) and item.graph is not None]:
                raise Leaving(leaving)  # it is only these that count: the graph ends here
            return [write for item in output for write in self.writes(item)]
        return self._from_update(output)

    def goto(self, target: Any) -> list[Write]:
        """The writes that make a name, a `Send`, or a sequence of both run next.

        Raises:
            InvalidUpdateError: There is no such node.
        """
        if type(target) is not str and isinstance(target, _SEVERAL):
            return [write for item in target for write in self._goto_one(item)]
        return self._goto_one(target)

    def _goto_one(self, target: Any) -> list[Write]:
        if isinstance(target, str):
            if target == END:
                return []
            if target in self._nodes:
                return [self._nodes[target]]
        elif isinstance(target, Send) and target.node in self._nodes:
            return [(TASKS, target)]
        raise self._no_node(target.node if isinstance(target, Send) else target)

    def _no_node(self, name: Any) -> InvalidUpdateError:
        who = "the input" if self._node == START else f"node {self._node!r}"
        return InvalidUpdateError(
            f"{who} goes to {name!r}, which is not a node of the graph; "
            f"there are {sorted(self._nodes)} and END (END takes no Send)"
        )

    def _from_update(self, update: Any) -> list[Write]:
        if update is None:
            return []
        if self._is_root:
            return [(ROOT, update)]
        if type(update) is dict or isinstance(update, Mapping):
            return self._from_mapping(update)
        if isinstance(update, list | tuple) and all(_is_pair(item) for item in update):
            return [write for key, value in update for write in self._from_mapping({key: value})]
        values = values_of(update, self._keys)
        if values is None:
            raise self._refused(update)
        return self._from_mapping(values)

    def _from_mapping(self, update: Mapping[Any, Any]) -> list[Write]:
        if self._keys.issuperset(update):
            return list(update.items())
        unknown = [key for key in update if key not in self._keys]
        self._complain(unknown)
        return [(key, value) for key, value in update.items() if key in self._keys]

    def _complain(self, unknown: Sequence[Any]) -> None:
        who = "the input" if self._node == START else f"the update of node {self._node!r}"
        if computed := [key for key in unknown if key in self._managed]:
            raise InvalidUpdateError(f"{who} writes {computed}, which the run computes: leave them out")
        if self._unknown == "silence":
            return
        message = f"{who} has the keys {unknown}, which no channel bears; there are {sorted(self._keys)}"
        if self._unknown == "error":
            raise InvalidUpdateError(message)
        warnings.warn(f"{message}; they are ignored", UnknownKeyWarning, stacklevel=2)

    def _refused(self, output: Any) -> InvalidUpdateError:
        expected = "a dict of state keys, None, a Command, a Send, or an object with the state's fields"
        who = "the input must be" if self._node == START else f"node {self._node!r} must return"
        error = InvalidUpdateError(f"{who} {expected}, not {type(output).__name__}: {short(output)}")
        error.code = ErrorCode.INVALID_GRAPH_NODE_RETURN_VALUE
        return error


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and len(item) == 2 and isinstance(item[0], str)


def short(value: Any) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:100]}…"


class RouteResolver:
    """Turns what one router answers into writes.

    Args:
        source: The node that the conditional edge starts from.
        path_map: Answer → node; `None` when answers are names.
        goto: Makes writes of names and `Send`s.
        after: Makes further writes of the names that were chosen.
    """

    __slots__ = ("_after", "_goto", "_known", "_path_map", "_source")

    def __init__(
        self,
        source: str,
        path_map: Mapping[Any, str] | None,
        goto: Callable[[Any], list[Write]],
        after: Callable[[frozenset[str]], list[Write]] | None,
    ) -> None:
        self._source = source
        self._path_map = path_map
        self._goto = goto
        self._after = after
        self._known: dict[str, Sequence[Write]] = {}
        """What names have stood for; those that are refused are not among them, so they cannot be many."""

    def writes(self, answer: Any) -> Sequence[Write]:
        """The writes that an answer stands for.

        Raises:
            InvalidUpdateError: The answer names nothing that exists.
        """
        if type(answer) is not str:
            return self._resolved(answer)
        writes = self._known.get(answer)
        if writes is None:
            writes = self._known[answer] = self._resolved(answer)
        return writes

    def _resolved(self, answer: Any) -> Sequence[Write]:
        answers = answer if isinstance(answer, _SEVERAL) else (answer,)
        targets = [self._target(item) for item in answers]
        writes = self._goto(targets)
        if self._after is not None:
            names = (target.node if isinstance(target, Send) else target for target in targets)
            writes += self._after(frozenset(names) - {END})
        return writes

    def _target(self, answer: Any) -> Any:
        if isinstance(answer, Send):
            return answer
        # a condition's answer may be spelled out: "True" and "False" as keys, or as nodes
        for name in (answer, str(answer)) if isinstance(answer, bool) else (answer,):
            if self._path_map is not None and _is_key(name, self._path_map):
                return self._path_map[name]
            if isinstance(name, str) and name != START:
                return name
        raise InvalidUpdateError(
            f"the conditional edge from {self._source!r} answered {answer!r}; "
            + (
                f"its path_map has the keys {list(self._path_map)}"
                if self._path_map
                else "it must name a node"
            )
        )


def _is_key(answer: Any, path_map: Mapping[Any, str]) -> bool:
    try:
        return answer in path_map
    except TypeError:  # not hashable
        return False
