"""Filters in databases: PostgreSQL and SQLite answer as `Filter.matches` does, whatever is asked."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, cast

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.conninfo import make_conninfo

from aiograph.checkpoint._filter_sql import conditions
from aiograph.checkpoint.base import BaseCheckpointSaver, CheckpointMetadata, config_for
from aiograph.checkpoint.memory import InMemorySaver
from aiograph.checkpoint.postgres import AsyncPostgresSaver
from aiograph.checkpoint.serde._filter import Filter
from aiograph.checkpoint.serde._metadata import dump_metadata, load_metadata
from aiograph.checkpoint.sqlite import AsyncSqliteSaver
from aiograph.errors import CheckpointQueryError
from aiograph.testing.savers import make_checkpoint
from aiograph.types import RunnableConfig

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# -- the databases answer alike --------------------------------------------------------------------

EDGES = [0.0, -0.0, 0.1, 1e16, 1e22, 1e300, 5e-324, 2**53 + 1, 2.0**53, 2**63, 2.0**63, -(2**63), 2**64 - 1]

keys = st.sampled_from(["a", "b", "0", "in", "gt", "metadata.a", "created_after", "a.b", "$.a", ""])
plain_keys = st.sampled_from(["a", "b", "0", "a.b", "$.a", ""])
numbers = st.sampled_from(EDGES) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4)
scalars = st.none() | st.booleans() | numbers | texts | st.sampled_from(["Z", "a", "é", "1", "%", "\\u0000"])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=6,
)
metadatas = st.dictionaries(keys, values, max_size=4)
moments = st.integers(-4, 4).map(lambda late: EPOCH + timedelta(microseconds=late))


class Row(NamedTuple):
    metadata: dict[str, Any]
    created_at: int


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Row], list[Filter]]:
    """Rows, and filters about the values in them and about others."""
    rows = draw(st.lists(st.builds(Row, metadatas, st.integers(-3, 3)), min_size=1, max_size=12))
    there = [value for row in rows for value in _parts(row.metadata)]
    filters = st.builds(
        Filter.parse,
        st.fixed_dictionaries(
            {
                f"metadata.{key}": _wanted(st.sampled_from(there) | values)
                for key in draw(st.sets(keys, max_size=2))
            },
            optional={"created_after": moments, "created_before": moments},
        ),
    )
    return rows, draw(st.lists(filters, min_size=1, max_size=12))


def _parts(value: Any) -> list[Any]:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [value, *(part for each in inner for part in _parts(each))]


def _wanted(some: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """What a filter may hold under a key."""
    ordered = (some | numbers | texts).filter(_has_order)
    comparison = st.one_of(
        *(st.fixed_dictionaries({operator: ordered}) for operator in ("gt", "gte", "lt", "lte")),
        st.fixed_dictionaries({"ne": some}),
        st.fixed_dictionaries({"in": st.lists(some, max_size=3)}),
    )
    equal = some.filter(lambda value: not isinstance(value, dict))
    return st.recursive(
        equal | comparison | st.just({}),
        lambda inner: st.dictionaries(plain_keys, inner, min_size=1, max_size=2),
        max_leaves=3,
    )


def _has_order(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


class Postgres:
    """A table of rows, and the statement that asks for the numbers of those that fit a filter."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection
        connection.execute(
            "CREATE TEMPORARY TABLE checkpoints (number int, metadata jsonb, created_at bigint)"
        )

    def answers(self, rows: Sequence[Row], filters: Sequence[Filter]) -> list[list[int]]:
        self._connection.execute("TRUNCATE checkpoints")
        with self._connection.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO checkpoints VALUES (%s, %s, %s)",
                [(n, dump_metadata(row.metadata).decode(), row.created_at) for n, row in enumerate(rows)],
            )
        return [self.fitting(filter) for filter in filters]

    def fitting(self, filter: Filter) -> list[int]:
        parts = conditions(filter)
        where = " AND ".join(["true", *(text for text, _ in parts)])
        assert "%" not in where
        sql = f"SELECT number FROM checkpoints WHERE {where} ORDER BY number".replace("?", "%s")
        parameters = [value for _, values in parts for value in values]
        return [number for (number,) in self._connection.execute(sql.encode(), parameters)]


@pytest.fixture
def server(postgres_database: str) -> Iterator[Postgres]:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        yield Postgres(connection)


def expected(rows: Sequence[Row], filters: Sequence[Filter]) -> list[list[int]]:
    stored = [(load_metadata(dump_metadata(row.metadata)), row.created_at) for row in rows]
    return [[n for n, row in enumerate(stored) if filter.matches(*row)] for filter in filters]


