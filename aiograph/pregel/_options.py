"""The options of a run: checked, merged with their defaults, and whole.

What only some graphs have, a store, a cache, statistics, is imported when one is given.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, TypeVar, cast

from aiograph.checkpoint.base import BaseCheckpointSaver, Retention
from aiograph.pregel._emit import STREAM_MODES
from aiograph.pregel._plan import Plan
from aiograph.pregel._terms import NO_STOPS, Stops
from aiograph.runtime import RunControl
from aiograph.types import Durability, OnConflict, OnError, RunnableConfig, StreamMode

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache
    from aiograph.pregel._watch import LoopWatch
    from aiograph.stats import Collector
    from aiograph.store.base import BaseStore

T = TypeVar("T")

DEFAULT_RECURSION_LIMIT = 10_000

DEFAULT_PATIENCE = 0.2
"""Seconds that a loop may take for a turn before a graph that is debugged warns."""

_CONFIG_KEYS = frozenset(RunnableConfig.__annotations__)
_DURABILITIES: tuple[Durability, ...] = ("sync", "async", "exit")
_ON_CONFLICT: tuple[OnConflict, ...] = ("raise", "wait")
_ON_ERROR: tuple[OnError, ...] = ("cancel", "finish")


Names: TypeAlias = Literal["*"] | Sequence[str]
"""Names of nodes, or all that are not hidden."""


class Limits(NamedTuple):
    """The limits of a run, out of its config."""

    recursion: int
    concurrency: int | None


class Choices(NamedTuple):
    """What a caller may choose for one call; `None` leaves it to the graph."""

    durability: Durability | None = None
    on_error: OnError | None = None
    on_conflict: OnConflict | None = None
    interrupt_before: Names | None = None
    interrupt_after: Names | None = None
    control: RunControl | None = None


NO_CHOICES = Choices()


def default_recursion_limit() -> int:
    """10,000 supersteps, or what the environment variable AIOGRAPH_DEFAULT_RECURSION_LIMIT says.

    Read when a graph is made: looking into the environment would be a part of what each run costs.

    Raises:
        ValueError: It says something else.
    """
    text = os.environ.get("AIOGRAPH_DEFAULT_RECURSION_LIMIT") or str(DEFAULT_RECURSION_LIMIT)
    if not text.strip().isdecimal() or int(text) < 1:
        raise ValueError(
            f"the environment variable AIOGRAPH_DEFAULT_RECURSION_LIMIT is {text!r}: "
            "it may be a whole number, at least 1, or be left out"
        )
    return int(text)


def limits_of(config: RunnableConfig, recursion_limit: int = DEFAULT_RECURSION_LIMIT) -> Limits:
    """The limits that a config sets; that of supersteps is `recursion_limit` otherwise.

    Raises:
        TypeError: One is no whole number.
        ValueError: One is below 1.
    """
    recursion, concurrency = config.get("recursion_limit"), config.get("max_concurrency")
    if recursion is None and concurrency is None:
        return Limits(recursion_limit, None)
    for name, limit in (("recursion_limit", recursion), ("max_concurrency", concurrency)):
        if limit is not None and not hasattr(limit, "__index__"):
            raise TypeError(f"{name} is a whole number, not {limit!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"{name} must be at least 1, not {limit}")
    return Limits(recursion_limit if recursion is None else recursion, concurrency)


def merge_configs(*configs: RunnableConfig | None) -> RunnableConfig:
    """One config out of several; later ones win, tags add up, metadata and configurable merge by key.

    Raises:
        TypeError: A config is no dict, or what has to be one in it is none.
        ValueError: A config has a key that configs do not have.
    """
    merged: Any = {}
    for config in configs:
        if config:
            _require_dict("a config", config)
        for key, value in config.items() if config else ():
            _check_key(key)
            merged[key] = _merge_entry(key, merged.get(key), value)
    return merged  # type: ignore[no-any-return]  # its keys are those of a config


_INHERITED = ("tags", "metadata", "callbacks", "recursion_limit", "max_concurrency")


def inherited_config(outer: RunnableConfig, own: RunnableConfig | None) -> RunnableConfig:
    """What a nested run takes over from the config of the run around it.

    A nested run that names another thread starts from a clean `configurable`.

    Raises:
        TypeError: What is to be its config is no dict.
    """
    if own:
        _require_dict("a config", own)
    inherited = {key: value for key, value in outer.items() if key in _INHERITED}
    ambient = outer.get("configurable") or {}
    thread_id = ((own or {}).get("configurable") or {}).get("thread_id")
    if thread_id is None or str(thread_id) == str(ambient.get("thread_id")):
        inherited["configurable"] = {
            key: value for key, value in ambient.items() if not key.startswith("checkpoint_")
        }
    return cast(RunnableConfig, inherited)


def _check_key(key: str) -> None:
    if key not in _CONFIG_KEYS:
        from difflib import get_close_matches

        hint = get_close_matches(key, _CONFIG_KEYS, 1)
        raise ValueError(
            f"a config has no key {key!r}"
            + (f", did you mean {hint[0]!r}?" if hint else ".")
            + f" Keys are {sorted(_CONFIG_KEYS)}; what your nodes read belongs in 'configurable'"
        )


_ENTRIES = {key: f"the {key} of a config" for key in ("metadata", "configurable")}
"""What has to be a dict in a config, as errors call it."""


def _require_dict(what: str, value: object) -> None:
    if type(value) is not dict and not isinstance(value, Mapping):  # the second is slow to ask
        raise TypeError(
            f"{what} is a dict, as {{'configurable': {{'thread_id': '1'}}}} is one, not {value!r}"
        )


def _merge_entry(key: str, old: Any, new: Any) -> Any:
    if new is not None and key in _ENTRIES:
        _require_dict(_ENTRIES[key], new)
    if new is None or old is None:
        return old if new is None else new
    if key == "tags":
        return list(
            dict.fromkeys((*old, *new))
        )  # a node that hands its config on passes on what is inherited
    if key in ("metadata", "configurable"):
        return {**old, **new}
    return new


def stream_modes(mode: StreamMode | Sequence[StreamMode]) -> tuple[StreamMode, ...]:
    """The modes asked for.

    Raises:
        ValueError: There is no such mode, or none at all.
    """
    modes = (mode,) if isinstance(mode, str) else tuple(mode)
    if not modes:
        raise ValueError(f"no stream mode was asked for; there are {', '.join(STREAM_MODES)}")
    for name in modes:
        one_of("stream mode", name, STREAM_MODES)
    return modes


def durability(value: Durability | None) -> Durability | None:
    """The value, checked."""
    return None if value is None else one_of("durability", value, _DURABILITIES)


def control(value: RunControl | None) -> RunControl | None:
    """The value, checked.

    Raises:
        TypeError: It is no control.
    """
    if value is not None and not isinstance(value, RunControl):
        raise TypeError(f"control is a RunControl, not {value!r}")
    return value


def on_error(value: OnError | None) -> OnError | None:
    """The value, checked."""
    return None if value is None else one_of("on_error", value, _ON_ERROR)


def stops(plan: Plan, before: Names | None, after: Names | None) -> Stops:
    """Where a run stops.

    Raises:
        ValueError: There is no such node.
    """
    if not before and not after:
        return NO_STOPS
    return Stops(_nodes(plan, before, "interrupt_before"), _nodes(plan, after, "interrupt_after"))


def _nodes(plan: Plan, names: Names | None, what: str) -> frozenset[str]:
    wanted = frozenset((names,) if isinstance(names, str) else names or ())
    visible = sorted(name for name, node in plan.nodes.items() if not node.is_hidden)
    for name in wanted - {"*"}:
        one_of(f"node for {what}", name, visible)
    return wanted


def on_conflict(value: OnConflict | None) -> OnConflict | None:
    """The value, checked."""
    return None if value is None else one_of("on_conflict", value, _ON_CONFLICT)


def checkpointer(value: Any) -> BaseCheckpointSaver | bool | None:
    """The value, checked.

    Raises:
        TypeError: It is neither a saver nor a bool nor `None`.
    """
    if value is None or value is True or value is False or isinstance(value, BaseCheckpointSaver):
        return value
    raise TypeError(f"a checkpointer is a saver, True, False or None, not {value!r}{_entering(value)}")


def _entering(value: Any) -> str:
    """What to do with a context manager that was passed in place of what it yields."""
    is_manager = any(hasattr(value, name) for name in ("__enter__", "__aenter__"))
    return "; enter the context manager and pass what it yields" if is_manager else ""


def store(value: Any) -> BaseStore | None:
    """The value, checked.

    Raises:
        TypeError: It is neither a store nor `None`.
    """
    if value is None:
        return None
    from aiograph.store.base import BaseStore

    if isinstance(value, BaseStore):
        return value
    raise TypeError(f"a store is an aiograph.store.base.BaseStore or None, not {value!r}{_entering(value)}")


def retention(value: Retention | None) -> Retention | None:
    """The value, checked.

    Raises:
        TypeError: It is no policy.
        ValueError: Its limits make no sense.
    """
    if value is None:
        return None
    if not isinstance(value, Retention):
        raise TypeError(f"retention is a Retention, such as Retention(keep_last=10), not {value!r}")
    return value.checked()


def watch(value: bool | float | None) -> LoopWatch | None:
    """What looks for code that blocks the loop; `None` leaves it to the environment.

    Raises:
        ValueError: It is not above 0 seconds.
    """
    chosen = _debug_by_environment() if value is None else value
    limit = seconds("debug", DEFAULT_PATIENCE if chosen is True else chosen or None)
    if limit is None:
        return None
    from aiograph.pregel._watch import LoopWatch

    return LoopWatch(limit)


def _debug_by_environment() -> bool | float:
    text = os.environ.get("AIOGRAPH_DEBUG", "0")
    try:
        return True if text == "1" else float(text)
    except ValueError:
        return bool(text)


def collector(value: bool | Collector | None) -> Collector | Literal[False] | None:
    """The value, checked; a new collector for `True`.

    Raises:
        TypeError: It is no collector.
    """
    if value is None or value is False:
        return value
    from aiograph.stats import Collector, Statistics

    if value is True:
        return Statistics()
    if isinstance(value, Collector):
        return value
    raise TypeError(f"stats is True, False, None or a subclass of aiograph.stats.Collector, not {value!r}")


def require_sweep(saver: BaseCheckpointSaver, policy: Retention | None) -> None:
    """Refuses a policy that a saver cannot apply.

    Raises:
        TypeError: It defines no `sweep`.
    """
    if policy is not None and type(saver).asweep is BaseCheckpointSaver.asweep:
        raise TypeError(
            f"{type(saver).__name__} cannot apply {policy}, as it defines neither asweep nor sweep; "
            "define one, or compile without retention and remove old checkpoints by other means"
        )


def seconds(what: str, value: float | None) -> float | None:
    """The value, checked.

    Raises:
        ValueError: It is not above 0.
    """
    if value is not None and value <= 0:
        raise ValueError(f"{what} must be above 0 seconds, not {value}")
    return value


def cache(value: Any) -> BaseCache[Any] | None:
    """The value, checked.

    Raises:
        TypeError: It is no cache.
    """
    if value is None:
        return None
    from aiograph.cache.base import BaseCache

    if isinstance(value, BaseCache):
        return value
    raise TypeError(f"a cache is an InMemoryCache, a SqliteCache or another BaseCache, not {value!r}")


def one_of(what: str, value: T, allowed: Sequence[T]) -> T:
    """The value, if it is allowed.

    Raises:
        ValueError: It is not; the message lists what is.
    """
    if value not in allowed:
        raise ValueError(f"there is no {what} {value!r}; there are {', '.join(map(repr, allowed))}")
    return value


def check_output_keys(keys: str | Sequence[str], channels: Mapping[str, Any]) -> str | tuple[str, ...]:
    """The channels to read the output from.

    Raises:
        ValueError: One does not exist.
    """
    names = (keys,) if isinstance(keys, str) else tuple(keys)
    for name in names:
        one_of("output key", name, sorted(channels))
    return keys if isinstance(keys, str) else names
