"""Buckets of a text's hashed n-grams, as DSIR has them (Xie et al. 2023, arXiv 2302.03169).

An n-gram is n neighbouring tokens of `curation.text.wordpunct` in lower case with one space between them; its bucket is
SHA-256 of its UTF-8 bytes, as a number modulo the count of buckets (data_selection/hashed_ngram_dsir.py in
github.com/p-lambda/dsir).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.analysis import analyse
from curation.text.characters import lower
from curation.text.compiling import njit
from curation.text.hashing import xxh64
from curation.text.sha256 import remainder, scratch
from curation.text.wordpunct import room, wordpunct, write_tokens

_SLOTS, _LONGEST = 1 << 15, 24
"""Size of the memory of n-grams already hashed, and how many bytes long those are: most are both frequent and short."""


class Buckets(NamedTuple):
    """Buckets of n texts, repeats included: those of text `i` have the numbers `documents[i]` to `documents[i + 1]`.

    They are its tokens' buckets in order, then those of its bigrams, and so on.
    """

    documents: NDArray[np.int64]
    """Shape (n + 1,), ascending from 0."""
    buckets: NDArray[np.int32]
    tokens: NDArray[np.int64]
    """Shape (n,): tokens of each text."""


def hashed_ngrams(text: pa.LargeStringArray, ngram: int, buckets: int) -> Buckets:
    """Buckets (0 to `buckets` - 1) of all n-grams of 1 to `ngram` tokens. Memory: 4 bytes for each of them."""
    analysis = analyse(text)
    tokens_found = analysis.find(wordpunct)
    tokens = np.diff(tokens_found.documents)
    counts = sum((np.maximum(tokens - n, 0) for n in range(1, ngram)), tokens.copy())
    documents = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return Buckets(
        documents, _hash(analysis.offsets, analysis.data, tokens_found, documents, lower(), ngram, buckets), tokens
    )


@njit(nogil=True, cache=True)
def sums(documents, buckets, values):  # type: ignore[no-untyped-def]
    """Sum of `values[bucket]` over the buckets of each text, float64, in their order."""
    out = np.zeros(len(documents) - 1, np.float64)
    for i in range(len(out)):
        total = 0.0
        for k in range(documents[i], documents[i + 1]):
            total += values[buckets[k]]
        out[i] = total
    return out


@njit(nogil=True, cache=True)
def _hash(offsets, data, words, documents, lower, ngram, divisor):  # type: ignore[no-untyped-def]
    buckets = np.empty(documents[-1], np.int32)
    size, most = room(words.documents, words.starts, words.ends)
    written = np.empty(size, np.uint8)
    bounds = np.empty(most, np.int64)
    work = scratch()
    names = np.zeros((_SLOTS, _LONGEST), np.uint8)
    lengths = np.zeros(_SLOTS, np.uint8)
    remembered = np.zeros(_SLOTS, np.int32)
    count = 0
    for i in range(len(documents) - 1):
        first, last = words.documents[i], words.documents[i + 1]
        write_tokens(data, offsets[i], words.starts[first:last], words.ends[first:last], lower, written, bounds)
        for n in range(1, ngram + 1):
            for token in range(last - first - n + 1):
                start, end = bounds[token], bounds[token + n] - 1
                length = end - start
                if length > _LONGEST:
                    buckets[count] = remainder(written, start, end, divisor, work)
                else:
                    slot = np.int64(xxh64(written, start, end, np.uint64(0)) & np.uint64(_SLOTS - 1))
                    same = lengths[slot] == length
                    k = 0
                    while same and k < length:
                        same = names[slot, k] == written[start + k]
                        k += 1
                    if not same:
                        for j in range(length):
                            names[slot, j] = written[start + j]
                        lengths[slot] = length
                        remembered[slot] = remainder(written, start, end, divisor, work)
                    buckets[count] = remembered[slot]
                count += 1
    return buckets
