"""The contract of using a store from many places at once."""

import asyncio

from aiograph.store.base import BaseStore, GetOp, PutOp
from aiograph.testing.stores._kit import Part, Verbs

HERE = ("c",)


class Concurrency(Part):
    """Many tasks, threads and event loops."""

    async def test_many_tasks_may_use_it_at_once(self, verbs: Verbs) -> None:
        async def work(number: int) -> None:
            for n in range(10):
                await verbs.put((*HERE, str(number)), str(n), {"n": n})

        await asyncio.gather(*map(work, range(16)))
        assert len(await verbs.keys(HERE, limit=1000)) == 160
        assert len(await verbs("list_namespaces")) == 16

    async def test_it_may_be_used_from_other_event_loops(self, verbs: Verbs) -> None:
        def elsewhere(number: int) -> None:
            asyncio.run(verbs.put(HERE, str(number), {"n": number}))

        await asyncio.gather(*(asyncio.to_thread(elsewhere, number) for number in range(3)))
        assert set(await verbs.keys(HERE)) == {"0", "1", "2"}

    async def test_no_one_sees_half_a_batch(self, store: BaseStore) -> None:
        keys = [str(number) for number in range(8)]
        await store.abatch([PutOp(HERE, key, {"round": 0}) for key in keys])

        async def write() -> None:
            for turn in range(1, 30):
                await store.abatch([PutOp(HERE, key, {"round": turn}) for key in keys])

        def read() -> set[int]:
            sizes = set()
            for _ in range(30):
                found = store.batch([GetOp(HERE, key) for key in keys])
                sizes.add(len({item.value["round"] for item in found}))  # type: ignore[union-attr]  # items
            return sizes

        sizes, _ = await asyncio.gather(asyncio.to_thread(read), write())
        assert sizes == {1}
