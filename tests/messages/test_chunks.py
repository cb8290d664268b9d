"""Pieces of a message, and what they make."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiograph.messages import AIMessage, AIMessageChunk, HumanMessage, UsageMetadata, join_chunks


def usage(input: int, output: int, **details: int) -> UsageMetadata:
    return {
        "input_tokens": input,
        "output_tokens": output,
        "total_tokens": input + output,
        "input_token_details": details,
    }


def test_text_is_joined() -> None:
    assert (AIMessageChunk("Hel") + AIMessageChunk("lo")).content == "Hello"


def test_the_first_id_and_name_are_kept() -> None:
    joined = AIMessageChunk("a") + AIMessageChunk("b", id="1", name="ada") + AIMessageChunk("c", id="2")
    assert (joined.id, joined.name) == ("1", "ada")


def test_text_and_parts_make_parts() -> None:
    part = {"type": "image_url", "image_url": {"url": "u"}}
    joined = AIMessageChunk("a") + AIMessageChunk("b") + AIMessageChunk([part]) + AIMessageChunk(["c", "d"])
    assert joined.content == ["ab", part, "cd"]


def test_parts_of_one_index_are_joined() -> None:
    joined = (
        AIMessageChunk([{"type": "thinking", "thinking": "Hm", "index": 0}])
        + AIMessageChunk([{"type": "text", "text": "So", "index": 1}])
        + AIMessageChunk([{"type": "thinking", "thinking": "m", "signature": "s", "index": 0}])
    )
    assert joined.content == [
        {"type": "thinking", "thinking": "Hmm", "signature": "s", "index": 0},
        {"type": "text", "text": "So", "index": 1},
    ]


def test_parts_without_an_index_stay_apart() -> None:
    part = {"type": "text", "text": "a"}
    assert (AIMessageChunk([part]) + AIMessageChunk([part])).content == [part, part]


def test_usage_is_added_up() -> None:
    joined = AIMessageChunk(usage_metadata=usage(3, 1, cache_read=2)) + AIMessageChunk()
    joined += AIMessageChunk(usage_metadata=usage(0, 4, cache_read=1, cache_creation=5))
    assert joined.usage_metadata == usage(3, 5, cache_read=3, cache_creation=5)


def test_of_the_response_metadata_the_last_value_counts_and_extras_are_joined() -> None:
    first = AIMessageChunk(response_metadata={"model": "m"}, additional_kwargs={"refusal": "I can"})
    last = AIMessageChunk(
        response_metadata={"model": "m", "stop": "end"}, additional_kwargs={"refusal": "not"}
    )
    joined = first + last
    assert joined.response_metadata == {"model": "m", "stop": "end"}
    assert joined.additional_kwargs == {"refusal": "I cannot"}


def test_the_pieces_stay_as_they_were() -> None:
    first, second = AIMessageChunk([{"type": "text", "text": "a", "index": 0}]), AIMessageChunk("b")
    before = repr((first, second))
    join_chunks([first, second, first])
    assert repr((first, second)) == before


def test_a_piece_alone_can_be_a_message() -> None:
    message = AIMessageChunk("a", id="1", usage_metadata=usage(1, 1)).message()
    assert message == AIMessage("a", id="1", usage_metadata=usage(1, 1))
    assert type(message) is AIMessage


def test_nothing_else_can_be_added() -> None:
    message: Any = HumanMessage("b")
    with pytest.raises(TypeError):
        AIMessageChunk("a") + message


PARTS = st.builds(
    lambda text, index: {"type": "text", "text": text, "index": index}, st.text("ab"), st.integers(0, 2)
)
CALL_CHUNKS = st.builds(
    lambda args, id, index: {"name": "f", "args": args, "id": id, "index": index, "type": "tool_call_chunk"},
    st.sampled_from([None, "{", "}"]),
    st.sampled_from([None, "1", "2"]),
    st.integers(0, 1),
)
CHUNKS: st.SearchStrategy[AIMessageChunk] = st.builds(
    AIMessageChunk,
    st.text("ab", max_size=2) | st.lists(st.text("ab", max_size=2) | PARTS, max_size=2),
    id=st.sampled_from([None, "1", "2"]),
    additional_kwargs=st.dictionaries(st.sampled_from("xy"), st.text("ab", max_size=2), max_size=2),
    response_metadata=st.dictionaries(st.sampled_from("xy"), st.integers(), max_size=2),
    usage_metadata=st.none() | st.builds(usage, st.integers(0, 5), st.integers(0, 5)),
    tool_call_chunks=st.lists(CALL_CHUNKS, max_size=2),
)


@given(CHUNKS, CHUNKS, CHUNKS)
def test_it_makes_no_difference_which_pieces_are_joined_first(
    a: AIMessageChunk, b: AIMessageChunk, c: AIMessageChunk
) -> None:
    assert (a + b) + c == a + (b + c) == join_chunks([a, b, c])
