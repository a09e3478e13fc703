"""Digests are those of the plain Python rule, and equal exactly for texts that the rule makes equal."""

from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.text.normalize import DIGEST, SETTLED, normalized, normalized_digest

# Unassigned characters are left out: whether they compose differs between this Python's Unicode and Arrow's.
TEXT = st.text(
    st.one_of(
        st.sampled_from("aB \t\n\u00a0\u3000e\u0301é\u212b\u2126ȺİΣ한ᄒ\u1161ᆫ\u09c7\u09be😀𐐀\u200b…’中Жא"),
        st.characters(codec="utf-8", exclude_categories=("Cs", "Cn")),
    ),
    max_size=60,
)


def digest(text: str) -> bytes:
    data = normalized(text).encode()
    return b"".join(xxhash.xxh64_intdigest(data, seed).to_bytes(8, "little") for seed in (0, 1))


@given(st.lists(TEXT, max_size=8))
@settings(deadline=None, max_examples=300)
def test_digests_equal_the_plain_python_rule(texts: list[str]) -> None:
    got = normalized_digest(pa.array(texts, pa.large_string()))
    assert got.type == DIGEST
    assert got.to_pylist() == [digest(t) for t in texts]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Hello\n\n WORLD\t", "hello world"),
        ("e\u0301tude", "étude"),
        ("\u212bngstrom", "ångstrom"),
        ("a\u00a0b\u3000c", "a b c"),
        ("Straße", "straße"),
        ("ﬁne", "ﬁne"),
        ("zero\u200bwidth", "zero\u200bwidth"),
        ("No. 1!", "no. 1!"),
        (" \n", ""),
        ("Ⱥ" * 9, "ⱥ" * 9),
    ],
)
def test_what_is_levelled_and_what_is_not(text: str, expected: str) -> None:
    assert normalized(text) == expected
    assert normalized_digest(pa.array([text], pa.large_string())).to_pylist() == [digest(text)]


def test_settled_characters_never_compose() -> None:
    # Seconds of a composition, by Unicode's own data: what composes with the character before it.
    decomposed = (unicodedata.decomposition(chr(c)) for c in range(0x110000))
    seconds = {int(d.split()[1], 16) for d in decomposed if d and d[0] != "<" and " " in d}
    seconds |= {*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)}
    for first, last in SETTLED:
        for c in range(first, last + 1):
            assert unicodedata.normalize("NFC", chr(c)) == chr(c)
            assert unicodedata.combining(chr(c)) == 0
            assert unicodedata.category(chr(c)) != "Cn"
            assert c not in seconds


def test_slices_chunks_nulls_and_order_change_nothing() -> None:
    texts = [f"Row {i} e\u0301 {'x' * i}" if i % 3 else f"Plain ASCII {i}" for i in range(30)]
    array = pa.array(texts, pa.large_string())
    whole = normalized_digest(array)
    assert normalized_digest(array[5:21]).equals(whole[5:21])
    assert normalized_digest(pa.chunked_array([array[:7], array[7:7], array[7:]])).equals(whole)
    assert normalized_digest(array.cast(pa.string())).equals(whole)
    assert normalized_digest(array.take(pa.array(range(29, -1, -1)))).to_pylist() == whole.to_pylist()[::-1]
    with_null = normalized_digest(pa.array(["é", None, "a"], pa.large_string()))
    assert with_null.null_count == 0
    assert with_null.to_pylist()[1] == digest("")
    assert len(normalized_digest(pa.array([], pa.large_string()))) == 0
    with pytest.raises(TypeError):
        normalized_digest(pa.array([1]))


def test_texts_that_differ_after_normalising_have_other_digests() -> None:
    texts = [f"{unicodedata.name(chr(c), '')} {c}" for c in range(0x20, 0x2000)]
    assert len(set(normalized_digest(pa.array(texts, pa.large_string())).to_pylist())) == len(texts)