KINDS: list[Any] = [
    *(None, True, False, 0, 1, 1.0, 2, -1, *EDGES),
    *("", "1", "true", "null", "a", "B", "b", "é", "e\u0301", "Ω", "\uffff", "\U00010000", "\\u0000"),
    *([], [1], [1, 2], [2, 1], [True], [[1]], [{"a": 1}], ["a"]),
    *({}, {"a": 1}, {"a": 1.0}, {"a": True}, {"a": [1]}, {"b": {"a": 1}}, {"0": 1}),
]
"""Values of every kind, and near misses of each other."""

ORDERED: list[Any] = [value for value in KINDS if _has_order(value)]

WANTED: list[Any] = [
    *KINDS,
    *({operator: value} for operator in ("gt", "gte", "lt", "lte") for value in ORDERED),
    *({"ne": value} for value in KINDS),
    *({"in": [value, "b"]} for value in KINDS),
    {"in": []},
]


def test_postgresql_answers_as_matches_does_for_every_operator_and_kind(server: Postgres) -> None:
    metadatas = [{}, *({"a": value} for value in KINDS), *({"a": {"b": value}} for value in KINDS)]
    rows = [Row(metadata, 0) for metadata in metadatas]
    filters = [Filter.parse({"a": each}) for each in [*WANTED, *({"b": each} for each in WANTED)]]
    assert server.answers(rows, filters) == expected(rows, filters)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(questions())
def test_postgresql_answers_as_matches_does(server: Postgres, question: Any) -> None:
    assert server.answers(*question) == expected(*question)


def matches_json(metadata: str, created_at: int, filter: str) -> bool:
    return Filter.load(filter).matches(load_metadata(metadata), created_at)


def sqlite_answers(rows: Sequence[Row], filters: Sequence[Filter]) -> list[list[int]]:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.create_function("fits", 3, matches_json)
        connection.execute("CREATE TABLE checkpoints (number, metadata, created_at)")
        stored = [(n, dump_metadata(row.metadata).decode(), row.created_at) for n, row in enumerate(rows)]
        connection.executemany("INSERT INTO checkpoints VALUES (?, ?, ?)", stored)
        sql = "SELECT number FROM checkpoints WHERE fits(metadata, created_at, ?) ORDER BY number"
        return [[n for (n,) in connection.execute(sql, [filter.dump()])] for filter in filters]


@given(questions())
def test_sqlite_answers_as_matches_does(question: tuple[list[Row], list[Filter]]) -> None:
    assert sqlite_answers(*question) == expected(*question)


@given(questions())
def test_a_filter_survives_its_text(question: tuple[list[Row], list[Filter]]) -> None:
    for filter in question[1]:
        assert Filter.load(filter.dump()) == filter


# -- hostile keys and values are data --------------------------------------------------------------

HOSTILE = [
    *("'", "''", '"', '""', "`", "\\", "\\'", ";", "--", "/*", "*/", "#", "\n", "\r\n", "\t", "\x1a", "\x7f"),
    *("' OR '1'='1", "' OR 1=1 --", '" OR ""="', "') OR ('1'='1", "1; DROP TABLE checkpoints", "1) OR (1=1"),
    *("'; DROP TABLE checkpoints; --", "' UNION SELECT 1 --", "'||pg_sleep(9)||'", "$$; SELECT 1; $$"),
    *("$1", "%s", "%(a)s", "%", "%%", "?", "??", ":a", "@a", "{}", "{0}", "{found}", "{share}", "${a}"),
    *(
        "$",
        "$.a",
        "$.*",
        "$[0]",
        "$.**",
        "$.a'",
        '$."a"',
        "a.b",
        "a[0]",
        "a->b",
        "a->>b",
        "{a,b}",
        "[0]",
        "0",
        "-1",
    ),
    *("_", "a%", "%a%", ".*", "^a$", "(a+)+$", "[", "(", "\\d", "*", "|", "a|b", "~", "!", "@>"),
    *("$gt", "$ne", "$where", "$in", "__proto__", "__class__", "null", "true", "NaN", "1e999", "\\u0000"),
    *("thread_id", "metadata", "checkpoints", "created_at", "metadata.a", "metadata.", "created_after", "ne"),
    *("\ufeff", "\u202e", "é", "e\u0301", "İ", "ß", "\uffff", "\U0001f600", " ", "", "a" * 10_000),
]

TEXTS = ["innocent", *HOSTILE]

POSITIONS: dict[str, Callable[[str], dict[str, Any]]] = {
    "key": lambda text: {f"metadata.{text}": 1},
    "nested key": lambda text: {"a": {"b": {f".{text}": 1}}},
    "key and value": lambda text: {f"metadata.{text}": text},
    "value": lambda text: {"a": text},
    "nested value": lambda text: {"a": {"b": text}},
    "in a list": lambda text: {"a": [text, {f".{text}": text}]},
    "among": lambda text: {"a": {"in": ["x", text]}},
    "different": lambda text: {"a": {"ne": text}},
    "more": lambda text: {"a": {"gt": text}},
    "less or equal": lambda text: {"a": {"lte": text}},
}


