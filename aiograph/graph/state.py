"""`StateGraph`, the builder: nodes over a shared state, edges that decide what runs next."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, Unpack, overload

from aiograph._lazy import on_demand
from aiograph.constants import (
    DEFAULT_ERROR_HANDLER,
    END,
    ERROR_HANDLER_PREFIX,
    NAMESPACE_END,
    NAMESPACE_SEPARATOR,
    RESERVED_NAMES,
    START,
)
from aiograph.errors import GraphValidationError
from aiograph.graph._accepted import NodeAction, NodeOptions, Router, answers_to, handler, named, plan_of
from aiograph.graph._analysis import analyse
from aiograph.graph._schema import read_schema, types_in
from aiograph.graph._signature import annotations_of, input_schema_of, outline_of
from aiograph.graph._spec import BranchSpec, GraphSpec, NodeDefaults, NodeSpec
from aiograph.pregel._callable import bind
from aiograph.pregel._plan import Call
from aiograph.types import (
    CachePolicy,
    Durability,
    OnConflict,
    OnError,
    RetryPolicies,
    RetryPolicy,
    Timeout,
    TimeoutPolicy,
)
from aiograph.typing import ContextT, InputT, OutputT, StateT, WithDefaults
from aiograph.warnings import GraphWarning

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache
    from aiograph.checkpoint.base import BaseCheckpointSaver, Retention
    from aiograph.graph._compile import Schemas
    from aiograph.graph._compiled import CompiledStateGraph
    from aiograph.pregel._migrate import Migrate
    from aiograph.pregel._options import Names
    from aiograph.stats import Collector
    from aiograph.store.base import BaseStore

__all__ = ["CompiledStateGraph", "StateGraph"]

__getattr__ = on_demand(__name__, {"CompiledStateGraph": "aiograph.graph._compiled"})

NodeInputT = TypeVar("NodeInputT")


class StateGraph(WithDefaults, Generic[StateT, ContextT, InputT, OutputT]):
    """Builds a graph of nodes that read and update a shared state.

    Args:
        state_schema: A TypedDict, dataclass or Pydantic model, whose fields become channels; or a bare
            `Annotated` type, for a state of one value. A field annotated with a two-argument function
            is reduced by it; any other keeps the last value.
        context_schema: Type of what callers pass as `context=`.
        input_schema: What callers pass; by default the state.
        output_schema: What callers get; by default the state.
        infer_reducers: Lets bare `list`, `set` and `dict` fields accumulate: a list collects, a set
            unites, a dict merges.

    Raises:
        ValueError: A schema is none of these.

    Examples:
        >>> from typing import TypedDict
        >>> from aiograph.graph import END, START, StateGraph
        >>> class State(TypedDict):
        ...     name: str
        ...     greeting: str
        >>> def greet(state: State) -> dict[str, str]:
        ...     return {"greeting": f"Hello, {state['name']}!"}
        >>> builder = StateGraph(State).add_node(greet)
        >>> graph = builder.add_edge(START, "greet").add_edge("greet", END).compile()
        >>> graph.invoke({"name": "Ada"})["greeting"]
        'Hello, Ada!'
    """

    def __init__(
        self,
        state_schema: type[StateT],
        context_schema: type[ContextT] | None = None,
        *,
        input_schema: type[InputT] | None = None,
        output_schema: type[OutputT] | None = None,
        infer_reducers: bool = False,
    ) -> None:
        self._spec = GraphSpec(
            state_schema=state_schema,
            context_schema=context_schema,
            input_schema=input_schema or state_schema,
            output_schema=output_schema or state_schema,
            infer_reducers=infer_reducers,
        )
        read_schema(state_schema, infer_reducers=infer_reducers)
        for schema in (input_schema, output_schema):
            if schema is not None:
                read_schema(schema, infer_reducers=infer_reducers, allow_managed=False)

    # -- nodes

    @overload
    def add_node(
        self,
        node: str,
        action: NodeAction[StateT],
        *,
        input_schema: None = None,
        **options: Unpack[NodeOptions],
    ) -> Self: ...

    @overload
    def add_node(
        self,
        node: str,
        action: NodeAction[NodeInputT],
        *,
        input_schema: type[NodeInputT],
        **options: Unpack[NodeOptions],
    ) -> Self: ...

    @overload
    def add_node(
        self,
        node: NodeAction[StateT],
        *,
        input_schema: None = None,
        **options: Unpack[NodeOptions],
    ) -> Self: ...

    @overload
    def add_node(
        self,
        node: NodeAction[NodeInputT],
        *,
        input_schema: type[NodeInputT],
        **options: Unpack[NodeOptions],
    ) -> Self: ...

    def add_node(
        self,
        node: Any,
        action: Any = None,
        *,
        defer: bool = False,
        metadata: Mapping[str, Any] | None = None,
        tags: Sequence[str] = (),
        input_schema: Any = None,
        retry_policy: RetryPolicies | None = None,
        destinations: Mapping[str, str] | Sequence[str] | None = None,
        timeout: Timeout | None = None,
        error_handler: Any = None,
        cache_policy: CachePolicy | None = None,
        priority: int = 0,
        inline: bool = False,
    ) -> Self:
        """Adds a node.

        Args:
            node: Its name, or the callable, which then gives its name.
            action: The callable: a function, sync or async, or an object with `ainvoke` or `invoke`. It
                takes the state first; parameters named `config`, `runtime`, `store` and `writer` are
                filled in. A compiled graph gets, and gives back, the keys that both graphs have.
            defer: Waits until nothing else is left to run.
            metadata: Shown in the config that the node sees.
            tags: As `metadata`.
            input_schema: What the node gets of the state; by default what its first parameter is
                annotated with. Keys that the state does not have become private channels.
            retry_policy: When to try again; the first of several that matches an error applies.
            destinations: Where the node may go by `Command` or `Send`, for validation and drawing; as a
                mapping, with what drawings call the ways there.
            timeout: How long one attempt may take: seconds, a `timedelta`, or a `TimeoutPolicy`. Synchronous
                code is given up on when it expires.
            error_handler: A function, sync or async, that takes over when the node has failed for good. It
                gets what the node got, and by name `error`, a `NodeError`, and what nodes can ask for. What
                it returns counts in place of the node's update; the node's own edges do not fire, and only a
                `Command` goes on.
            cache_policy: Has what the node writes kept in the graph's cache, to be found by the node's input.
            priority: Higher starts first when `max_concurrency` leaves a choice.
            inline: Runs a quick synchronous function on the event loop, without a worker thread.

        Raises:
            ValueError: The name is taken, reserved, or has a character with a meaning of its own; or the
                callable requires what cannot be passed.
            TypeError: It cannot be called.
        """
        name, action = named(node, action)
        self._check_name(name, self._spec.nodes)
        annotations = annotations_of(action)
        inferred = input_schema_of(annotations) if input_schema is None else input_schema
        if inferred not in (None, self._spec.state_schema):
            read_schema(inferred, infer_reducers=self._spec.infer_reducers)
        self._spec.nodes[name] = NodeSpec(
            name=name,
            call=bind(action, name, inline=inline),
            action=action,
            input_schema=inferred,
            outline=outline_of(action, annotations, destinations),
            way_labels=dict(destinations) if isinstance(destinations, Mapping) else {},
            retry=None if retry_policy is None else RetryPolicy.all_of(retry_policy),
            timeout=TimeoutPolicy.of(timeout, f"the timeout of node {name!r}"),
            handler=handler(error_handler, f"{ERROR_HANDLER_PREFIX}{name}"),
            cache=cache_policy,
            graph=plan_of(action),
            priority=priority,
            defer=defer,
            tags=tuple(tags),
            metadata=dict(metadata or {}),
        )
        return self

    def _check_name(self, name: str, taken: Collection[str]) -> None:
        if name in taken:
            raise ValueError(f"there is a node {name!r} already: give this one another name")
        if name in RESERVED_NAMES or not name:
            raise ValueError(f"a node cannot be named {name!r}: the name is reserved")
        if name.startswith(ERROR_HANDLER_PREFIX):
            raise ValueError(f"a node cannot be named {name!r}: error handlers are named like that")
        for character in (NAMESPACE_SEPARATOR, NAMESPACE_END):
            if character in name:
                raise ValueError(
                    f"a node's name cannot contain {character!r}, which separates namespaces: {name!r}"
                )

    def add_sequence(self, nodes: Sequence[Any]) -> Self:
        """Adds nodes, given as callables or `(name, callable)` pairs, that run one after the other.

        Raises:
            ValueError: There are none, or a name is taken.
        """
        if not nodes:
            raise ValueError("add_sequence() needs at least one node")
        pairs = [node if isinstance(node, tuple) else named(node, None) for node in nodes]
        taken = {*self._spec.nodes}
        for name, _ in pairs:
            self._check_name(name, taken)
            taken.add(name)
        for name, action in pairs:
            self.add_node(name, action)
        for (before, _), (after, _) in pairwise(pairs):
            self.add_edge(before, after)
        return self

    def set_node_defaults(
        self,
        *,
        retry_policy: RetryPolicies | None = None,
        timeout: Timeout | None = None,
        error_handler: Any = None,
        cache_policy: CachePolicy | None = None,
    ) -> Self:
        """What nodes get that say nothing of their own, those added before included.

        Args:
            retry_policy: When to try again. Error handlers are tried again alike.
            timeout: How long an attempt may take, also one of an error handler.
            error_handler: Takes over when a node has failed for good; see `add_node`.
            cache_policy: Has what nodes write kept in the graph's cache.

        Raises:
            ValueError: The timeout is no time, or the handler requires what cannot be passed.
        """
        self._spec.defaults = NodeDefaults(
            retry=RetryPolicy.all_of(retry_policy),
            timeout=TimeoutPolicy.of(timeout),
            handler=handler(error_handler, DEFAULT_ERROR_HANDLER),
            cache=cache_policy,
        )
        return self

    # -- edges

    def add_edge(self, start_key: str | Sequence[str], end_key: str) -> Self:
        """Has `end_key` run after `start_key`; after all of them, when a list is given.

        Raises:
            ValueError: The edge leaves END or leads to START, or the list is empty.
        """
        starts = (start_key,) if isinstance(start_key, str) else tuple(start_key)
        if not starts:
            raise ValueError(f"the join into {end_key!r} has no starts")
        if END in starts:
            raise ValueError("END is the end: no edge can leave it")
        if end_key == START:
            raise ValueError("START is the beginning: no edge can lead to it")
        if isinstance(start_key, str):
            self._spec.edges.add((start_key, end_key))
        elif START in starts:
            raise ValueError("a join cannot wait for START; use a plain edge")
        else:
            self._spec.joins.add((tuple(sorted(set(starts))), end_key))
        return self

    def add_conditional_edges(
        self,
        source: str,
        path: Router[Any] | str,
        path_map: Mapping[Any, str] | Sequence[str] | None = None,
        *,
        then: str | None = None,
    ) -> Self:
        """Has the state decide what runs after `source`.

        Args:
            source: A node, or START.
            path: A function of the state, or an expression over its keys such as
                `"score > 0.5 and not done"` (with the `expr` extra; evaluated safely). It answers with
                a node's name, a key of `path_map`, a `Send`, or a list of them. A boolean answer picks
                `path_map[True]` or `path_map[False]`.
            path_map: Answer → node, or a list of possible nodes; by default the `Literal` that the
                function is annotated to return.
            then: A node that runs once after whichever nodes were chosen.

        Raises:
            ExpressionError: The expression is malformed, or names what the state does not have.
            ValueError: `source` has a conditional edge of that name already.
        """
        name, call, schema = self._route(path)
        if (source, name) in self._spec.branches:
            raise ValueError(f"node {source!r} has a conditional edge {name!r} already: use another function")
        answers = answers_to(path, path_map)
        self._spec.branches[source, name] = BranchSpec(
            name=name,
            source=source,
            call=call,
            input_schema=schema,
            path_map=answers,
            destinations=None if answers is None else frozenset(answers.values()),
            then=then,
        )
        return self

    def _route(self, path: Router[Any] | str) -> tuple[str, Call, Any]:
        if not isinstance(path, str):
            name = getattr(path, "__name__", type(path).__name__)
            return name, bind(path, name), input_schema_of(annotations_of(path))
        schema = read_schema(self._spec.state_schema, infer_reducers=self._spec.infer_reducers)
        from aiograph.graph._expression import compile_condition  # brings a parser along

        condition = compile_condition(path, None if schema.is_root else schema.fields)
        return path, Call(lambda state, scope: condition(_as_mapping(state)), False, True), None

    def set_entry_point(self, key: str) -> Self:
        """Has `key` run first: `add_edge(START, key)`."""
        return self.add_edge(START, key)

    def set_conditional_entry_point(
        self,
        path: Router[Any] | str,
        path_map: Mapping[Any, str] | Sequence[str] | None = None,
        *,
        then: str | None = None,
    ) -> Self:
        """Has the input decide what runs first: `add_conditional_edges(START, ...)`."""
        return self.add_conditional_edges(START, path, path_map, then=then)

    def set_finish_point(self, key: str) -> Self:
        """Ends the graph after `key`: `add_edge(key, END)`."""
        return self.add_edge(key, END)

    # -- compiling

    def validate(self, *, strict: bool = False) -> Self:
        """Analyses the structure and reports everything it finds at once.

        Args:
            strict: Makes errors of what can only be suspected.

        Raises:
            GraphValidationError: The graph cannot work; `faults` lists why.

        Warns:
            GraphWarning: Something looks wrong but may be meant.
        """
        self._schemas(strict)
        return self

    def _schemas(self, strict: bool) -> Schemas:
        from aiograph.graph._compile import join_faults, read_schemas

        schemas = read_schemas(self._spec)
        report = analyse(self._spec.outline, strict=strict)
        if faults := (*report.faults, *schemas.faults, *join_faults(self._spec)):
            raise GraphValidationError(faults)
        for warning in report.warnings:
            warnings.warn(warning, GraphWarning, stacklevel=3)
        return schemas

    def compile(
        self,
        checkpointer: BaseCheckpointSaver | bool | None = None,
        *,
        cache: BaseCache[Any] | None = None,
        store: BaseStore | None = None,
        name: str | None = None,
        strict: bool = False,
        step_timeout: float | None = None,
        retry_policy: RetryPolicies | None = None,
        on_error: OnError = "cancel",
        on_conflict: OnConflict = "raise",
        durability: Durability | None = None,
        retention: Retention | None = None,
        interrupt_before: Names | None = None,
        interrupt_after: Names | None = None,
        stats: bool | Collector | None = None,
        migrate: Migrate | None = None,
        debug: bool | float | None = None,
    ) -> CompiledStateGraph[StateT, ContextT, InputT, OutputT]:
        """Makes a runnable graph; the builder can be changed and compiled again afterwards.

        Args:
            checkpointer: Keeps the state of threads. In a node of another graph, `None` takes the saver of
                that and has each call start afresh; `True` takes it and goes on where the call before has
                ended; `False` keeps nothing.
            cache: Keeps what nodes with a cache policy write; also for graphs nested in them that have none.
            store: Handed to nodes that ask for it, and to graphs nested in them that have none of their own.
            name: For messages and traces.
            strict: Makes errors of unknown keys in updates and of suspicious structures.
            step_timeout: Seconds that one superstep may take.
            retry_policy: For nodes that have none, of their own or by `set_node_defaults`.
            on_error: What becomes of a failing task's siblings: `"cancel"` or `"finish"`.
            on_conflict: What a run does about another one on its thread. With `"raise"`, of two runs that
                start from one state one gets `ConcurrentUpdateError`; with `"wait"` those in this process
                queue.
            durability: The default for runs.
            interrupt_before: Runs stop before these nodes, or before any, `"*"`; `None` as input goes on.
            interrupt_after: Runs stop after these nodes, or after any, `"*"`.
            retention: What a thread keeps of its past. Applied at the end of each run that succeeds.
            stats: Measures runs: `True` for a `Statistics` of its own, which is the graph's `stats`, or a
                collector, such as `OpenTelemetry()`. `None` leaves it to a graph around this one, `False`
                measures nothing.
            migrate: Called with a thread that a graph of another shape has stored, when it is opened; returns
                what becomes of it. Runs on the loop, so it must be quick.
            debug: Warns, with node and line, when code keeps the event loop from turning for 0.2 seconds, or
                for this many. `None` leaves it to the environment variable AIOGRAPH_DEBUG.

        Raises:
            GraphValidationError: The graph cannot work; `faults` lists why.
            TypeError: `checkpointer` is no saver or cannot apply `retention`, `cache` no cache, `store` no
                store, `retention` no policy, or `stats` no collector.
            ValueError: An option has a value that does not exist.
        """
        from aiograph.graph._compile import compile_plan
        from aiograph.graph._compiled import CompiledStateGraph
        from aiograph.graph._context import context_maker
        from aiograph.pregel import _options
        from aiograph.pregel._interface import Interface
        from aiograph.pregel._request import Options

        schemas = self._schemas(strict)
        spec = self._spec
        if retry_policy is not None and not spec.defaults.retry:
            spec = replace(spec, defaults=spec.defaults._replace(retry=RetryPolicy.all_of(retry_policy)))
        contexts = context_maker(spec.context_schema)
        options = Options(
            cache=_options.cache(cache),
            store=_options.store(store),
            step_timeout=_options.seconds("step_timeout", step_timeout),
            on_error=_options.on_error(on_error) or "cancel",
            on_conflict=_options.on_conflict(on_conflict) or "raise",
            durability=_options.durability(durability),
            retention=_options.retention(retention),
            stats=_options.collector(stats),
            migrate=migrate,
            watch=_options.watch(debug),
            build_context=contexts.of_dict,
            default_context=contexts.of_nothing,
            storable=frozenset(_storable_types(spec, schemas)),
            interface=Interface(spec.input_schema, spec.output_schema, spec.context_schema),
        )
        plan = compile_plan(spec, schemas, name or "StateGraph", strict=strict)
        options = replace(options, stops=_options.stops(plan, interrupt_before, interrupt_after))
        if options.cache is not None:
            options.cache.allow_types(options.storable)
        graph = CompiledStateGraph[StateT, ContextT, InputT, OutputT].of(plan, options)
        return graph.with_checkpointer(checkpointer)


def _as_mapping(state: Any) -> Mapping[str, Any]:
    return state if isinstance(state, Mapping) else vars(state)


def _storable_types(spec: GraphSpec, schemas: Schemas) -> set[type]:
    return {
        found for schema in (*schemas.by_type, spec.context_schema) if schema for found in types_in(schema)
    }
