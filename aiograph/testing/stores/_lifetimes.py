"""The contract of times to live, on a clock that the tests move."""

from collections.abc import AsyncIterator

import pytest

from aiograph.errors import StoreValueError
from aiograph.store.base import GetOp, SearchOp, TTLConfig
from aiograph.testing.stores._kit import Clock, Part, Verbs

HERE = ("t",)


class Lifetimes(Part):
    """Items expire, by minutes and fractions of them."""

    @pytest.fixture
    def mortal(self, clock: Clock, verbs: Verbs) -> Verbs:
        """The verbs of a store whose items can expire, while time stands still."""
        self.require_lifetimes()
        return verbs

    async def test_an_item_expires(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "short", {}, ttl=0.5)
        await mortal.put(HERE, "long", {}, ttl=90)
        await mortal.put(HERE, "ever", {})
        clock.advance(0.49)
        assert await mortal.value(HERE, "short") == {}
        clock.advance(0.02)
        assert await mortal.value(HERE, "short") is None
        assert set(await mortal.keys(HERE, refresh_ttl=False)) == {"long", "ever"}
        clock.advance(1e6)
        assert await mortal.keys(HERE) == ["ever"]

    async def test_an_expired_item_is_nowhere(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "k", {}, ttl=1)
        created_at = (await mortal.get(HERE, "k")).created_at
        clock.advance(2)
        assert await mortal("get", HERE, "k") is None
        assert await mortal.keys(HERE) == []
        assert await mortal("list_namespaces") == []
        await mortal.put(HERE, "k", {})
        assert (await mortal.get(HERE, "k")).created_at > created_at

    async def test_reading_starts_the_time_anew(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "got", {}, ttl=1.5)
        await mortal.put(HERE, "searched", {"n": 1}, ttl=1.5)
        await mortal.put(HERE, "neither", {}, ttl=1.5)
        clock.advance(1)
        await mortal.get(HERE, "got")
        assert await mortal.keys(HERE, filter={"n": 1}) == ["searched"]
        clock.advance(1)
        assert set(await mortal.keys(HERE, refresh_ttl=False)) == {"got", "searched"}

    async def test_reading_can_leave_the_time_alone(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "k", {}, ttl=1)
        clock.advance(0.9)
        await mortal.get(HERE, "k", refresh_ttl=False)
        await mortal.keys(HERE, refresh_ttl=False)
        clock.advance(0.2)
        assert await mortal.value(HERE, "k") is None

    async def test_what_a_search_leaves_out_is_not_read(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "first", {}, ttl=1)
        await mortal.put(HERE, "second", {}, ttl=1)
        clock.advance(0.9)
        assert await mortal.keys(HERE, limit=1) == ["second"]
        clock.advance(0.2)
        assert await mortal.keys(HERE) == ["second"]

    async def test_one_of_several_reads_is_enough(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "k", {}, ttl=1)
        clock.advance(0.9)
        quiet = GetOp(HERE, "k", refresh_ttl=False)
        await mortal("batch", [quiet, GetOp(HERE, "k"), quiet, SearchOp(HERE, refresh_ttl=False)])
        clock.advance(0.9)
        assert await mortal.value(HERE, "k") == {}

    async def test_a_put_replaces_the_time_to_live(self, mortal: Verbs, clock: Clock) -> None:
        await mortal.put(HERE, "k", {}, ttl=1)
        await mortal.put(HERE, "k", {})
        clock.advance(5)
        assert await mortal.value(HERE, "k") == {}

    async def test_sweeping_removes_what_has_expired(self, mortal: Verbs, clock: Clock) -> None:
        for key, ttl in (("a", 1), ("b", 1), ("c", 3), ("d", None)):
            await mortal.put(HERE, key, {}, ttl=ttl)
        assert await mortal("sweep_ttl") == 0
        clock.advance(2)
        assert await mortal("sweep_ttl") == 2
        assert await mortal("sweep_ttl") == 0
        assert set(await mortal.keys(HERE)) == {"c", "d"}

    async def test_senseless_times_are_refused(self, mortal: Verbs) -> None:
        for ttl in (0, -1, float("inf"), float("nan")):
            with pytest.raises(StoreValueError, match="minutes"):
                await mortal.put(HERE, "k", {}, ttl=ttl)
        with pytest.raises(TypeError, match="minutes"):
            await mortal.put(HERE, "k", {}, ttl="5")
        assert await mortal.keys(HERE) == []


class DefaultLifetimes(Part):
    """What a store's own `TTLConfig` says."""

    @pytest.fixture(params=["async", "sync"])
    async def configured(self, clock: Clock, request: pytest.FixtureRequest) -> AsyncIterator[Verbs]:
        """The verbs of a store that has the opposite of every default, while time stands still."""
        self.require_lifetimes()
        ttl: TTLConfig = {"default_ttl": 1.0, "refresh_on_read": False, "omit_expired": False}
        async with self.open_store(ttl=ttl) as store:
            yield Verbs(store, request.param)

    async def test_items_expire_by_default_unless_told_otherwise(
        self, configured: Verbs, clock: Clock
    ) -> None:
        await configured.put(HERE, "default", {})
        await configured.put(HERE, "longer", {}, ttl=5)
        await configured.put(HERE, "ever", {}, ttl=None)
        clock.advance(2)
        assert await configured("sweep_ttl") == 1
        assert set(await configured.keys(HERE)) == {"longer", "ever"}
        clock.advance(1000)
        assert await configured("sweep_ttl") == 1

    async def test_reading_leaves_the_time_alone_unless_told_otherwise(
        self, configured: Verbs, clock: Clock
    ) -> None:
        await configured.put(HERE, "read", {})
        await configured.put(HERE, "refreshed", {})
        clock.advance(0.9)
        await configured.get(HERE, "read")
        await configured.get(HERE, "refreshed", refresh_ttl=True)
        clock.advance(0.2)
        assert await configured("sweep_ttl") == 1
        assert await configured.keys(HERE) == ["refreshed"]

    async def test_expired_items_may_stay_until_they_are_swept(self, configured: Verbs, clock: Clock) -> None:
        await configured.put(HERE, "k", {})
        clock.advance(2)
        assert await configured.value(HERE, "k") == {}
        assert await configured.keys(HERE) == ["k"]
        await configured("sweep_ttl")
        assert await configured.value(HERE, "k") is None
