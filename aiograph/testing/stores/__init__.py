"""The contract of long-term stores as tests: what graphs and their users rely on.

Needs pytest; the tests are asynchronous and run under the plugin that anyio brings.

Each of the modules here holds the tests of one subject; `StoreContract` is all of them together.
"""

from aiograph.testing.stores._at_once import Concurrency
from aiograph.testing.stores._batches import Batches
from aiograph.testing.stores._items import Items
from aiograph.testing.stores._kit import Clock, Colour, Verbs, embed
from aiograph.testing.stores._lifetimes import DefaultLifetimes, Lifetimes
from aiograph.testing.stores._namespaces import Namespaces
from aiograph.testing.stores._queries import Distances, Queries
from aiograph.testing.stores._searching import Filters, Searches

__all__ = ["Clock", "Colour", "StoreContract", "Verbs", "embed"]


class StoreContract(
    Items,
    Batches,
    Searches,
    Filters,
    Namespaces,
    Lifetimes,
    DefaultLifetimes,
    Queries,
    Distances,
    Concurrency,
):
    """What every store has to do. Subclass it, name the subclass `Test...`, and say how to open one.

    Most is tested twice: by the asynchronous verbs, and by the synchronous ones. What a store leaves out it
    says by class attributes that are `False`: `can_expire` and `can_index`. The tests of those parts are
    skipped then, and say why.

    Examples:
        >>> from contextlib import asynccontextmanager
        >>> class TestMyStore(StoreContract):
        ...     @asynccontextmanager
        ...     async def open_store(self, *, index=None, ttl=None):
        ...         async with MyStore.from_conn_string("...", index=index, ttl=ttl) as store:
        ...             yield store
    """