@pytest.mark.parametrize("position", POSITIONS)
def test_hostile_text_is_data(server: Postgres, position: str) -> None:
    make = POSITIONS[position]
    rows = [Row(_metadata_like(make(text)), 0) for text in TEXTS]
    filters = [Filter.parse(make(text)) for text in HOSTILE]
    wanted = expected(rows, filters)
    assert server.answers(rows, filters) == wanted
    assert sqlite_answers(rows, filters) == wanted
    if not position.startswith(("different", "more", "less")):
        assert wanted == [[n] for n in range(1, len(rows))], "one row has this text, and no other"


@pytest.fixture(params=["memory", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
async def saver(request: pytest.FixtureRequest) -> AsyncIterator[BaseCheckpointSaver]:
    match request.param:
        case "memory":
            yield InMemorySaver()
        case "sqlite":
            async with AsyncSqliteSaver.from_conn_string(":memory:") as opened:
                yield opened
        case _:
            # compiling each of the many statements would take longer than executing it
            address = make_conninfo(request.getfixturevalue("postgres_database"), options="-c jit=off")
            async with AsyncPostgresSaver.from_conn_string(address) as connected:
                await connected.asetup()
                yield connected


@pytest.mark.parametrize("position", POSITIONS)
async def test_no_saver_takes_hostile_text_for_more_than_data(
    saver: BaseCheckpointSaver, position: str
) -> None:
    make = POSITIONS[position]
    rows = [Row({**_metadata_like(make(text)), "number": number}, 0) for number, text in enumerate(TEXTS)]
    for text, row in zip(TEXTS, rows, strict=True):
        metadata = cast(CheckpointMetadata, row.metadata)
        await saver.aput(config_for("thread", text), make_checkpoint({}), metadata, {})
    anywhere: RunnableConfig = {"configurable": {"thread_id": "thread"}}
    for text in HOSTILE:
        listed = saver.alist(anywhere, filter=make(text), limit=3)
        numbers = [cast(dict[str, Any], each.metadata)["number"] async for each in listed]
        [wanted] = expected(rows, [Filter.parse(make(text))])
        assert numbers == wanted[:-4:-1], "the newest three"


async def test_no_saver_takes_hostile_names_for_more_than_names(saver: BaseCheckpointSaver) -> None:
    places = [*((text, "") for text in HOSTILE), *(("thread", text) for text in HOSTILE)]
    stored = [
        await saver.aput(config_for(*place), make_checkpoint({}), {"source": "input"}, {}) for place in places
    ]
    for place, config in zip(places, stored, strict=True):
        assert [each.config async for each in saver.alist(config_for(*place))] == [config]
    for text in HOSTILE:
        await saver.adelete_thread(text)
    left = [each.config["configurable"]["thread_id"] async for each in saver.alist(None)]
    assert left == ["thread"] * len(HOSTILE)


def test_hostile_texts_are_tried_often_enough() -> None:
    assert len(set(HOSTILE)) * len(POSITIONS) >= 773


@pytest.mark.parametrize("position", POSITIONS)
def test_no_key_and_no_value_gets_into_the_statement(position: str) -> None:
    statements = {
        tuple(text for text, _ in conditions(Filter.parse(POSITIONS[position](text)))) for text in HOSTILE
    }
    assert len(statements) == 1


@pytest.mark.parametrize("name", ["created_after", "created_before"])
def test_hostile_text_is_no_time(name: str) -> None:
    for text in HOSTILE:
        with pytest.raises(CheckpointQueryError, match="is not ISO 8601 text"):
            Filter.parse({name: text})


def test_a_hostile_operator_is_refused() -> None:
    for text in set(HOSTILE) - {"ne"}:
        with pytest.raises(CheckpointQueryError, match="unknown operator"):
            Filter.parse({"a": {"lt": 1, text: 2}})


def test_text_is_not_compared_by_the_rules_of_a_language() -> None:
    for operator in ("gt", "gte", "lt", "lte"):
        [(text, _)] = conditions(Filter.parse({"a": {operator: "x"}}))
        assert 'COLLATE "C"' in text


def _metadata_like(filter: dict[str, Any]) -> dict[str, Any]:
    """Metadata that holds what a filter asks for."""
    return {name.removeprefix("metadata."): _value_like(wanted) for name, wanted in filter.items()}


def _value_like(wanted: Any) -> Any:
    match wanted:
        case {"in": [_, value]} | {"ne": value} | {"gt": value} | {"lte": value}:
            return value
        case dict():
            return {key: _value_like(value) for key, value in wanted.items()}
        case _:
            return wanted
