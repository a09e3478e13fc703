"""Lines are those of str.splitlines."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.lines import lines

BREAKS = ["\n", "\r", "\r\n", "\n\r", "\v", "\f", "\x1c", "\x1d", "\x1e", "\x1f", "\x85", "\u2028", "\u2029", "\u2027"]
TEXT = st.lists(st.sampled_from(BREAKS) | st.text(max_size=4), max_size=10).map("".join)


def found(array: pa.Array) -> list[list[str]]:
    """The lines of each document, cut out by their spans."""
    result = lines(array)
    cut = []
    for i, text in enumerate(array.to_pylist()):
        raw = (text or "").encode()
        spans = slice(result.documents[i], result.documents[i + 1])
        cut.append([raw[a:b].decode() for a, b in zip(result.starts[spans], result.ends[spans], strict=True)])
    return cut


@settings(deadline=None)  # the first example compiles
@given(st.lists(TEXT, max_size=5), st.integers(0, 2))
def test_lines_are_those_of_splitlines_in_slices_too(rows: list[str], skip: int) -> None:
    for kind in (pa.string(), pa.large_string()):
        assert found(pa.array(rows, kind)[skip:]) == [text.splitlines() for text in rows[skip:]]


def test_every_break_ends_a_line() -> None:
    assert found(pa.array(["a" + "b".join(BREAKS)])) == [("a" + "b".join(BREAKS)).splitlines()]


def test_empty_and_null_documents_have_no_lines() -> None:
    assert found(pa.array(["", None, "x"])) == [[], [], ["x"]]
