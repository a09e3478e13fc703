"""Spans that edit text: applied, and composed."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.edits import apply_edits, compose
from schemas.documents import EDITS

Span = tuple[int, int, str]


def edits(*rows: list[Span] | None, field: str = "text") -> pa.ListArray:
    """Edits of one field, a list of (start, end, replacement) for each document."""
    return pa.array(
        [
            None if row is None else [{"field": field, "start": a, "end": b, "replacement": r} for a, b, r in row]
            for row in rows
        ],
        EDITS,
    )


def texts(*rows: str | None) -> pa.LargeStringArray:
    return pa.array(rows, pa.large_string())


@st.composite
def spans_of(draw: st.DrawFn, text: str) -> list[Span]:
    """Ascending, disjoint byte spans of a text, cut between characters."""
    places = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    found = []
    for a, b in zip(places[::2], places[1::2], strict=False):
        found.append((len(text[:a].encode()), len(text[:b].encode()), draw(st.text(max_size=4))))
    return found


def test_bytes_of_a_span_become_the_replacement() -> None:
    result = apply_edits(texts("naïve text", "same"), edits([(2, 4, "i"), (6, 11, "")], []))
    assert result.to_pylist() == ["naive", "same"]


def test_a_span_without_bytes_inserts() -> None:
    assert apply_edits(texts("ac"), edits([(0, 0, "<"), (1, 1, "b"), (2, 2, ">")])).to_pylist() == ["<abc>"]


def test_nulls_are_empty_texts_and_no_edits() -> None:
    assert apply_edits(texts(None, "a"), edits([], None)).to_pylist() == ["", "a"]


def test_no_documents_give_no_documents() -> None:
    assert apply_edits(texts(), edits()).to_pylist() == []
    assert compose(edits(), edits()).to_pylist() == []


def test_edits_of_another_field_are_passed_over() -> None:
    assert apply_edits(texts("abc"), edits([(0, 3, "x")], field="input")).to_pylist() == ["abc"]
    assert apply_edits(texts("abc"), edits([(0, 3, "x")], field="input"), "input").to_pylist() == ["x"]


@pytest.mark.parametrize(
    "bad", [[(0, 9, "")], [(2, 1, "")], [(0, 2, ""), (1, 3, "")], [(2, 3, ""), (0, 1, "")], [(1, 2, "")]]
)
def test_edits_that_cannot_be_done_are_refused_by_row(bad: list[Span]) -> None:
    with pytest.raises(ValueError, match="row 1"):
        apply_edits(texts("fine", "été"), edits([], bad))


def test_as_many_edits_as_texts_are_needed() -> None:
    with pytest.raises(ValueError, match="2 texts"):
        apply_edits(texts("a", "b"), edits([]))
    with pytest.raises(ValueError, match="1 rows"):
        compose(edits([]), edits([], []))


@settings(deadline=None)  # the first example compiles
@given(st.data())
def test_edits_do_what_slicing_the_bytes_does(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.text(max_size=20), max_size=4))
    plan = [data.draw(spans_of(text)) for text in rows]
    expected = []
    for text, spans in zip(rows, plan, strict=True):
        raw = text.encode()
        for start, end, replacement in reversed(spans):
            raw = raw[:start] + replacement.encode() + raw[end:]
        expected.append(raw.decode())
    # a slice of longer arrays: offsets that do not start at 0
    source, changes = texts("é-", *rows, "z")[1:-1], edits([(0, 2, "e")], *plan, [])[1:-1]
    assert apply_edits(source, changes).to_pylist() == expected


@settings(deadline=None)  # the first example compiles
@given(st.data())
def test_composed_edits_do_what_one_after_the_other_does(data: st.DataObject) -> None:
    rows = data.draw(st.lists(st.text(max_size=20), max_size=4))
    source = texts(*rows)
    first = edits(*(data.draw(spans_of(text)) for text in rows))
    middle = apply_edits(source, first)
    second = edits(*(data.draw(spans_of(text)) for text in middle.to_pylist()))
    composed = compose(first, second)
    assert composed.type == EDITS
    assert apply_edits(source, composed).to_pylist() == apply_edits(middle, second).to_pylist()


def test_each_field_is_composed_by_itself() -> None:
    first = pa.array([[{"field": "text", "start": 0, "end": 1, "replacement": ""}]], EDITS)
    second = pa.array([[{"field": "input", "start": 0, "end": 1, "replacement": "x"}]], EDITS)
    composed = compose(first, second)
    assert apply_edits(texts("abc"), composed, "text").to_pylist() == ["bc"]
    assert apply_edits(texts("abc"), composed, "input").to_pylist() == ["xbc"]


def test_what_both_steps_kept_stays_out_of_every_span() -> None:
    composed = compose(edits([(2, 4, "XY")]), edits([(0, 1, ""), (6, 7, "!")]))
    assert [(e["start"], e["end"], e["replacement"]) for e in composed.to_pylist()[0]] == [
        (0, 1, ""),
        (2, 4, "XY"),
        (6, 7, "!"),
    ]
