"""From what a builder was told to the plan that the engine runs: schemas become channels. Pure.

Channel names are part of the stored format: `__start__` takes the input, `branch:to:NODE` triggers a
node, `join:A+B:NODE` waits for several, and each state key has a channel of its own name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aiograph.channels.base import BaseChannel
from aiograph.channels.dynamic_barrier_value import DynamicBarrierValue, WaitForNames
from aiograph.channels.ephemeral_value import EphemeralValue
from aiograph.channels.last_value import LastValue, LastValueAfterFinish
from aiograph.channels.named_barrier_value import NamedBarrierValue, NamedBarrierValueAfterFinish
from aiograph.channels.topic import Topic
from aiograph.constants import BRANCH_PREFIX, END, ROOT, START, TAG_HIDDEN, TASKS
from aiograph.errors import InvalidUpdateError, StateValidationError
from aiograph.graph._checks import Check, CheckedChannel, checked_writer, error_list, field_checks
from aiograph.graph._preparing import preparations, prepared_writer
from aiograph.graph._records import is_model
from aiograph.graph._schema import Schema, read_schema
from aiograph.graph._spec import BranchSpec, GraphSpec, NodeSpec
from aiograph.graph._ways import join_channel, then_channel, ways_of
from aiograph.graph._writing import RouteResolver, StateWriter, UnknownKeys
from aiograph.managed import ManagedValue
from aiograph.pregel._cache import cached_node
from aiograph.pregel._plan import Plan, PlannedNode, Reader, Route, Values, Write, Writer
from aiograph.types import Send

if TYPE_CHECKING:
    from aiograph.drawing import Edge

Channel = BaseChannel[Any, Any, Any]

_ANYTHING: Any = Any
"""The type of what control channels hold."""


class Schemas(NamedTuple):
    """The schemas of a graph, read, with one table of channels for all of them."""

    by_type: Mapping[Any, Schema]
    channels: Mapping[str, Channel]
    managed: Mapping[str, type[ManagedValue[Any]]]
    faults: tuple[str, ...]
    """Keys that two schemas declare with different channels."""

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(self.channels)


def read_schemas(spec: GraphSpec) -> Schemas:
    """Reads every schema that a graph mentions.

    A key without a reducer in one schema takes the channel that another one declares.
    """
    by_type: dict[Any, Schema] = {}
    channels: dict[str, Channel] = {}
    managed: dict[str, type[ManagedValue[Any]]] = {}
    faults: list[str] = []
    for schema_type in _schema_types(spec):
        schema = read_schema(schema_type, infer_reducers=spec.infer_reducers)
        by_type[schema_type] = schema
        for key, field in schema.fields.items():
            if isinstance(field, BaseChannel):
                faults += _declare(channels, key, field)
            else:
                managed[key] = field
    return Schemas(by_type, channels, managed, tuple(faults))


def _schema_types(spec: GraphSpec) -> list[Any]:
    types = [spec.state_schema, spec.input_schema, spec.output_schema]
    types += [node.input_schema for node in spec.nodes.values()]
    types += [branch.input_schema for branch in spec.branches.values()]
    return [schema for schema in dict.fromkeys(types) if schema is not None]


def _declare(channels: dict[str, Channel], key: str, channel: Channel) -> Iterable[str]:
    known = channels.get(key)
    if known is None or (_is_plain(known) and not _is_plain(channel)):
        channels[key] = channel
    elif not _is_plain(channel) and not channel.is_same_spec(known):
        yield (
            f"the key {key!r} is declared with two different channels, {known!r} and {channel!r}: "
            "declare its reducer in one schema only, or the same in all"
        )


def _is_plain(channel: Channel) -> bool:
    return type(channel) is LastValue


def compile_plan(spec: GraphSpec, schemas: Schemas, name: str, *, strict: bool) -> Plan:
    """The plan of a graph that has been found valid."""
    channels: dict[str, Channel] = {
        START: EphemeralValue(_ANYTHING, key=START),
        TASKS: Topic(Send, key=TASKS),
    }
    channels |= dict(_valid_channels(schemas))
    channels |= {entry.key: entry for entry in _control_channels(spec)}
    weaver = _Weaver(spec, schemas, strict)
    nodes = [weaver.entry(), *map(weaver.node, spec.nodes.values())]
    return Plan(
        name=name,
        nodes={node.name: node for node in nodes},
        channels=channels,
        input=START,
        output=_output(schemas.by_type[spec.output_schema]),
        takes=_takes(schemas.by_type[spec.input_schema]),
        state=_state(spec, schemas),
        command=weaver.command(),
        strict=strict,
        find_edges=partial(_edges, spec.copy()),
    )


def _edges(spec: GraphSpec) -> tuple[Edge, ...]:
    from aiograph.graph._links import links  # most graphs are never drawn

    return links(spec)


def _valid_channels(schemas: Schemas) -> Iterable[tuple[str, Channel]]:
    """The state's channels; one takes only what fits, if a Pydantic model is the first to declare its key."""
    declared: dict[str, Check | None] = {}
    for schema_type, schema in schemas.by_type.items():
        checks = _checks(schema_type)
        for key in schema.fields:
            declared.setdefault(key, checks.get(key))
    for key, channel in schemas.channels.items():
        check = declared[key]
        yield key, channel if check is None else CheckedChannel(channel, check)


