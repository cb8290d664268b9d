"""The serializer that encrypts: what it wrote opens, and nothing else does."""

import dataclasses
import subprocess
import sys
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.checkpoint.serde._seal import content_serde, seal_of
from aiograph.checkpoint.serde.base import SerializerProtocol
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
from aiograph.errors import CheckpointDeserializationError, CheckpointSerializationError

OLD, NEW = b"o" * 16, b"n" * 32
SECRET = "the secret of the house " * 200


@dataclasses.dataclass
class Note:
    text: str


@pytest.fixture
def serializer() -> EncryptedSerializer:
    return EncryptedSerializer(JsonPlusSerializer(allow=[Note]), keys={"2025": OLD, "2026": NEW})


@pytest.mark.parametrize("value", [None, 1, b"", "x", SECRET, {"a": [Note("b")]}], ids=lambda v: f"{v!r:.20}")
def test_values_come_back_and_cannot_be_read_in_between(serializer: EncryptedSerializer, value: Any) -> None:
    tag, data = serializer.dumps_typed(value)
    assert tag.endswith("+aes")
    assert b"secret" not in data
    assert serializer.loads_typed((tag, data)) == value


def test_what_is_long_is_compressed_before(serializer: EncryptedSerializer) -> None:
    tag, data = serializer.dumps_typed(SECRET)
    assert tag == "msgpack+zlib+aes"
    assert len(data) < len(SECRET) / 10


def test_a_value_is_never_encrypted_twice_the_same(serializer: EncryptedSerializer) -> None:
    assert serializer.dumps_typed(1) != serializer.dumps_typed(1)


def test_it_is_a_serializer_that_has_a_seal_and_content(serializer: EncryptedSerializer) -> None:
    assert isinstance(serializer, SerializerProtocol)
    assert seal_of(serializer) is serializer.seal
    assert isinstance(content_serde(serializer), JsonPlusSerializer)


# -- forgeries -------------------------------------------------------------------------------------


def refused(serializer: EncryptedSerializer, tag: str, data: bytes, bound: bytes = b"place") -> str:
    with pytest.raises(CheckpointDeserializationError) as caught:
        serializer.seal.open(tag, data, bound)
    return str(caught.value)


def test_plain_rows_are_refused(serializer: EncryptedSerializer) -> None:
    for tag, data in (JsonPlusSerializer().dumps_typed(1), ("msgpack+zlib", b"x"), ("", b""), ("aes", b"")):
        assert "is not encrypted" in refused(serializer, tag, data)
        with pytest.raises(CheckpointDeserializationError, match="is not encrypted"):
            serializer.loads_typed((tag, data))


def test_plain_bytes_under_an_encrypted_tag_are_refused(serializer: EncryptedSerializer) -> None:
    for data in (b"", b"\x01", b"\x00" * 28, b"\xff" * 300, b"\x042025" + b"\x00" * 28):
        refused(serializer, "msgpack+aes", data)


def test_another_tag_is_refused(serializer: EncryptedSerializer) -> None:
    tag, data = serializer.seal.close("msgpack", b"\x01", b"place")
    assert tag == "msgpack+aes"
    for other in (
        "bytes+aes",
        "msgpack-rich+aes",
        "msgpack+zlib+aes",
        "msgpack+aes+aes",
        "\ud800+aes",
        "+aes",
    ):
        assert "does not open" in refused(serializer, other, data)


def test_another_place_is_refused(serializer: EncryptedSerializer) -> None:
    tag, data = serializer.seal.close("msgpack", b"\x01", b"place")
    assert serializer.seal.open(tag, data, b"place") == ("msgpack", b"\x01")
    for other in (b"", b"plac", b"place ", b"Place"):
        assert "does not open" in refused(serializer, tag, data, other)


def test_every_flipped_bit_is_noticed(serializer: EncryptedSerializer) -> None:
    tag, data = serializer.seal.close("msgpack", b"\x93\x01\x02\x03", b"place")
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        refused(serializer, tag, bytes(flipped))


def test_every_row_that_is_cut_is_refused(serializer: EncryptedSerializer) -> None:
    tag, data = serializer.seal.close("msgpack", b"\x93\x01\x02\x03", b"place")
    for end in range(len(data)):
        refused(serializer, tag, data[:end])
    refused(serializer, tag, data + b"\x00")


@given(st.text(), st.binary(), st.binary())
def test_made_up_rows_are_refused(tag: str, data: bytes, bound: bytes) -> None:
    serializer = EncryptedSerializer(keys={"": OLD})
    refused(serializer, tag, data, bound)
    refused(serializer, tag + "+aes", b"\x00" + data, bound)


def test_forgeries_are_refused_where_assertions_are_off() -> None:
    program = """
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.checkpoint.serde.jsonplus import JsonPlusSerializer
serializer = EncryptedSerializer(keys={"a": bytes(32)})
tag, data = serializer.dumps_typed([1, 2])
forged = [
    JsonPlusSerializer().dumps_typed([1, 2]),
    ("bytes+aes", data),
    (tag, data[:-1] + bytes([data[-1] ^ 1])),
    serializer.seal.close("msgpack", b"\\x01", b"elsewhere"),
]
refused = 0
for blob in forged:
    try:
        serializer.loads_typed(blob)
    except Exception as error:
        refused += type(error).__name__ == "CheckpointDeserializationError"
print(__debug__, refused)
"""
    command = [sys.executable, "-O", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "4"]


