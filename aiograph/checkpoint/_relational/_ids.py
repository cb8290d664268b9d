"""Ids on their way to a database: most are UUIDs, which travel as 16 bytes and are stored as readable text.

A statement says `id(?1)` where a parameter is such an id.
"""

import re
from functools import lru_cache
from uuid import UUID

_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
"""As `str` writes one; what is written otherwise would not come back as it was."""

_PARAMETER = re.compile(r"\bid\((\?\d+)\)")


@lru_cache(maxsize=1024)
def as_uuid(name: str) -> str | UUID:
    """What is bound for an id, where a database knows UUIDs."""
    return UUID(name) if _UUID.fullmatch(name) else name


@lru_cache(maxsize=1024)
def as_bytes(name: str) -> str | bytes:
    """What is bound for an id, where a database knows none."""
    return bytes.fromhex(name.replace("-", "")) if _UUID.fullmatch(name) else name


@lru_cache(maxsize=256)
def told(sql: str, text: str) -> str:
    """A statement for one database, which makes text of a parameter as `text` says."""
    return _PARAMETER.sub(lambda found: text.format(found[1]), sql)


@lru_cache(maxsize=1024)
def text_of(name: str | bytes | None) -> str | None:
    """The SQL function that undoes `as_bytes`; no id stays none."""
    if not isinstance(name, bytes):
        return name
    digits = name.hex()
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
