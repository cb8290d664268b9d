"""The contract of checkpoint savers as tests: what the engine and its users rely on, in both colours.

Needs pytest; the tests are asynchronous and run under the plugin that anyio brings.

Each of the modules here holds the tests of one subject; `SaverContract` is all of them together.
"""

from aiograph.testing.savers._at_once import Concurrency
from aiograph.testing.savers._begun import Beginnings
from aiograph.testing.savers._checkpoints import Checkpoints
from aiograph.testing.savers._copying import Copies
from aiograph.testing.savers._deleting import Deletions
from aiograph.testing.savers._filters import Filters
from aiograph.testing.savers._histories import Histories
from aiograph.testing.savers._holds import Holds
from aiograph.testing.savers._kit import Colour, Verbs, make_checkpoint
from aiograph.testing.savers._listing import Lists
from aiograph.testing.savers._namespaces import Namespaces
from aiograph.testing.savers._pairs import Pairs
from aiograph.testing.savers._supersteps import Supersteps
from aiograph.testing.savers._writes import Writes

__all__ = ["Colour", "SaverContract", "Verbs", "make_checkpoint"]


class SaverContract(
    Checkpoints,
    Namespaces,
    Writes,
    Lists,
    Filters,
    Histories,
    Deletions,
    Copies,
    Supersteps,
    Holds,
    Pairs,
    Beginnings,
    Concurrency,
):
    """What every saver has to do. Subclass it, name the subclass `Test...`, and say how to open one.

    What users call is tested twice: the asynchronous verbs, and the synchronous ones. What a saver leaves
    out it says by class attributes that are `False`: `can_withdraw`, `can_hold`, `can_compare`, `keeps_house`
    and `refuses_names`. The tests of those parts are skipped then, and say why.

    Examples:
        >>> from contextlib import asynccontextmanager
        >>> class TestMySaver(SaverContract):
        ...     @asynccontextmanager
        ...     async def open_saver(self):
        ...         async with MySaver.from_conn_string("...") as saver:
        ...             yield saver
    """
