"""Ids on their way to a database and back: whatever is stored comes back as it was written."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint._relational._ids import as_bytes, as_uuid, text_of, told

CANONICAL = "1f0c2a4e-9d3b-6f00-8001-0a1b2c3d4e5f"
OTHERS = {
    "upper case": CANONICAL.upper(),
    "without dashes": UUID(CANONICAL).hex,
    "in braces": f"{{{CANONICAL}}}",
    "as a URN": f"urn:uuid:{CANONICAL}",
    "with a line end": f"{CANONICAL}\n",
    "cut off": CANONICAL[:-1],
    "no UUID at all": "customer-7",
    "empty": "",
}


def test_a_uuid_as_str_writes_it_travels_as_16_bytes() -> None:
    assert as_bytes(CANONICAL) == UUID(CANONICAL).bytes
    assert as_uuid(CANONICAL) == UUID(CANONICAL)


@pytest.mark.parametrize("name", OTHERS.values(), ids=OTHERS)
def test_what_str_would_write_otherwise_travels_as_text(name: str) -> None:
    assert as_bytes(name) == name
    assert as_uuid(name) == name


@given(st.text() | st.uuids().map(str) | st.uuids().map(lambda uuid: uuid.hex.upper()))
def test_an_id_comes_back_as_it_was_written(name: str) -> None:
    assert text_of(as_bytes(name)) == name
    assert str(as_uuid(name)) == name


def test_no_id_stays_none() -> None:
    assert text_of(None) is None


def test_a_statement_is_told_where_its_ids_are() -> None:
    sql = "SELECT id(?1), ?2, id(?13) FROM void WHERE valid(?1)"
    assert told(sql, "text({})") == "SELECT text(?1), ?2, text(?13) FROM void WHERE valid(?1)"
