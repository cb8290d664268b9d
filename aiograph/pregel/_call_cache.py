"""What called tasks returned before for the same arguments: the rules of nodes, for one call at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiograph.pregel._cache import TaskCache, warn_of_uncached_call
from aiograph.pregel._declared import tell_declared
from aiograph.pregel._plan import Plan
from aiograph.pregel._tasks import Task

if TYPE_CHECKING:
    from aiograph.cache.base import BaseCache


class CallCache:
    """The cache of one run, or that it has none, for the tasks that it calls."""

    __slots__ = ("_cache", "_has_warned", "_plan", "_tasks")

    def __init__(self, cache: BaseCache[Any] | None, plan: Plan) -> None:
        self._cache = cache
        self._plan = plan
        self._tasks = None if cache is None else TaskCache(cache, plan)
        self._has_warned = False

    async def find(self, call: Task) -> None:
        """Gives a call that has not begun before what it returned elsewhere. One that has no key fails."""
        try:
            await self._find(call)
        except Exception as error:  # of the key function, or of what cannot be a key
            call.error = error

    async def _find(self, call: Task) -> None:
        if self._cache is not None and self._tasks is not None:
            tell_declared(self._cache)
            await self._tasks.fill_call(call)
        elif not self._has_warned:
            self._has_warned = True
            warn_of_uncached_call(self._plan, call)

    async def keep(self, call: Task) -> None:
        """Keeps what a call has returned. One whose result cannot be kept fails."""
        if self._tasks is None:
            return
        await self._tasks.keep([call])
        if call.error is not None:
            call.writes = None
