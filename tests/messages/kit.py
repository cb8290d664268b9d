"""Messages for hypothesis, and LangChain's names for what is compared."""

from typing import Any

from hypothesis import strategies as st

from aiograph.messages import ToolCall

TEXTS = st.text(max_size=8)
NAMES = st.sampled_from(["ada", "bob"])
IDS = st.sampled_from(["1", "2", "3", "4"])

JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXTS, inner, max_size=2),
    max_leaves=4,
)

TEXT_PARTS = st.builds(lambda text: {"type": "text", "text": text}, TEXTS)
IMAGES = st.builds(
    lambda url: {"type": "image_url", "image_url": {"url": url}},
    st.sampled_from(["https://example.org/a.png", "data:image/png;base64,AAAA"]),
)


def calls(ids: st.SearchStrategy[str] = IDS) -> st.SearchStrategy[ToolCall]:
    return st.builds(
        lambda name, args, id: ToolCall(name=name, args=args, id=id, type="tool_call"),
        NAMES,
        st.dictionaries(TEXTS, JSON, max_size=2),
        ids,
    )


CALLS = st.lists(calls(), max_size=2, unique_by=lambda call: call["id"])
