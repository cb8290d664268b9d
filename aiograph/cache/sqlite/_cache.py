"""The SQLite cache: its verbs as statements."""

import json
import os
from collections.abc import Mapping, Sequence
from typing import Self

from aiograph import _ids
from aiograph._sql.session import Change, Query
from aiograph._sql.sqlite import Settings, SqliteDatabase
from aiograph.bridge import blocking
from aiograph.cache.base import BaseCache, FullKey, Namespace, ValueT, expiry
from aiograph.cache.sqlite._schema import COMPONENT
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.errors import CacheError

_SET = """
    INSERT INTO cached_values (namespace, key, expires_at, type, blob) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (namespace, key) DO UPDATE
    SET expires_at = excluded.expires_at, type = excluded.type, blob = excluded.blob
"""
_PURGE = "DELETE FROM cached_values WHERE expires_at <= ?"
_CLEAR_ALL = "DELETE FROM cached_values"
_CLEAR = "DELETE FROM cached_values WHERE namespace >= ? AND namespace < ?"

_ASKED_AT_ONCE = 400
"""Keys in one statement: older releases of SQLite take fewer than a thousand parameters."""


class SqliteCache(BaseCache[ValueT]):
    """Keeps values in a SQLite file.

    Works from any thread and any event loop, and several processes may use one file. What has expired is
    removed when the next value is set. A context manager, in either colour, which closes the file.

    Args:
        path: A path, a `file:` URI, or `":memory:"`. Opened, and created if need be, when first used. It may
            be the file of a saver.
        serde: How values become bytes.
    """

    def __init__(self, *, path: str | os.PathLike[str], serde: SerializerProtocol | None = None) -> None:
        super().__init__(serde=serde)
        self._database = SqliteDatabase(path, Settings(component=COMPONENT, fault=CacheError))

    async def aget(self, keys: Sequence[FullKey]) -> dict[FullKey, ValueT]:
        by_name = {_names(key): key for key in keys}
        names = list(by_name)
        found: dict[FullKey, tuple[str, bytes]] = {}
        for start in range(0, len(names), _ASKED_AT_ONCE):
            rows = await self._database.fetch(_selected(names[start : start + _ASKED_AT_ONCE]), "cache")
            found |= {by_name[namespace, key]: (tag, blob) for namespace, key, tag, blob in rows}
        return self.decoded(found)

    async def aset(self, pairs: Mapping[FullKey, tuple[ValueT, float | None]]) -> None:
        rows = [
            (*_names(key), expiry(ttl), *self.serde.dumps_typed(value)) for key, (value, ttl) in pairs.items()
        ]
        changes = [Change(_SET, rows), Change(_PURGE, [(_ids.wall_ns(),)])]
        await self._database.write(changes, "cache")

    async def aclear(self, namespaces: Sequence[Namespace] | None = None) -> None:
        if namespaces is None:
            change = Change(_CLEAR_ALL)
        else:
            starts = [_path(namespace) for namespace in namespaces]
            change = Change(_CLEAR, [(start, start + _AFTER_ALL) for start in starts])
        await self._database.write([change], "cache")

    async def aclose(self) -> None:
        """Closes the file. What was asked before is done; what is asked later is an error."""
        await self._database.aclose()

    close = blocking(aclose)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *details: object) -> None:
        await self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.close()


_AFTER_ALL = "\U0010ffff"
"""Sorts after whatever a namespace may go on with."""


def _path(namespace: Namespace) -> str:
    """A namespace as text that the texts of all namespaces within it begin with, and no other text."""
    return "".join(f"{json.dumps(part)}," for part in namespace)


def _names(key: FullKey) -> tuple[str, str]:
    return _path(key[0]), json.dumps(key[1])


def _selected(names: Sequence[tuple[str, str]]) -> Query:
    places = ", ".join(["(?, ?)"] * len(names))
    sql = (
        "SELECT namespace, key, type, blob FROM cached_values "
        f"WHERE (expires_at IS NULL OR expires_at > ?) AND (namespace, key) IN (VALUES {places})"
    )
    return Query(sql, (_ids.wall_ns(), *(part for pair in names for part in pair)))
