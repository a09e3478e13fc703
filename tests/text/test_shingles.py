"""Which words a text has, how they are hashed, and that a document's shingles depend on nothing but its text."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.characters import lower
from curation.text.shingles import SOLITARY, shingle_hashes

ASSIGNED = st.characters(codec="utf-8", exclude_categories=("Cs", "Cn"))
PROSE = st.text(st.one_of(st.sampled_from("abcXYZ019 .-_\n\tÄßéİΣσ中文かなไทยาก่\u0301各한글"), ASSIGNED), max_size=80)
MASK = 2**64 - 1


def words(text: str) -> list[str]:
    """The rule of `curation.text.shingles` in plain Python."""
    found: list[str] = []
    current, alone = "", False
    for c in text:
        kind = unicodedata.category(c)[0]
        small = chr(lower()[ord(c)])
        solitary = kind in "LN" and any(a <= ord(c) <= b for a, b in SOLITARY)
        if current and (kind not in "LNM" or solitary or (alone and kind != "M")):
            found.append(current)
            current = ""
        if kind in "LNM":
            alone = solitary if not current else alone
            current += small
    return [*found, current] if current else found


def mix(h: int) -> int:
    h = (h ^ h >> 30) * 0xBF58476D1CE4E5B9 & MASK
    h = (h ^ h >> 27) * 0x94D049BB133111EB & MASK
    return h ^ h >> 31


def shingles(text: str, n: int) -> list[int]:
    """The hashes of `curation.text.shingles` in plain Python."""
    hashed = []
    for word in words(text):
        data = word.encode()
        h = 0
        for i in range(0, len(data), 8):
            h = mix(h ^ int.from_bytes(data[i : i + 8].ljust(8, b"\0"), "little"))
        hashed.append(h)
    base = 0x9E3779B97F4A7C15
    return [
        mix(sum(h * pow(base, n - 1 - k, 2**64) for k, h in enumerate(hashed[i : i + n])) & MASK) >> 32
        for i in range(len(hashed) - n + 1)
    ]


def of(texts: list[str], n: int) -> list[list[int]]:
    offsets, hashes = shingle_hashes(pa.array(texts, pa.large_string()), n)
    assert offsets.dtype == np.int64
    assert hashes.dtype == np.uint32
    assert offsets[0] == 0
    assert offsets[-1] == hashes.size
    return [hashes[a:b].tolist() for a, b in pairwise(offsets)]


@given(st.lists(PROSE, max_size=6), st.integers(1, 6))
@settings(deadline=None, max_examples=200)
def test_hashes_equal_the_plain_python_rule(texts: list[str], n: int) -> None:
    assert of(texts, n) == [shingles(t, n) for t in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't stop: 3.14!", ["don", "t", "stop", "3", "14"]),
        ("snake_case ÄRGER", ["snake", "case", "ärger"]),
        ("cafe\u0301 x", ["cafe\u0301", "x"]),
        ("中文 text", ["中", "文", "text"]),
        ("abc中def", ["abc", "中", "def"]),
        ("ก่า", ["ก่", "า"]),
        ("한국어 문장", ["한국어", "문장"]),
        ("internationalization8", ["internationalization8"]),
        ("…—", []),
    ],
)
def test_words_are_what_the_docstring_says(text: str, expected: list[str]) -> None:
    assert words(text) == expected
    assert of([text], 1) == [shingles(" ".join(expected), 1)]


def test_case_spacing_and_punctuation_do_not_matter_but_order_does() -> None:
    a, b, c = of(["The quick, brown FOX!", "  the quick\nbrown fox", "the brown quick fox"], 3)
    assert a == b
    assert a != c


def test_a_text_with_fewer_words_than_n_has_no_shingles() -> None:
    assert [len(x) for x in of(["", "one two three four", "one two three four five"], 5)] == [0, 0, 1]


def test_a_long_document_keeps_its_shingles_across_internal_blocks() -> None:
    text = " ".join(str(i) for i in range(5000))
    assert of([text], 5)[0] == shingles(text, 5)


def test_slices_chunks_and_string_types_change_nothing() -> None:
    texts = [f"document {i} says: naïve 中文 words {i * i} and more of them" for i in range(40)]
    whole = of(texts, 3)
    array = pa.array(texts, pa.large_string())
    offsets, hashes = shingle_hashes(array[7:29], 3)
    assert [hashes[a:b].tolist() for a, b in pairwise(offsets)] == whole[7:29]
    for other in (pa.chunked_array([array[:3], array[3:3], array[3:]]), pa.array(texts, pa.string())):
        o, h = shingle_hashes(other, 3)
        assert [h[a:b].tolist() for a, b in pairwise(o)] == whole
    assert of(texts[::-1], 3) == whole[::-1]


def test_no_documents_and_wrong_arguments() -> None:
    assert of([], 5) == []
    with pytest.raises(ValueError, match="at least one word"):
        shingle_hashes(pa.array(["a"], pa.large_string()), 0)
    with pytest.raises(TypeError):
        shingle_hashes(pa.array([1]), 5)
