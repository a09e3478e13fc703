"""MinHash signatures of documents, their bands, and what two signatures say about two documents.

Broder 1997, "On the resemblance and containment of documents": the chance that a random permutation of all shingles has
the same minimum over two sets is their Jaccard similarity, so the share of equal minima estimates it, with standard
error sqrt(J * (1 - J) / permutations). Signatures are value for value those of `datasketch.MinHash(permutations, seed,
scheme="affine32")` from datasketch 2.0 given the same 32-bit shingle hashes.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.compiling import njit
from curation.text.hashing import xxh64
from curation.text.shingles import check_width, new_window, next_shingles, spans, word_table

_BLOCK = 512
"""Shingles that are hashed before they are permuted: few enough to stay in the L1 cache, a multiple of _UNROLL."""
_UNROLL = 4


def signatures(
    text: pa.Array | pa.ChunkedArray, ngram: int = 5, permutations: int = 112, seed: int = 1
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """MinHash signature of each document over its word n-grams (`curation.text.shingles`).

    `text` strings, n of them; `ngram` >= 1 words; `permutations` >= 1; `seed` 0..2^32 - 1. Returns `signature`
    uint32[n, permutations] and `shingles` int32[n], how many n-grams each text has, repeats included. Where `shingles`
    is 0 the text has fewer than `ngram` words and a signature of 2^32 - 1 throughout, which says nothing: leave such
    rows out, or they all seem to be alike. Raises ValueError for arguments out of range, TypeError for anything but
    strings. Releases the GIL.
    """
    a, b = parameters(permutations, seed)
    offsets, data = spans(text)
    return _signatures(offsets, data, word_table(), check_width(ngram), a, b)  # type: ignore[no-any-return]


def signatures_of_hashes(
    offsets: NDArray[np.int64], hashes: NDArray[np.uint32], permutations: int = 112, seed: int = 1
) -> NDArray[np.uint32]:
    """MinHash signature of sets of 32-bit hashes that are already there.

    Set i is `hashes[offsets[i]:offsets[i + 1]]`: `offsets` int64[n + 1], `hashes` uint32, as from `shingle_hashes`.
    Returns uint32[n, permutations]. Raises ValueError for arguments out of range.
    """
    a, b = parameters(permutations, seed)
    return _signatures_of_hashes(  # type: ignore[no-any-return]
        np.ascontiguousarray(offsets, np.int64), np.ascontiguousarray(hashes, np.uint32), a, b
    )


def bands(signatures: NDArray[np.uint32], bands: int = 14, rows: int = 8) -> NDArray[np.uint64]:
    """Bucket of each document in each band: documents that agree in all `rows` values of a band share its bucket.

    `signatures` uint32[n, permutations] with bands * rows <= permutations. Returns uint64[n, bands], the XXH64 of the
    rows' little-endian bytes with the band's number as seed, so equal values in different bands are different
    buckets. Two documents of similarity s share some bucket with probability 1 - (1 - s^rows)^bands; datatrove's
    14 bands of 8 give 0.77 at s = 0.75 and 0.92 at 0.80. Raises ValueError where the signature is too short.
    """
    n, permutations = signatures.shape
    if bands < 1 or rows < 1 or bands * rows > permutations:
        raise ValueError(f"{bands} bands of {rows} rows do not fit into {permutations} permutations")
    data = np.ascontiguousarray(signatures, dtype="<u4").view(np.uint8).reshape(n, 4 * permutations)
    return _bands(data, bands, 4 * rows)  # type: ignore[no-any-return]


def similarity(a: NDArray[np.uint32], b: NDArray[np.uint32]) -> NDArray[np.float64]:
    """Estimated Jaccard similarity, row by row: the share of positions at which two signatures are equal.

    `a`, `b` uint32[n, permutations]. Returns float64[n] in 0..1. Raises ValueError for shapes that differ.
    """
    if a.shape != b.shape or a.ndim != 2:
        raise ValueError(f"signatures need one two-dimensional shape, got {a.shape} and {b.shape}")
    return _similarity(  # type: ignore[no-any-return]
        np.ascontiguousarray(a, np.uint32), np.ascontiguousarray(b, np.uint32)
    )


@cache
def parameters(permutations: int, seed: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Multipliers (odd) and addends of the permutations h -> a * h + b mod 2^32: uint32[permutations] each.

    Drawn as datasketch 2.0 draws them for affine32: legacy NumPy random state, all a, then all b. Raises ValueError for
    fewer than one permutation or a seed outside 0..2^32 - 1.
    """
    if permutations < 1:
        raise ValueError(f"a signature has at least one permutation, not {permutations}")
    generator = np.random.RandomState(seed)
    a = generator.randint(0, 1 << 31, permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    b = generator.randint(0, 1 << 32, permutations, dtype=np.uint32)
    a.flags.writeable = False
    b.flags.writeable = False
    return a, b


@njit(cache=True, nogil=True)
def _signatures(offsets, data, table, ngram, a, b):  # type: ignore[no-untyped-def]
    documents = offsets.size - 1
    signature = np.full((documents, a.size), np.uint32(0xFFFFFFFF), np.uint32)
    shingles = np.zeros(documents, np.int32)
    window = new_window(ngram)
    block = np.empty(_BLOCK, np.uint32)
    for i in range(documents):
        window[:] = 0
        cursor = offsets[i]
        end = offsets[i + 1]
        while cursor < end:
            cursor, count = next_shingles(data, cursor, end, table, window, block)
            _lower_minima(signature[i], a, b, block, count)
            shingles[i] += count
    return signature, shingles


@njit(cache=True, nogil=True)
def _signatures_of_hashes(offsets, hashes, a, b):  # type: ignore[no-untyped-def]
    documents = offsets.size - 1
    signature = np.full((documents, a.size), np.uint32(0xFFFFFFFF), np.uint32)
    block = np.empty(_BLOCK, np.uint32)
    for i in range(documents):
        cursor = offsets[i]
        while cursor < offsets[i + 1]:
            count = min(_BLOCK, offsets[i + 1] - cursor)
            block[:count] = hashes[cursor : cursor + count]
            _lower_minima(signature[i], a, b, block, count)
            cursor += count
    return signature


@njit(cache=True, nogil=True)
def _lower_minima(minima, a, b, block, count):  # type: ignore[no-untyped-def]
    # Overwrites `block`. Four hashes a pass over the permutations spare three of four loads and stores of the minima;
    # LLVM turns the inner loop into vector multiply, add and minimum.
    if count == 0:
        return
    for j in range(count):
        block[j] = _mix32(block[j])
    while count % _UNROLL:
        block[count] = block[0]  # a repeat changes no minimum
        count += 1
    for j in range(0, count, _UNROLL):
        h0, h1, h2, h3 = block[j], block[j + 1], block[j + 2], block[j + 3]
        for k in range(minima.size):
            p0 = np.uint32(a[k] * h0 + b[k])
            p1 = np.uint32(a[k] * h1 + b[k])
            p2 = np.uint32(a[k] * h2 + b[k])
            p3 = np.uint32(a[k] * h3 + b[k])
            minima[k] = min(minima[k], min(min(p0, p1), min(p2, p3)))


@njit(cache=True, nogil=True)
def _mix32(value):  # type: ignore[no-untyped-def]
    # The MurmurHash3 finalizer, with which affine32 begins: an affine map alone keeps the order of structured hashes.
    h = np.uint32(value)
    h = np.uint32((h ^ (h >> np.uint32(16))) * np.uint32(0x85EBCA6B))
    h = np.uint32((h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35))
    return np.uint32(h ^ (h >> np.uint32(16)))


@njit(cache=True, nogil=True)
def _bands(data, bands, width):  # type: ignore[no-untyped-def]
    buckets = np.empty((data.shape[0], bands), np.uint64)
    for i in range(data.shape[0]):
        for band in range(bands):
            buckets[i, band] = xxh64(data[i], band * width, (band + 1) * width, np.uint64(band))
    return buckets


@njit(cache=True, nogil=True)
def _similarity(a, b):  # type: ignore[no-untyped-def]
    shares = np.empty(a.shape[0], np.float64)
    for i in range(a.shape[0]):
        equal = np.int32(0)
        for k in range(a.shape[1]):
            equal += np.int32(a[i, k] == b[i, k])
        shares[i] = equal / a.shape[1]
    return shares
