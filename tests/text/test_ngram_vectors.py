"""Hashed n-grams of characters and words, against a loop that knows no hashes."""

from __future__ import annotations

import math
import re
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest

from curation.text import ngram_vectors
from curation.text.ngram_vectors import OF_WORDS, Grams, counted, named, products, shares
from curation.training.ngram import rows, vocabulary
from schemas.documents import TEXT

GRAMS = Grams()
TEXTS = [
    "",
    " \t\n",
    "a",
    "Hello, wörld! x--y a b a b",
    "  Ünïcode 中文 text\n\n1,2\u00a0end ",
    "x" * 20_000 + " y",
    "é" * 5 + "\t" + "ab cd " * 9_000,
    " ".join(f"w{n}" for n in range(9_000)),
    "antidisestablishmentarianism, twice: antidisestablishmentarianism",
]


def loop(text: str) -> list[tuple[str, str]]:
    """Family and name of each n-gram."""
    padded = [f" {word} " for word in text.split()]
    characters = [word[i : i + n] for word in padded for n in range(2, 6) for i in range(len(word) - n + 1)]
    tokens = [token.lower() for token in re.findall(r"\w+|[^\w\s]+", text)]
    pairs = [" ".join(tokens[i : i + 2]) for i in range(len(tokens) - 1)]
    return [*(("characters", name) for name in characters), *(("words", name) for name in [*tokens, *pairs])]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_the_ngrams_are_those_of_a_plain_loop_and_each_has_its_key(text: str) -> None:
    keys, names = named(text, GRAMS)
    ours = [("words" if key & OF_WORDS else "characters", name) for key, name in zip(keys, names, strict=True)]
    assert Counter(ours) == Counter(loop(text))
    assert len(set(ours)) - len(set(keys.tolist())) <= 2, "hardly any two n-grams share a hash of 31 bits"
    counts = counted(pa.array([text], TEXT), GRAMS)
    assert dict(zip(counts.keys.tolist(), counts.counts.tolist(), strict=True)) == Counter(keys.tolist())


@pytest.mark.parametrize("sublinear", [True, False])
def test_a_product_is_that_of_two_vectors_of_length_one_and_its_shares_add_up_to_it(sublinear: bool) -> None:
    text = pa.array(TEXTS, TEXT)
    counts = counted(text, GRAMS)
    words = vocabulary(counts)
    weight = np.random.default_rng(0).normal(size=len(words.keys)).astype(np.float32)
    model = ngram_vectors.model(words.keys, words.idf, weight)
    product = products(text, GRAMS, model, sublinear)
    numbers = dict(zip(words.keys.tolist(), zip(words.idf.tolist(), weight.tolist(), strict=True), strict=True))
    for row, item in enumerate(TEXTS):
        expected, keys = math.nan, named(item, GRAMS)[0]
        for family in (False, True):
            met = Counter(key for key in keys.tolist() if (key >= OF_WORDS) == family and key in numbers)
            values = {key: (1 + math.log(c) if sublinear else c) * numbers[key][0] for key, c in met.items()}
            if values:
                total = sum(value * numbers[key][1] for key, value in values.items())
                expected = np.nansum([expected, total / math.sqrt(sum(v * v for v in values.values()))])
        assert product[row] == pytest.approx(expected, rel=1e-9, abs=1e-12, nan_ok=True), item[:40]
        assert np.nansum(shares(keys, model, sublinear)) == pytest.approx(0 if math.isnan(expected) else expected)
    filled = np.where(np.isnan(product), 0, product)
    np.testing.assert_allclose(rows(counts, words, sublinear).times(weight.astype(float)), filled, atol=1e-9)
    assert np.isnan(product[:2]).all()


def test_a_product_does_not_depend_on_the_texts_around() -> None:
    """Words are remembered from text to text, until there is no room: that changes nothing, to the last bit."""
    random = np.random.default_rng(1)
    several = [" ".join(f"{chr(97 + n % 26)}{n}" for n in random.integers(30_000, size=4_000)) for _ in range(6)]
    text = pa.array([*TEXTS, *several, *TEXTS], TEXT)
    words = vocabulary(counted(text, GRAMS))
    model = ngram_vectors.model(words.keys, words.idf, random.normal(size=len(words.keys)).astype(np.float32))
    together = products(text, GRAMS, model, True)
    alone = np.concatenate([products(text.slice(row, 1), GRAMS, model, True) for row in range(len(text))])
    np.testing.assert_array_equal(together, alone)


def test_what_does_not_fit_together_is_refused() -> None:
    one = np.ones(2, np.float32)
    with pytest.raises(ValueError, match="each once"):
        ngram_vectors.model(np.array([3, 3], np.uint32), one, one)
    with pytest.raises(ValueError, match="do not fit"):
        ngram_vectors.model(np.array([3], np.uint32), one, one)
    for grams in (Grams(1, 5, 2), Grams(2, 9, 2), Grams(2, 5, 3), Grams(4, 3, 0)):
        with pytest.raises(ValueError, match="n-grams have"):
            ngram_vectors.check(grams)