def _checks(schema_type: Any) -> Mapping[str, Check]:
    return field_checks(schema_type) if is_model(schema_type) else {}


def _output(schema: Schema) -> str | tuple[str, ...]:
    return ROOT if schema.is_root else _channel_keys(schema)


def _state(spec: GraphSpec, schemas: Schemas) -> str | tuple[str, ...]:
    """What a thread shows: the graph's own keys, without those that are private to some nodes."""
    own = [schemas.by_type[each] for each in (spec.state_schema, spec.input_schema, spec.output_schema)]
    if own[0].is_root:
        return ROOT
    return tuple(dict.fromkeys(key for schema in own if not schema.is_root for key in _channel_keys(schema)))


def _takes(schema: Schema) -> frozenset[str] | None:
    return None if schema.is_root else frozenset(_channel_keys(schema))


def _channel_keys(schema: Schema) -> tuple[str, ...]:
    return tuple(key for key, field in schema.fields.items() if isinstance(field, BaseChannel))


def _control_channels(spec: GraphSpec) -> Iterable[Channel]:
    for node in spec.nodes.values():
        key = BRANCH_PREFIX + node.name
        if node.defer:
            yield LastValueAfterFinish(_ANYTHING, key=key)
        else:
            yield EphemeralValue(_ANYTHING, guard=False, key=key)
    for starts, end in sorted(spec.joins):
        deferred = end in spec.nodes and spec.nodes[end].defer
        barrier = NamedBarrierValueAfterFinish if deferred else NamedBarrierValue
        yield barrier(str, set(starts), key=join_channel(starts, end))
    for branch in spec.branches.values():
        if branch.then not in (None, END):
            yield DynamicBarrierValue(str, key=then_channel(branch))


def join_faults(spec: GraphSpec) -> Iterable[str]:
    """Joins that would share a channel."""
    known: dict[str, tuple[str, ...]] = {}
    for starts, end in sorted(spec.joins):
        other = known.setdefault(join_channel(starts, end), starts)
        if other != starts:
            yield (
                f"the joins of {list(other)} and of {list(starts)} into {end!r} cannot be told apart: "
                "rename the node that has a '+' in its name"
            )


