"""Sets of word n-grams, what one text has of another, and what is lost, against the rules in plain Python."""

from __future__ import annotations

import re

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates import grams
from curation.duplicates.grams import FEW, contained, containments, grams_of, jaccards, losses, sequences
from schemas.documents import TEXT

WORD = st.sampled_from(["a", "b", "C", "ä", "日", "long-winded", "0"])
TEXTS = st.lists(st.lists(WORD, max_size=12).map(" ".join), min_size=1, max_size=8)


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-zäA-Z0-9]+|日", text.lower())


def plain(text: str, n: int) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[i : i + n]) for i in range(max(1, len(words) - n + 1))} if words else set()


def made(texts: list[str], n: int = 3) -> grams.Grams:
    return grams_of(pa.array(texts, TEXT), n)


@given(TEXTS, st.integers(1, 5))
@settings(deadline=None)
def test_grams_are_the_distinct_n_grams(texts: list[str], n: int) -> None:
    found = made(texts, n)
    assert np.diff(found.offsets).tolist() == [len(plain(text, n)) for text in texts]
    assert found.distinct.tolist() == [len(set(words_of(text))) for text in texts]
    assert np.diff(found.word_offsets).tolist() == [len(words_of(text)) for text in texts]
    a, b = (pairs.ravel() for pairs in np.indices((len(texts), len(texts))))
    held = containments(found.offsets, found.grams, a, b)
    alike = jaccards(found.offsets, found.grams, a, b)
    for i, j, share, jaccard in zip(a, b, held, alike, strict=True):
        one, other = plain(texts[i], n), plain(texts[j], n)
        assert share == (len(one & other) / len(one) if one else 1.0)
        assert jaccard == (len(one & other) / len(one | other) if one | other else 1.0)


@pytest.mark.long
@given(TEXTS, st.data())
@settings(deadline=None)
def test_losses_are_what_no_text_of_the_cluster_that_stays_has(texts: list[str], data: st.DataObject) -> None:
    label = np.array([data.draw(st.integers(0, 2)) for _ in texts])
    dropped = np.array([data.draw(st.booleans()) for _ in texts])
    found = made(texts)
    for limit in (1, 4, grams.SLICE):  # however many are looked up at once
        order = np.argsort(label, kind="stable")
        got = grams._losses(found.offsets, found.grams, label, dropped, order, limit)
        for i, text in enumerate(texts):
            own = plain(text, 3)
            there: set[tuple[str, ...]] = set()
            for j, other in enumerate(texts):
                if label[j] == label[i] and not dropped[j]:
                    there |= plain(other, 3)
            expected = (len(own - there) / len(own) if own else 0.0) if dropped[i] else np.nan
            np.testing.assert_equal(got[i], expected)
    np.testing.assert_array_equal(got, losses(found.offsets, found.grams, label, dropped))


def alike(one: str, other: str, n: int = 5) -> float:
    found = made([one, other])
    pair = np.array([0]), np.array([1])
    return float(sequences(found.distinct, found.word_offsets, found.words, *pair, n, FEW)[0])


def bases(seed: int, count: int, letters: str = "acgt") -> list[str]:
    return np.random.default_rng(seed).choice(list(letters), count).tolist()


@pytest.mark.parametrize("letters", ["01", "acgt", "0123456789", "abcdefghijklmnopqrst"])
@pytest.mark.parametrize("count", [300, 5000])
def test_few_words_in_another_order_are_another_text(letters: str, count: int) -> None:
    one, other = bases(1, count, letters), bases(2, count, letters)
    assert alike(" ".join(one), " ".join(other)) < 0.2
    assert alike(" ".join(one), " ".join(one)) == 1.0
    assert alike(" ".join(one), " ".join([*one, *one[:3]])) > 0.9


def test_saturated_sets_say_that_strangers_are_one() -> None:
    """What the sequence is asked for: the sets of n-grams of two such texts are the same."""
    found = made([" ".join(bases(seed, 20_000)) for seed in (1, 2)], 5)
    assert jaccards(found.offsets, found.grams, np.array([0]), np.array([1]))[0] > 0.99


def test_how_often_a_word_is_repeated_counts() -> None:
    assert alike("ha " * 100, "ha " * 5000) < 0.05
    assert alike("ha " * 100, "HA " * 101) > 0.9


def test_texts_of_many_words_are_no_sequences() -> None:
    many = " ".join(f"word{i}" for i in range(FEW + 1))
    assert np.isnan(alike(many, many))
    assert alike("", "") == 1.0


def test_a_text_without_words_is_in_any() -> None:
    found = made(["...", "a b c"])
    assert contained(found.offsets, found.grams, 0, 1) == 1.0
