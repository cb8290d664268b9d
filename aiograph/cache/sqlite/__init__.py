"""`SqliteCache`: values in a SQLite file, for many processes and for longer than any of them lives."""

from aiograph.cache.sqlite._cache import SqliteCache

__all__ = ["SqliteCache"]
