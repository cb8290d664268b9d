"""What tasks wrote when they ran before with the same input, looked up and kept, once per superstep.

A cache saves work and nothing else: when it fails, that is told as a warning and nodes run. What it is asked
to keep or to look for has to be storable, and anything else is an error that gives the path to it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from aiograph.constants import POSITIONS, RETURN
from aiograph.errors import CheckpointSerializationError, InvalidUpdateError
from aiograph.pregel._identity import name_of, node_digest
from aiograph.pregel._notes import note
from aiograph.pregel._plan import Caching, Plan, PlannedNode, Write
from aiograph.pregel._tasks import Task
from aiograph.types import CachePolicy
from aiograph.warnings import CacheWarning

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache, FullKey, Namespace
    from aiograph.checkpoint.serde.base import SerializerProtocol

_WRITES = "__pregel_ns_writes"
"""The first word of the namespaces of what tasks wrote."""


def node_namespace(node: PlannedNode) -> Namespace:
    """Where the results of a node are, whatever its code was when it made them."""
    action = None if node.call is None else node.call.action
    return (_WRITES, name_of(action), node.name)


def cache_key(policy: CachePolicy, serde: SerializerProtocol, /, *args: Any, **kwargs: Any) -> str:
    """The key of a call: a digest of its arguments, or of what the policy's function makes of them.

    Raises:
        CheckpointSerializationError: They cannot be stored; the message gives the path to what cannot.
    """
    if policy.key_func is None:
        made: Any = (list(args), kwargs)
    else:
        made = policy.key_func(*args, **kwargs)
    from aiograph.checkpoint.serde._canonical import canonical  # brings all codecs along

    # a serializer that encrypts makes other bytes each time: those within are what counts
    tag, blob = getattr(serde, "serde", serde).dumps_typed(made)
    told = canonical(tag, blob)
    return blake2b(told, digest_size=16).hexdigest()


class TaskCache:
    """The cache of one run."""

    def __init__(self, cache: BaseCache[Any], plan: Plan) -> None:
        self._cache = cache
        self._plan = plan

    async def fill(self, tasks: Sequence[Task]) -> list[Task]:
        """Gives tasks what they wrote before.

        Returns:
            The tasks that need not run.

        Raises:
            CheckpointSerializationError: The input of one cannot be a key.
        """
        return await self._fill([task for task in tasks if _may_be_found(task)])

    async def fill_call(self, call: Task) -> None:
        """Gives a called task what it wrote before. Whether it may be found is for the caller to know.

        Raises:
            CheckpointSerializationError: Its arguments cannot be a key.
        """
        await self._fill([call])

    async def _fill(self, wanted: Sequence[Task]) -> list[Task]:
        for task in wanted:
            task.cache_key = self._key(task)
        found = await self._found([task.cache_key for task in wanted if task.cache_key is not None])
        hits = [task for task in wanted if task.cache_key in found]
        for task in hits:
            assert task.cache_key is not None
            task.writes, task.cached = found[task.cache_key], True
        return hits

    def _key(self, task: Task) -> FullKey | None:
        caching = task.node.cache
        assert caching is not None
        try:
            input = task.input
        except InvalidUpdateError:
            return None  # the state makes no input for this node: the task fails and says why
        try:
            args, kwargs = input if task.is_call else ((input,), {})
            return caching.namespace, cache_key(caching.policy, self._cache.serde, *args, **kwargs)
        except CheckpointSerializationError as error:
            raise CheckpointSerializationError(
                f"{_described(task)} has a cache_policy, and its input cannot be a key: {error}; "
                "give the policy a key_func"
            ) from error
        except Exception as error:
            note(error, f"in the key_func of {_described(task)}")
            raise

    async def _found(self, keys: Sequence[FullKey]) -> Mapping[FullKey, list[Write]]:
        if not keys:
            return {}
        try:
            return await self._cache.aget(list(dict.fromkeys(keys)))
        except Exception as error:
            _warn(self._plan, "cannot be read, so its nodes run", error)
            return {}

    async def keep(self, tasks: Sequence[Task]) -> None:
        """Keeps what tasks have written that have come to a clean end; one that cannot be kept fails."""
        pairs = {}
        for task in tasks:
            if task.cache_key is not None and self._is_clean(task):
                assert task.node.cache is not None
                pairs[task.cache_key] = (task.writes, task.node.cache.policy.ttl)
        if not pairs:
            return
        try:
            await self._cache.aset(pairs)
        except CheckpointSerializationError as error:
            self._blame(tasks, error)
        except Exception as error:
            _warn(self._plan, "cannot be written", error)

    def _is_clean(self, task: Task) -> bool:
        """Whether the same input would lead to the same writes, and they are all there is to it."""
        if task.writes is None or task.cached or task.error is not None or task.handler is not None:
            return False
        if task.is_call:
            return all(name == RETURN for name, _ in task.writes)
        channels = self._plan.channels
        return all(
            name in channels and name != POSITIONS and channels[name].persistent for name, _ in task.writes
        )

    def _blame(self, tasks: Sequence[Task], error: CheckpointSerializationError) -> None:
        for task in tasks:
            if task.cache_key is None or not self._is_clean(task):
                continue
            try:
                self._cache.serde.dumps_typed(task.writes)
            except CheckpointSerializationError as reason:
                task.error = CheckpointSerializationError(
                    f"{_described(task)} has a cache_policy, and what it wrote cannot be stored: {reason}"
                )
                task.error.__cause__ = error


def _may_be_found(task: Task) -> bool:
    """Whether a task may be in the cache: not if it has begun before, and asked, or failed."""
    return (
        task.node.cache is not None
        and task.writes is None
        and not task.questions
        and not task.answers
        and task.handler is None
    )


def _described(task: Task) -> str:
    return f"{'task' if task.is_call else 'node'} {task.name!r}"


def _warn(plan: Plan, what: str, error: Exception) -> None:
    warnings.warn(f"the cache of graph {plan.name!r} {what}: {error!r}", CacheWarning, stacklevel=2)


def warn_of_no_cache(plan: Plan) -> None:
    """Tells that policies have no effect."""
    text = f"graph {plan.name!r} has nodes with a cache_policy and no cache, so they run: compile(cache=...)"
    warnings.warn(text, CacheWarning, stacklevel=2)


def warn_of_uncached_call(plan: Plan, call: Task) -> None:
    """The same of the policy of a task that is called."""
    text = (
        f"task {call.name!r} has a cache_policy, and graph {plan.name!r}, where it is called, has no cache, "
        "so it runs: @entrypoint(cache=...) or compile(cache=...)"
    )
    warnings.warn(text, CacheWarning, stacklevel=2)


def cached_node(node: PlannedNode, policy: CachePolicy | None) -> PlannedNode:
    """The node, cached as a policy says."""
    if policy is None:
        return node
    return replace(node, cache=Caching(policy, (*node_namespace(node), node_digest(node))))
