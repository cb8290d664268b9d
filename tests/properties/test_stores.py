"""A store in memory does what a plain dict would do, over random batches and with time passing."""

from collections.abc import Sequence
from typing import Any, NamedTuple
from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from aiograph import _ids
from aiograph.store.base import GetOp, Item, ListNamespacesOp, MatchCondition, Op, PutOp, SearchOp
from aiograph.store.memory import InMemoryStore
from aiograph.testing.stores import Clock

NAMESPACES = st.sampled_from([("a",), ("a", "b"), ("a", "b", "c"), ("ab",), ("b", "a")])
PREFIXES = st.sampled_from([(), ("a",), ("a", "b"), ("b",), ("c",)])
KEYS = st.sampled_from("xyz")
OPS = st.one_of(
    st.builds(GetOp, NAMESPACES, KEYS, st.booleans()),
    st.builds(
        PutOp,
        NAMESPACES,
        KEYS,
        st.none() | st.fixed_dictionaries({"n": st.integers(0, 3)}),
        index=st.none(),
        ttl=st.sampled_from([None, 1.0, 2.5]),
    ),
    st.builds(
        SearchOp,
        PREFIXES,
        st.none() | st.fixed_dictionaries({"n": st.fixed_dictionaries({"$lt": st.integers(0, 3)})}),
        limit=st.integers(0, 3),
        offset=st.integers(0, 2),
        query=st.none(),
        refresh_ttl=st.booleans(),
    ),
    st.builds(
        ListNamespacesOp,
        st.just(()) | st.tuples(st.builds(MatchCondition, st.sampled_from(["prefix", "suffix"]), PREFIXES)),
        st.none() | st.integers(1, 2),
        limit=st.integers(0, 4),
        offset=st.integers(0, 1),
    ),
)
BATCHES = st.lists(st.tuples(st.sampled_from([0.5, 1.0]), st.lists(OPS, max_size=5)), max_size=8)


class Kept(NamedTuple):
    n: int
    put_at: int
    ttl: float | None
    expires_at: float


class Model:
    """The same in the plainest way: one dict, looked through from end to end."""

    def __init__(self) -> None:
        self.now = 0.0
        self.puts = 0
        self.kept: dict[tuple[tuple[str, ...], str], Kept] = {}

    def batch(self, ops: Sequence[Op]) -> list[Any]:
        there = {place: kept for place, kept in self.kept.items() if kept.expires_at > self.now}
        read = set[Any]()
        answers = [self.answer(op, there, read) for op in ops]
        for place in read:
            if (kept := there[place]).ttl is not None:
                there[place] = kept._replace(expires_at=self.now + kept.ttl)
        self.puts += 1
        for op in ops:
            if isinstance(op, PutOp):
                there.pop((op.namespace, op.key), None)
                if op.value is not None:
                    end = float("inf") if op.ttl is None else self.now + op.ttl
                    there[op.namespace, op.key] = Kept(op.value["n"], self.puts, op.ttl, end)
        self.kept = there
        return answers

    def answer(self, op: Op, there: dict[Any, Kept], read: set[Any]) -> Any:
        if isinstance(op, PutOp):
            return None
        if isinstance(op, GetOp):
            place = op.namespace, op.key
            read |= {place} & there.keys() if op.refresh_ttl else set()
            return there[place].n if place in there else None
        if isinstance(op, ListNamespacesOp):
            names = [name for name, _ in there if all(each.holds(name) for each in op.match_conditions or ())]
            return sorted({name[: op.max_depth] for name in names})[op.offset :][: op.limit]
        prefix = op.namespace_prefix
        below = [each for each in there if each[0][: len(prefix)] == prefix]
        bound = op.filter["n"]["$lt"] if op.filter else 99
        found = [each for each in below if there[each].n < bound]
        found.sort(key=lambda each: (-there[each].put_at, each))
        page = found[op.offset :][: op.limit]
        read |= set(page) if op.refresh_ttl else set()
        return [(*each, there[each].n) for each in page]


def told(result: Any) -> Any:
    """A store's result as the model would tell it."""
    if isinstance(result, Item):
        return result.value["n"]
    if isinstance(result, list) and result and isinstance(result[0], Item):
        return [(each.namespace, each.key, each.value["n"]) for each in result]
    return result


@settings(max_examples=300, deadline=None)
@given(BATCHES)
def test_random_batches_do_what_a_dict_would_do(batches: list[tuple[float, list[Op]]]) -> None:
    clock, model, store = Clock(), Model(), InMemoryStore()
    with patch.object(_ids, "wall_ns", clock):
        for minutes, ops in batches:
            clock.advance(minutes)
            model.now += minutes
            assert [told(each) for each in store.batch(ops)] == model.batch(ops)
