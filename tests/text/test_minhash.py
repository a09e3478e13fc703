"""Signatures equal datasketch's value for value, estimate Jaccard as theory says, and ignore the neighbours."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import xxhash
from datasketch import MinHash
from hypothesis import given, settings
from hypothesis import strategies as st
from real_text import pages

from curation.text.minhash import bands, signatures, signatures_of_hashes, similarity
from curation.text.shingles import shingle_hashes

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=60), max_size=8)


def manual(rows: int) -> pa.Array:
    return pa.array(pages(rows), pa.large_string())


def prose(documents: int = 30) -> pa.Array:
    words = ["small", "models", "read", "each", "Document", "once,", "naïve", "中文", "and", "never", "again."]
    generator = np.random.default_rng(5)
    return pa.array([" ".join(generator.choice(words, 5 + 7 * i)) for i in range(documents)], pa.large_string())


def datasketch_signature(hashes: np.ndarray, permutations: int, seed: int) -> np.ndarray:
    sketch = MinHash(num_perm=permutations, seed=seed, hashfunc=int, scheme="affine32")
    sketch.update_batch(hashes.tolist())
    return sketch.hashvalues


@pytest.mark.parametrize(("permutations", "seed"), [(112, 1), (256, 42), (1, 0), (7, 2**32 - 1)])
def test_signatures_equal_datasketch_on_real_text(permutations: int, seed: int) -> None:
    text = manual(25)
    offsets, hashes = shingle_hashes(text, 5)
    ours, counts = signatures(text, permutations=permutations, seed=seed)
    assert ours.dtype == np.uint32
    assert counts.dtype == np.int32
    assert counts.tolist() == np.diff(offsets).tolist()
    assert (ours == signatures_of_hashes(offsets, hashes, permutations, seed)).all()
    for i in range(len(text)):
        theirs = datasketch_signature(hashes[offsets[i] : offsets[i + 1]], permutations, seed)
        assert theirs.dtype == np.uint32
        assert (ours[i] == theirs).all()


@given(st.lists(st.lists(st.integers(0, 2**32 - 1), max_size=12), min_size=1, max_size=5), st.integers(1, 40))
@settings(deadline=None)
def test_signatures_of_any_hashes_equal_datasketch(sets: list[list[int]], permutations: int) -> None:
    offsets = np.cumsum([0, *map(len, sets)])
    hashes = np.array([h for s in sets for h in s], np.uint32)
    ours = signatures_of_hashes(offsets, hashes, permutations, 3)
    for signature, members in zip(ours, sets, strict=True):
        assert (signature == datasketch_signature(np.array(members, np.uint32), permutations, 3)).all()


def test_datasketch_still_is_what_we_claim_to_equal() -> None:
    # Golden value of datasketch's own tests: the bytes Hello, 4 permutations, seed 1. It belongs to the scheme from
    # before 2.0; affine32 gives other values, so nobody should expect signatures to equal these.
    sketch = MinHash(num_perm=4, seed=1, scheme="legacy")
    sketch.update(b"Hello")
    assert sketch.hashvalues.tolist() == [734825475, 960773806, 359816889, 342714745]
    sha1 = np.array([sketch.hashfunc(b"Hello")], np.uint32)
    sketch = MinHash(num_perm=4, seed=1)
    sketch.update(b"Hello")
    assert (signatures_of_hashes(np.array([0, 1]), sha1, 4, 1)[0] == sketch.hashvalues).all()


def test_estimates_are_within_three_standard_errors_of_true_jaccard() -> None:
    long = [page.split() for page in pages() if len(page.split()) > 200][:50]
    cut = [" ".join(words[: len(words) * tenths // 10]) for words in long for tenths in (10, 8, 6, 4)]
    text = pa.array(cut, pa.large_string())
    offsets, hashes = shingle_hashes(text, 5)
    sets = [set(hashes[a:b].tolist()) for a, b in pairwise(offsets)]
    a, b = np.arange(len(text) - 1), np.arange(1, len(text))
    true = np.array([len(sets[i] & sets[j]) / len(sets[i] | sets[j]) for i, j in zip(a, b, strict=True)])
    assert ((true > 0.2) & (true < 0.95)).sum() > 50, "the sample has to hold pairs that are neither equal nor foreign"
    signature, _ = signatures(text)
    error = similarity(signature[a], signature[b]) - true
    deviation = np.sqrt(true * (1 - true) / 112)
    # Three standard errors hold for 99.7 % of the pairs; those of one chain share texts, so allow 98 %.
    assert (np.abs(error) <= 3 * deviation + 1e-9).mean() >= 0.98
    assert abs(error.mean()) < 0.01
    # At 2,000 permutations the error shrinks with the square root of their number.
    many, _ = signatures(text, permutations=2000)
    assert np.abs(similarity(many[a], many[b]) - true).mean() < 0.4 * np.abs(error).mean()


def test_bands_are_the_hash_of_their_rows_with_the_band_as_seed() -> None:
    signature, _ = signatures(prose())
    got = bands(signature)
    assert got.shape == (len(signature), 14)
    assert got.dtype == np.uint64
    for i, j in [(0, 0), (3, 5), (29, 13)]:
        assert int(got[i, j]) == xxhash.xxh64_intdigest(signature[i, 8 * j : 8 * j + 8].astype("<u4").tobytes(), j)
    assert (bands(signature[5:9]) == got[5:9]).all()
    assert (bands(np.asfortranarray(signature)) == got).all()
    with pytest.raises(ValueError, match="do not fit"):
        bands(signature, bands=15, rows=8)


def test_similarity_is_the_share_of_equal_positions() -> None:
    a = np.arange(20, dtype=np.uint32).reshape(2, 10)
    b = a.copy()
    b[0, :3] += 100
    assert similarity(a, b).tolist() == [0.7, 1.0]
    assert similarity(a[:, ::2], b[:, ::2]).tolist() == [0.6, 1.0]
    with pytest.raises(ValueError, match="shape"):
        similarity(a, b[:1])


def test_short_texts_have_no_shingles_and_a_signature_that_says_so() -> None:
    signature, counts = signatures(pa.array(["", "four words are few", "but five words are enough"], pa.large_string()))
    assert counts.tolist() == [0, 0, 1]
    assert (signature[:2] == 2**32 - 1).all()
    assert not (signature[2] == 2**32 - 1).any()


def test_rows_depend_on_their_own_text_alone() -> None:
    text = prose()
    signature, counts = signatures(text)
    order = np.random.default_rng(0).permutation(len(text))
    permuted, permuted_counts = signatures(text.take(pa.array(order)))
    assert (permuted == signature[order]).all()
    assert (permuted_counts == counts[order]).all()
    assert (signatures(text[4:17])[0] == signature[4:17]).all()
    assert (signatures(pa.chunked_array([text[:9], text[9:9], text[9:]]))[0] == signature).all()
    assert (signatures(text.cast(pa.string()))[0] == signature).all()


@given(TEXTS)
@settings(deadline=None)
def test_any_text_has_a_signature_equal_to_that_of_its_shingles(texts: list[str]) -> None:
    array = pa.array(texts, pa.large_string())
    signature, counts = signatures(array, ngram=2, permutations=16)
    offsets, hashes = shingle_hashes(array, 2)
    assert (signature == signatures_of_hashes(offsets, hashes, 16)).all()
    assert (counts == np.diff(offsets)).all()


def test_wrong_arguments_are_refused() -> None:
    text = prose(2)
    for arguments in ({"ngram": 0}, {"permutations": 0}, {"seed": -1}):
        with pytest.raises(ValueError, match=r"."):
            signatures(text, **arguments)
