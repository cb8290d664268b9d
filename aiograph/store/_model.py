"""What stores are asked, and what they answer: plain values. Knows no rules."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, TypeAlias, TypedDict

Namespace: TypeAlias = tuple[str, ...]
NamespacePath: TypeAlias = tuple[str, ...]
"""Labels of a namespace; `"*"` stands for any one label."""

NamespaceMatchType: TypeAlias = Literal["prefix", "suffix"]


class NotProvided(Enum):
    """The type of `NOT_PROVIDED`."""

    NOT_PROVIDED = "not provided"


NOT_PROVIDED: Final = NotProvided.NOT_PROVIDED
"""Tells an argument that was left out from one that is `None`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A value of a store, copied out of it: changing it changes nothing that is stored."""

    value: dict[str, Any]
    key: str
    namespace: Namespace
    created_at: datetime
    """When the key was first put; kept when its value is replaced."""
    updated_at: datetime
    """When the value was last put."""

    def __hash__(self) -> int:
        return hash((self.namespace, self.key))

    def dict(self) -> dict[str, Any]:
        """The item as JSON has it: the namespace as a list, times as ISO 8601 text."""
        return {
            "namespace": list(self.namespace),
            "key": self.key,
            "value": self.value,
            "created_at": self.created_at.isoformat(),
            "updated_at": self.updated_at.isoformat(),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchItem(Item):
    """An item that a search has found."""

    score: float | None = None
    """How near it is to the query, higher is nearer; `None` if the search had none."""

    __hash__ = Item.__hash__

    def dict(self) -> dict[str, Any]:
        """The item as JSON has it, with its score."""
        return {**Item.dict(self), "score": self.score}


class GetOp(NamedTuple):
    """Asks for one item."""

    namespace: Namespace
    key: str
    refresh_ttl: bool = True
    """Whether the item's time to live starts anew."""


class SearchOp(NamedTuple):
    """Asks for the items in a namespace and all below it.

    With a query those nearest to it come first. Without one those put last do; of those put at the same
    moment, the order is that of namespace and key.
    """

    namespace_prefix: Namespace
    filter: Mapping[str, Any] | None = None
    limit: int = 10
    offset: int = 0
    query: str | None = None
    """What the items should be about; finds indexed items only."""
    refresh_ttl: bool = True
    """Whether the time to live of the items that are returned starts anew."""


class PutOp(NamedTuple):
    """Puts a value, in place of what was there; `None` deletes the item."""

    namespace: Namespace
    key: str
    value: Mapping[str, Any] | None
    index: Literal[False] | Sequence[str] | None = None  # type: ignore[assignment]  # hides a tuple's method
    """Paths to what is indexed for queries; `None`: those of the store; `False`: nothing."""
    ttl: float | None = None
    """Minutes until the item expires, fractions included; `None`: never."""


class MatchCondition(NamedTuple):
    """Labels that a namespace begins or ends with."""

    match_type: NamespaceMatchType
    path: NamespacePath

    def holds(self, namespace: Namespace) -> bool:
        """Whether a namespace fulfils it."""
        length = len(self.path)
        if length > len(namespace):
            return False
        part = namespace[:length] if self.match_type == "prefix" else namespace[len(namespace) - length :]
        return all(wanted in ("*", label) for wanted, label in zip(self.path, part, strict=True))


class ListNamespacesOp(NamedTuple):
    """Asks which namespaces hold items, in the order of their labels."""

    match_conditions: tuple[MatchCondition, ...] | None = None
    """All of them have to be fulfilled."""
    max_depth: int | None = None
    """Longer namespaces are cut to this many labels; each is listed once."""
    limit: int = 100
    offset: int = 0


Op: TypeAlias = GetOp | SearchOp | PutOp | ListNamespacesOp
Result: TypeAlias = Item | list[Item] | list[SearchItem] | list[Namespace] | None


class TTLConfig(TypedDict, total=False):
    """How items expire."""

    default_ttl: float | None
    """Minutes until an item expires that is put without a `ttl` of its own; `None`: never."""
    refresh_on_read: bool
    """Whether reading starts the time to live anew, unless the call says otherwise; `True` by default."""
    omit_expired: bool
    """Whether expired items are gone at once, and not only when they are swept; `True` by default."""
    sweep_interval_minutes: float | None
    """How often expired items are removed; `None`: by `sweep_ttl` only. Stores have their own default."""
