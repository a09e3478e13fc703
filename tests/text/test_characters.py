"""What each character is, and how UTF-8 is read."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.arrow import buffers
from curation.text.characters import (
    BREAK,
    INVALID,
    SIZE,
    SPACE,
    UNICODE,
    before,
    classes,
    decode,
    from_python,
    is_digit,
    is_letter,
    is_mark,
    is_punctuation,
    lower,
)


def decoded(raw: bytes) -> list[int]:
    data, i, found = np.frombuffer(raw, np.uint8), 0, []
    while i < len(raw):
        codepoint, width = decode(data, i, len(raw))
        found.append(int(codepoint))
        i += width
    assert i == len(raw)
    return found


@pytest.mark.skipif(unicodedata.unidata_version != UNICODE, reason=f"this Python's Unicode is not {UNICODE}")
def test_shipped_tables_are_what_python_says() -> None:
    flags, small = from_python()
    assert (flags == classes()).all()
    assert (small == lower()).all()


def test_white_space_and_line_breaks_are_those_of_str() -> None:
    assert np.flatnonzero(classes() & SPACE).tolist() == [i for i in range(SIZE) if chr(i).isspace()]
    breaks = [i for i in range(SIZE) if len(f"a{chr(i)}b".splitlines()) == 2]
    assert np.flatnonzero(classes() & BREAK).tolist() == breaks


def test_tables_are_shared_and_cannot_be_written() -> None:
    assert classes() is classes()
    with pytest.raises(ValueError, match="read-only"):
        classes()[0] = 1


def test_class_tests_tell_characters_apart() -> None:
    table = classes()
    assert [bool(is_letter(table, ord(c))) for c in "aßЖ字1-"] == [True, True, True, True, False, False]
    assert [bool(is_digit(table, ord(c))) for c in "7٣²a"] == [True, True, False, False]
    assert [bool(is_mark(table, ord(c))) for c in "\u0301a"] == [True, False]
    assert [bool(is_punctuation(table, ord(c))) for c in ".«+$"] == [True, True, False, False]


@settings(deadline=None)  # the first example compiles
@given(st.text())
def test_text_is_read_as_python_reads_it(text: str) -> None:
    assert decoded(text.encode()) == [ord(character) for character in text]


@settings(deadline=None)  # the first example compiles
@given(st.text(min_size=1))
def test_the_last_character_starts_where_before_says(text: str) -> None:
    raw = text.encode()
    assert before(np.frombuffer(raw, np.uint8), 0, len(raw)) == len(text[:-1].encode())


@pytest.mark.parametrize(
    "raw",
    [b"\x80", b"\xc0\xaf", b"\xc3", b"\xe2\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xf0\x80\x80\x80", b"\xff"],
)
def test_bytes_that_are_no_utf8_are_replaced_one_by_one(raw: bytes) -> None:
    assert decoded(raw) == [INVALID] * len(raw)


@settings(deadline=None)  # the first example compiles
@given(st.binary())
def test_any_bytes_are_read_to_their_end(raw: bytes) -> None:
    decoded(raw)


def test_nothing_is_read_beyond_the_end() -> None:
    data = np.frombuffer("é".encode(), np.uint8)
    assert decode(data, 0, 1) == (INVALID, 1)


@settings(deadline=None)  # the first example compiles
@given(st.lists(st.none() | st.text(max_size=5)), st.integers(0, 4), st.booleans())
def test_buffers_of_any_string_array_hold_its_texts(rows: list[str | None], skip: int, large: bool) -> None:
    array = pa.array(rows, pa.large_string() if large else pa.string())[skip:]
    for held in (array, pa.chunked_array([array, array[1:]]), pa.chunked_array([], array.type)):
        offsets, data = buffers(held)
        assert offsets.dtype == np.int64
        assert not offsets.flags.writeable
        spans = pairwise(offsets)
        assert [data[a:b].tobytes().decode() for a, b in spans] == [row or "" for row in held.to_pylist()]


def test_bytes_that_a_null_owns_are_not_its_text() -> None:
    raw = [pa.py_buffer(b"\x02"), pa.py_buffer(np.array([0, 2, 4])), pa.py_buffer(b"abcd")]
    offsets, data = buffers(pa.Array.from_buffers(pa.large_string(), 2, raw))
    assert (offsets[1] - offsets[0], data[offsets[1] : offsets[2]].tobytes()) == (0, b"cd")


def test_only_strings_have_buffers() -> None:
    with pytest.raises(TypeError, match="not of int64"):
        buffers(pa.array([1]))