# -- keys ------------------------------------------------------------------------------------------


def test_old_rows_open_after_a_new_key_came() -> None:
    before = EncryptedSerializer(keys={"a": OLD})
    after = EncryptedSerializer(keys={"a": OLD, "b": NEW})
    assert after.loads_typed(before.dumps_typed("x")) == "x"
    with pytest.raises(CheckpointDeserializationError, match="needs the key 'b', which was not given"):
        before.loads_typed(after.dumps_typed("x"))


def test_the_current_key_can_be_chosen() -> None:
    chosen = EncryptedSerializer(keys={"a": OLD, "b": NEW}, current="a")
    assert EncryptedSerializer(keys={"a": OLD}).loads_typed(chosen.dumps_typed(1)) == 1


def test_a_key_with_the_right_id_may_still_be_the_wrong_one() -> None:
    blob = EncryptedSerializer(keys={"a": OLD}).dumps_typed(1)
    with pytest.raises(CheckpointDeserializationError, match="does not open"):
        EncryptedSerializer(keys={"a": NEW}).loads_typed(blob)


def test_addresses_outlive_a_new_key_and_tell_nothing_without_the_first() -> None:
    def address(**options: Any) -> bytes:
        return EncryptedSerializer(**options).seal.address("msgpack", b"data", b"")

    first = address(keys={"a": OLD})
    assert len(first) == 16
    assert first == address(keys={"a": OLD, "b": NEW})
    assert first != address(keys={"b": NEW})
    assert first == address(keys={"b": NEW}, address_key=OLD)
    assert first != seal_of(JsonPlusSerializer()).address("msgpack", b"data", b"")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keys": {}}, "there has to be a key"),
        ({"keys": {"a": b"short"}}, "the key 'a' has to be 16, 24 or 32 bytes"),
        ({"keys": {"a": "x" * 16}}, "the key 'a' has to be 16, 24 or 32 bytes"),
        ({"keys": {"a" * 256: OLD}}, "255 bytes at most"),
        ({"keys": {"a": OLD}, "current": "b"}, "the current key 'b' is not among the keys"),
        ({"keys": {"a": OLD}, "address_key": b"short"}, "at least 16 bytes"),
    ],
)
def test_keys_that_cannot_work_are_refused(options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncryptedSerializer(**options)


def test_a_key_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIOGRAPH_AES_KEY", raising=False)
    monkeypatch.delenv("LANGGRAPH_AES_KEY", raising=False)
    with pytest.raises(ValueError, match="set AIOGRAPH_AES_KEY"):
        EncryptedSerializer.from_pycryptodome_aes()
    given_key = EncryptedSerializer.from_pycryptodome_aes(key=OLD)
    blob = given_key.dumps_typed("x")
    monkeypatch.setenv("LANGGRAPH_AES_KEY", OLD.decode())
    assert EncryptedSerializer.from_pycryptodome_aes().loads_typed(blob) == "x"
    monkeypatch.setenv("AIOGRAPH_AES_KEY", NEW.decode())
    with pytest.raises(CheckpointDeserializationError, match="does not open"):
        EncryptedSerializer.from_pycryptodome_aes().loads_typed(blob)


def test_a_missing_package_is_named_with_its_extra() -> None:
    program = """
import sys
sys.modules["cryptography"] = None
from aiograph.checkpoint.serde.encrypted import EncryptedSerializer
from aiograph.errors import MissingExtraError
try:
    EncryptedSerializer(keys={"a": bytes(32)})
except MissingExtraError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'aiograph[crypto]'" in done.stdout


# -- what it passes on -----------------------------------------------------------------------------


class Odd:
    pass


def test_classes_and_functions_reach_the_serializer_inside() -> None:
    serializer = EncryptedSerializer(keys={"a": OLD})
    with pytest.raises(CheckpointSerializationError, match=r"cannot store \[0\]"):
        serializer.dumps_typed([Note("x")])
    serializer.allow([Note])
    assert serializer.loads_typed(serializer.dumps_typed([Note("x")])) == [Note("x")]
    serializer.register(Odd, name="odd", encode=lambda odd: None, decode=lambda nothing: Odd())
    assert type(serializer.loads_typed(serializer.dumps_typed(Odd()))) is Odd


class Everything:
    """A serializer of someone else, without lists of what is allowed."""

    def dumps_typed(self, obj: Any) -> tuple[str, bytes]:
        return "repr", repr(obj).encode()

    def loads_typed(self, data: tuple[str, bytes]) -> Any:
        return data[1].decode()


def test_a_serializer_of_someone_else_may_be_inside() -> None:
    serializer = EncryptedSerializer(Everything(), keys={"a": OLD})
    serializer.allow([Note])
    assert serializer.loads_typed(serializer.dumps_typed(1)) == "1"
    with pytest.raises(TypeError, match="Everything does not register functions"):
        serializer.register(Odd, name="odd", encode=repr, decode=lambda text: Odd())


def test_it_may_be_used_from_many_threads_at_once(serializer: EncryptedSerializer) -> None:
    wrong = []

    def use(number: int) -> None:
        for step in range(300):
            value = [number, step, "x" * step]
            if serializer.loads_typed(serializer.dumps_typed(value)) != value:
                wrong.append(value)

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
