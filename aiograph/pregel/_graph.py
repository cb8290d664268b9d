"""A plan with its options: what a graph is, what it looks like, and what a call asks of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, Self, cast

from aiograph._context import Means, current_task
from aiograph.bridge import blocking
from aiograph.channels.base import BaseChannel
from aiograph.checkpoint.base import BaseCheckpointSaver
from aiograph.pregel import _options
from aiograph.pregel._declared import tell_declared
from aiograph.pregel._interface import Interface, interface_of, json_schema, model
from aiograph.pregel._options import NO_CHOICES, Choices
from aiograph.pregel._plan import Plan, PlannedNode
from aiograph.pregel._request import Options, Request
from aiograph.pregel._terms import Stops, Terms
from aiograph.types import RunnableConfig
from aiograph.typing import ContextT, InputT, OutputT, StateT, WithDefaults

if TYPE_CHECKING:
    from aiograph.drawing import Graph
    from aiograph.stats import Collector, Statistics


_OPTIONS = frozenset(
    [
        "cache",
        "cache_policy",
        "checkpointer",
        "config",
        "context_schema",
        "debug",
        "interrupt_after_nodes",
        "interrupt_before_nodes",
        "name",
        "retry_policy",
        "step_timeout",
        "store",
        "stream_mode",
    ]
)
"""What graphs are compiled with, by the names that people set."""


class PlannedGraph(WithDefaults, Generic[StateT, ContextT, InputT, OutputT]):
    """A graph that is ready to run, and never changes."""

    _plan: Plan
    _options: Options

    @classmethod
    def of(cls, plan: Plan, options: Options) -> Self:
        """A graph for a plan that is there already."""
        graph = cls.__new__(cls)
        graph._plan = plan
        graph._options = options
        return graph

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuses options: set afterwards, they would be attributes that nobody reads."""
        if name in _OPTIONS:
            raise AttributeError(
                f"a compiled graph never changes, so its {name!r} cannot be set: compile it with other "
                "options, or take what with_checkpointer, with_config or with_stats returns"
            )
        super().__setattr__(name, value)

    @property
    def name(self) -> str:
        """What the graph is called in messages and traces."""
        return self._plan.name

    @property
    def plan(self) -> Plan:
        """All that the engine knows about the graph."""
        return self._plan

    @property
    def nodes(self) -> Mapping[str, PlannedNode]:
        """What runs, by name."""
        return self._plan.nodes

    @property
    def channels(self) -> Mapping[str, BaseChannel[Any, Any, Any]]:
        """A prototype of each channel."""
        return self._plan.channels

    @property
    def output_channels(self) -> str | tuple[str, ...]:
        """The channel, or channels, that the output is read from."""
        return self._plan.output

    @property
    def checkpointer(self) -> BaseCheckpointSaver | bool | None:
        """The saver; `None` and `True` take that of a graph around this one, `False` keeps nothing."""
        return self._options.checkpointer

    @property
    def stats(self) -> Statistics:
        """What runs did, and where their time went.

        Raises:
            AttributeError: The graph was compiled with neither `stats=True` nor `stats=Statistics()`.
        """
        from aiograph.stats import Statistics

        if not isinstance(self._options.stats, Statistics):
            raise AttributeError(f"graph {self.name!r} has no statistics: compile it with stats=True")
        return self._options.stats

    def with_config(self, config: RunnableConfig | None = None, **entries: Any) -> Self:
        """The same graph with other defaults for the config of its runs.

        Raises:
            ValueError: An entry is not one that configs have.
        """
        merged = _options.merge_configs(self._options.config, config, cast(RunnableConfig, entries))
        return self.of(self._plan, replace(self._options, config=merged))

    def with_checkpointer(self, checkpointer: BaseCheckpointSaver | bool | None) -> Self:
        """The same graph with another saver for its threads.

        Args:
            checkpointer: As for `StateGraph.compile`.

        Raises:
            TypeError: It is no saver, or one that cannot do what the graph's `retention` asks for.
        """
        saver = _options.checkpointer(checkpointer)
        if isinstance(saver, BaseCheckpointSaver):
            _options.require_sweep(saver, self._options.retention)
            tell_declared(saver)
            saver.allow_types(self._options.storable)
        return self.of(self._plan, replace(self._options, checkpointer=saver))

    def with_stats(self, stats: bool | Collector | None = True) -> Self:
        """The same graph, measured by another collector.

        Args:
            stats: As for `StateGraph.compile`.

        Raises:
            TypeError: It is no collector.
        """
        return self.of(self._plan, replace(self._options, stats=_options.collector(stats)))

    # -- cache

    async def aclear_cache(self, nodes: Sequence[str] | None = None) -> None:
        """Has the cache forget what nodes have written, also in the name of older code.

        Args:
            nodes: Their names; by default all that have a cache policy.

        Raises:
            ValueError: The graph has no cache, or one of the nodes no policy.
            CacheError: The storage failed.
        """
        cached = {name: node.cache for name, node in self._plan.nodes.items() if node.cache is not None}
        if self._options.cache is None:
            raise ValueError(f"graph {self.name!r} has no cache that could be cleared: compile it with one")
        for name in nodes or ():
            _options.one_of("cached node", name, sorted(cached))
        chosen = cached if nodes is None else nodes
        await self._options.cache.aclear([cached[name].namespace[:-1] for name in chosen])

    clear_cache = blocking(aclear_cache)

    # -- drawing

    def get_graph(self, *, xray: bool | int = False) -> Graph:
        """What may follow what, as nodes and edges that can be drawn.

        Args:
            xray: Whether nodes that are compiled graphs are shown with what is in them; as a number, how
                many levels deep.

        Raises:
            ValueError: `xray` is negative.
        """
        from aiograph.pregel._topology import topology

        return topology(self._plan, xray)

    # -- schemas

    @property
    def _interface(self) -> Interface:
        return self._options.interface or interface_of(self._plan)

    def get_input_schema(self) -> Any:
        """A Pydantic model of what callers pass: the input schema if it is one, else a `RootModel` of it.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return model(self._interface.input)

    def get_output_schema(self) -> Any:
        """A Pydantic model of what callers get, made as by `get_input_schema`.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return model(self._interface.output)

    def get_input_jsonschema(self) -> dict[str, Any]:
        """The JSON schema of what callers pass. Reducers and managed values are left out.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return json_schema(self._interface.input)

    def get_output_jsonschema(self) -> dict[str, Any]:
        """The JSON schema of what callers get.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        return json_schema(self._interface.output)

    def get_context_jsonschema(self) -> dict[str, Any] | None:
        """The JSON schema of what callers pass as `context=`; `None` if the graph declares no type for it.

        Raises:
            MissingExtraError: The `schema` extra is not installed.
        """
        context = self._interface.context
        return None if context is None else json_schema(context)

    # -- what a call asks for

    def _request(
        self,
        input: Any,
        config: RunnableConfig | None,
        choices: Choices,
        context: Any = None,
        output_keys: str | Sequence[str] | None = None,
        *,
        is_shown: bool = False,
    ) -> Request:
        if output_keys is None and choices == NO_CHOICES:
            terms = self._shown_terms if is_shown else self._usual_terms
        else:
            keys = self._plan.state if is_shown and output_keys is None else output_keys
            terms = self._chosen_terms(choices, keys)
        return Request(input, self._config(config), self._context(context), terms, self._options)

    @cached_property
    def _usual_terms(self) -> Terms:
        """Those of callers who choose nothing: most do not, so they are ready."""
        return self._chosen_terms(NO_CHOICES, None)

    @cached_property
    def _shown_terms(self) -> Terms:
        """Those of such callers who see the run at work."""
        return self._chosen_terms(NO_CHOICES, self._plan.state)

    def _chosen_terms(self, choices: Choices, output_keys: str | Sequence[str] | None) -> Terms:
        options, plan = self._options, self._plan
        output = plan.output
        if output_keys is not None:
            output = _options.check_output_keys(output_keys, plan.channels)
        return Terms(
            output=output,
            means=Means(
                store=options.store,
                cache=options.cache,
                control=_options.control(choices.control),
                durability=_options.durability(choices.durability) or options.durability,
            ),
            on_error=_options.on_error(choices.on_error) or options.on_error,
            on_conflict=_options.on_conflict(choices.on_conflict) or options.on_conflict,
            stops=self._stops(choices),
        )

    def _context(self, context: Any) -> Any:
        build, default = self._options.build_context, self._options.default_context
        if build is not None and isinstance(context, dict):
            return build(context)
        if context is None and default is not None and not _inherits_context():
            return default()
        return context

    def _stops(self, choices: Choices) -> Stops:
        before, after = choices.interrupt_before, choices.interrupt_after
        default = self._options.stops
        if before is None and after is None:
            return default
        chosen = _options.stops(self._plan, before, after)
        return Stops(
            default.before if before is None else chosen.before,
            default.after if after is None else chosen.after,
        )

    def _config(self, config: RunnableConfig | None) -> RunnableConfig:
        outer = current_task.get()
        ambient = None if outer is None else _options.inherited_config(outer.run.config, config)
        return _options.merge_configs(ambient, self._options.config, config)


def _inherits_context() -> bool:
    outer = current_task.get()
    return outer is not None and outer.run.means.context is not None