class _Weaver:
    """Makes planned nodes; holds what they have in common."""

    def __init__(self, spec: GraphSpec, schemas: Schemas, strict: bool) -> None:
        self._spec = spec
        self._schemas = schemas
        self._unknown: UnknownKeys = "error" if strict else "warning"
        self._nodes: Mapping[str, Write] = {name: (BRANCH_PREFIX + name, None) for name in spec.nodes}
        self._preparations = preparations(schemas.channels)
        self._ways = ways_of(spec)
        self._keys, self._managed = schemas.keys, frozenset(schemas.managed)
        self._readers: dict[tuple[Any, str | None], Reader] = {}

    def entry(self) -> PlannedNode:
        """The hidden node that hands the input to the state."""
        keys = frozenset(_channel_keys(self._schemas.by_type[self._spec.input_schema]))
        writer = self._writer(START, keys, self._unknown)
        is_own = self._spec.input_schema not in (None, self._spec.state_schema)
        return PlannedNode(
            name=START,
            triggers=(START,),
            read=lambda values, remaining: values.get(START),
            call=None,
            write=checked_writer(self._prepared(writer), _checks(self._spec.input_schema) if is_own else {}),
            after=tuple(self._ways.after.get(START, ())),
            routes=self._routes_from(START, writer),
            tags=(TAG_HIDDEN,),
        )

    def command(self) -> Writer:
        """Makes writes of what a caller commands."""
        return self._prepared(self._writer(START, self._keys, self._unknown))

    def node(self, spec: NodeSpec) -> PlannedNode:
        # a graph does not know which of its keys the graph around it has, and the other way round
        writer = self._writer(spec.name, self._keys, "silence" if spec.graph else self._unknown)
        obey = self._writer(spec.name, self._keys, self._unknown) if spec.graph else None
        defaults = self._spec.defaults
        read = _shared(self._reader(spec.name, spec.input_schema), spec.graph)
        node = PlannedNode(
            name=spec.name,
            triggers=tuple(self._ways.triggers[spec.name]),
            read=read,
            call=spec.call,
            write=self._prepared(writer),
            obey=None if obey is None else self._prepared(obey),
            after=tuple(self._ways.after.get(spec.name, ())),
            routes=self._routes_from(spec.name, writer),
            retry=defaults.retry if spec.retry is None else spec.retry,
            handler=self._handler(spec, read),
            timeout=defaults.timeout if spec.timeout is None else spec.timeout,
            priority=spec.priority,
            tags=spec.tags,
            metadata=spec.metadata,
            defer=spec.defer,
            graph=spec.graph,
            action=spec.action,
        )
        return cached_node(node, spec.cache or defaults.cache)

    def _handler(self, spec: NodeSpec, read: Reader) -> PlannedNode | None:
        """A node's error handler, as a node that nothing triggers and nothing follows."""
        handler, defaults = self._spec.handler_of(spec), self._spec.defaults
        if handler is None:
            return None
        return PlannedNode(
            name=handler.name,
            triggers=(),
            read=read,
            call=handler.call,
            write=self._prepared(self._writer(handler.name, self._keys, self._unknown)),
            retry=defaults.retry,
            timeout=defaults.timeout,
            tags=spec.tags,
            metadata=spec.metadata,
        )

    def _writer(self, node: str, keys: frozenset[str], unknown: UnknownKeys) -> StateWriter:
        return StateWriter(node, keys, self._nodes, self._managed, unknown=unknown)

    def _prepared(self, writer: StateWriter) -> Writer:
        return prepared_writer(writer.writes, self._preparations)

    def _routes_from(self, source: str, writer: StateWriter) -> tuple[Route, ...]:
        return tuple(self._route(branch, writer) for branch in self._ways.branches.get(source, ()))

    def _route(self, branch: BranchSpec, writer: StateWriter) -> Route:
        after = None if branch.then in (None, END) else _waiting(then_channel(branch))
        return Route(
            name=branch.name,
            call=branch.call,
            read=self._reader(branch.source, branch.input_schema),
            resolve=RouteResolver(branch.source, branch.path_map, writer.goto, after).writes,
        )

    def _reader(self, node: str, schema_type: Any) -> Reader:
        schema = self._schemas.by_type[self._spec.state_schema if schema_type is None else schema_type]
        named = None if schema.build is None else node  # only what can fail to build tells the node's name
        if (schema_type, named) not in self._readers:
            self._readers[schema_type, named] = make_reader(schema, self._keys, node)
        return self._readers[schema_type, named]


def _shared(read: Reader, graph: Plan | None) -> Reader:
    """Of what is read, the keys that a graph within this one takes."""
    keys = None if graph is None else graph.takes
    if keys is None:
        return read

    def read_shared(values: Values, remaining: int) -> Any:
        state = read(values, remaining)
        if not isinstance(state, dict):
            return state
        return {key: value for key, value in state.items() if key in keys}

    return read_shared


def _waiting(channel: str) -> Callable[[frozenset[str]], list[Write]]:
    return lambda names: [(channel, WaitForNames(names))] if names else []


def make_reader(schema: Schema, readable: frozenset[str], node: str) -> Reader:
    """Makes the input of `node`: a dict of the schema's keys that hold a value, or an object built from it.

    A schema that takes in most of the state copies the values and drops the rest, which is quicker
    than picking key by key.
    """
    if schema.is_root:
        return lambda values, remaining: values.get(ROOT)
    keys = _channel_keys(schema)
    others = tuple(readable.union((START,)).difference(keys))
    pick = _dropper(others) if len(others) <= len(keys) else _picker(keys)
    managed = tuple(
        (key, field.get) for key, field in schema.fields.items() if not isinstance(field, BaseChannel)
    )
    return _finished(pick, managed, schema.build, node)


def _picker(keys: tuple[str, ...]) -> Reader:
    return lambda values, remaining: {key: values[key] for key in keys if key in values}


def _dropper(others: tuple[str, ...]) -> Reader:
    def pick(values: Values, remaining: int) -> Values:
        picked = values.copy()
        for key in others:
            picked.pop(key, None)
        return picked

    return pick


def _finished(
    pick: Reader,
    managed: Sequence[tuple[str, Callable[[int], Any]]],
    build: Callable[[dict[str, Any]], Any] | None,
    node: str,
) -> Reader:
    if not managed and build is None:
        return pick

    def read(values: Values, remaining: int) -> Any:
        picked = pick(values, remaining)
        for key, get in managed:
            picked[key] = get(remaining)
        if build is None:
            return picked
        try:
            return build(picked)
        except InvalidUpdateError as misfit:
            raise _unfit(node, pick(values, remaining), misfit) from misfit.__cause__

    return read


def _unfit(node: str, values: Values, misfit: InvalidUpdateError) -> StateValidationError:
    message = f"the state is not what node {node!r} takes: {misfit}"
    return StateValidationError(message, node=node, values=values, errors=error_list(misfit.__cause__))
