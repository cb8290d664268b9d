"""What no store can do, found before anything is done."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aiograph.errors import InvalidNamespaceError, StoreQueryError, StoreValueError
from aiograph.store._model import GetOp, ListNamespacesOp, Op, PutOp, SearchOp, TTLConfig

RESERVED = ("aiograph", "langgraph")
"""First labels that are kept for what the library itself may store."""

_TTL_KEYS = TTLConfig.__annotations__.keys()


def check_op(op: Op) -> None:
    """Looks at all of an operation but the value that it puts and the filter that it has.

    Raises:
        InvalidNamespaceError: A namespace or key cannot be stored.
        StoreQueryError: A limit or condition makes no sense.
        StoreValueError: A time to live makes no sense.
        TypeError: Something is of a wrong type.
    """
    check = _CHECKS.get(type(op))
    if check is None:
        raise TypeError(f"{op!r} is no operation of a store")
    check(op)


def check_ttl(ttl: Any, name: str = "ttl") -> None:
    """Refuses what is no time to live in minutes."""
    if ttl is None:
        return
    if isinstance(ttl, bool) or not isinstance(ttl, int | float):
        raise TypeError(f"{name} is a number of minutes, not {ttl!r}")
    if not 0 < ttl < math.inf:
        raise StoreValueError(f"{name} is a positive number of minutes, not {ttl!r}")


def check_ttl_config(config: TTLConfig) -> None:
    """Refuses unknown keys and senseless times."""
    if unknown := config.keys() - _TTL_KEYS:
        raise ValueError(f"unknown in ttl: {sorted(unknown)}; there are {', '.join(_TTL_KEYS)}")
    check_ttl(config.get("default_ttl"), "default_ttl")
    check_ttl(config.get("sweep_interval_minutes"), "sweep_interval_minutes")


def _check_get(op: GetOp) -> None:
    _check_address(op.namespace, op.key)


def _check_put(op: PutOp) -> None:
    _check_address(op.namespace, op.key)
    if op.namespace[0] in RESERVED:
        raise InvalidNamespaceError(f"{op.namespace!r}: {op.namespace[0]!r} is reserved as first label")
    check_ttl(op.ttl)
    index = op.index
    if index is None or index is False:
        return
    if isinstance(index, str) or not isinstance(index, Sequence):
        raise TypeError(f"index is a list of paths, False or None, not {index!r}")


def _check_search(op: SearchOp) -> None:
    _check_namespace(op.namespace_prefix)
    _check_page(op.limit, op.offset)
    if op.query is not None and not isinstance(op.query, str):
        raise TypeError(f"a query is text, not {op.query!r}")


def _check_listing(op: ListNamespacesOp) -> None:
    for condition in op.match_conditions or ():
        if condition.match_type not in ("prefix", "suffix"):
            raise StoreQueryError(f"match_type is 'prefix' or 'suffix', not {condition.match_type!r}")
        _check_namespace(condition.path)
    if op.max_depth is not None and op.max_depth < 1:
        raise StoreQueryError(f"max_depth is at least 1, not {op.max_depth}")
    _check_page(op.limit, op.offset)


_CHECKS: Mapping[type, Callable[[Any], None]] = {
    GetOp: _check_get,
    PutOp: _check_put,
    SearchOp: _check_search,
    ListNamespacesOp: _check_listing,
}


def _check_page(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise StoreQueryError(f"limit and offset are not negative: limit={limit}, offset={offset}")


def _check_address(namespace: Any, key: Any) -> None:
    _check_namespace(namespace)
    if not namespace:
        raise InvalidNamespaceError("an item has a namespace: pass at least one label")
    if not isinstance(key, str):
        raise TypeError(f"a key is text, not {key!r}")
    if not _is_storable(key):
        raise InvalidNamespaceError(f"the key {key!r} has a NUL or half a character, which databases refuse")


def _check_namespace(namespace: Any) -> None:
    if not isinstance(namespace, tuple):
        raise InvalidNamespaceError(f"a namespace is a tuple of labels, not {namespace!r}")
    for label in namespace:
        if not isinstance(label, str) or not label or "." in label or not _is_storable(label):
            raise InvalidNamespaceError(
                f"{label!r} in {namespace!r}: a label is text, not empty, without '.' and NUL"
            )


def _is_storable(text: str) -> bool:
    if "\0" in text:
        return False
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
