"""The contract of using a saver from many places at once."""

import asyncio
from collections.abc import Sequence

from aiograph.checkpoint.base import config_for
from aiograph.testing.savers._kit import Part, Verbs, steps_of
from aiograph.types import RunnableConfig


class Concurrency(Part):
    """Many runs, threads and event loops."""

    async def test_many_runs_may_use_it_at_once(self, verbs: Verbs) -> None:
        names = [f"thread {number}" for number in range(16)]
        await asyncio.gather(*(verbs.put_chain(name, 6) for name in names))
        for name in names:
            assert steps_of(await verbs.listed(config_for(name, ""))) == [5, 4, 3, 2, 1, 0]

    async def test_it_may_be_used_from_other_event_loops(self, verbs: Verbs) -> None:
        def elsewhere(name: str) -> Sequence[RunnableConfig]:
            return asyncio.run(verbs.put_chain(name, 3))

        names = ["x", "y", "z"]
        await asyncio.gather(*(asyncio.to_thread(elsewhere, name) for name in names))
        assert len(await verbs.listed(None)) == 9
