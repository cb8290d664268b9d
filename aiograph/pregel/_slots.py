"""How many tasks of a run may be at work at once, tasks called by other tasks included.

A task that has called others is not counted while they are under way: it hands its slot to the first of
them, and gets it back from the last. So whoever holds a slot is at work, waits for nobody who needs one,
and `max_concurrency` cannot wait for itself.
"""

import asyncio
from collections import deque


class Slots:
    """The slots of one superstep. Used on one loop only."""

    __slots__ = ("_free", "_holders", "_queue")

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._holders: set[object] = set()
        self._queue: deque[tuple[object, asyncio.Future[None]]] = deque()

    async def take(self, task: object, caller: object = None) -> None:
        """Waits until `task` may run; the slot of its caller, if that has one, is there at once."""
        if caller in self._holders:
            self._holders.discard(caller)
            self._holders.add(task)
        elif self._free:
            self._free -= 1
            self._holders.add(task)
        else:
            await self._queued(task)

    async def _queued(self, task: object) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append((task, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                self.leave(task)  # it was given a slot in the very moment
            raise  # else `leave` passes over its place in the queue, or has done so

    def leave(self, task: object, heir: object = None) -> None:
        """Gives the slot of `task`, if it has one, to `heir`, to the next in the queue, or back."""
        if task not in self._holders:
            return
        self._holders.discard(task)
        if heir is not None:
            self._holders.add(heir)
            return
        while self._queue:
            waiting, turn = self._queue.popleft()
            if not turn.done():
                self._holders.add(waiting)
                turn.set_result(None)
                return
        self._free += 1
