"""64-bit hashes of byte spans in compiled code: XXH64 and a mixing step. Equal on every machine, in every process."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit, njit_inline

Bytes = NDArray[np.uint8]

_P1 = np.uint64(0x9E3779B185EBCA87)
_P2 = np.uint64(0xC2B2AE3D27D4EB4F)
_P3 = np.uint64(0x165667B19E3779F9)
_P4 = np.uint64(0x85EBCA77C2B2AE63)
_P5 = np.uint64(0x27D4EB2F165667C5)
_MIX1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX2 = np.uint64(0x94D049BB133111EB)


@njit(cache=True, nogil=True)
def hash_spans(data: Bytes, starts: NDArray[np.int64], ends: NDArray[np.int64], seed: int) -> NDArray[np.uint64]:
    """XXH64 of many byte spans.

    `data` uint8[m]; `starts`, `ends` int64[n], byte positions with 0 <= start <= end <= m (not checked); `seed`
    uint64. Returns uint64[n]. For the rows of an Arrow array: `hash_spans(data, offsets[:-1], offsets[1:], seed)`.
    """
    hashes = np.empty(starts.size, np.uint64)
    for i in range(starts.size):
        hashes[i] = xxh64(data, starts[i], ends[i], seed)
    return hashes


@njit_inline
def xxh64(data: Bytes, start: int, end: int, seed: int) -> np.uint64:
    """XXH64 of `data[start:end]`, the value that `xxhash.xxh64_intdigest(bytes, seed)` gives.

    `data` uint8[m], `start` and `end` byte positions (not checked), `seed` uint64. Returns uint64.
    Source: the xxHash specification, https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md.
    """
    salt = np.uint64(seed)
    cursor = start
    if end - start >= 32:
        v1 = salt + _P1 + _P2
        v2 = salt + _P2
        v3 = salt
        v4 = salt - _P1
        while cursor + 32 <= end:
            v1 = _round(v1, read64(data, cursor))
            v2 = _round(v2, read64(data, cursor + 8))
            v3 = _round(v3, read64(data, cursor + 16))
            v4 = _round(v4, read64(data, cursor + 24))
            cursor += 32
        h = _rotate(v1, 1) + _rotate(v2, 7) + _rotate(v3, 12) + _rotate(v4, 18)
        h = _merge(_merge(_merge(_merge(h, v1), v2), v3), v4)
    else:
        h = salt + _P5
    h += np.uint64(end - start)
    while cursor + 8 <= end:
        h = _rotate(h ^ _round(np.uint64(0), read64(data, cursor)), 27) * _P1 + _P4
        cursor += 8
    if cursor + 4 <= end:
        h = _rotate(h ^ (_read32(data, cursor) * _P1), 23) * _P2 + _P3
        cursor += 4
    while cursor < end:
        h = _rotate(h ^ (np.uint64(data[cursor]) * _P5), 11) * _P1
        cursor += 1
    h = (h ^ (h >> np.uint64(33))) * _P2
    h = (h ^ (h >> np.uint64(29))) * _P3
    return np.uint64(h ^ (h >> np.uint64(32)))


@njit_inline
def mix64(value: np.uint64) -> np.uint64:
    """The finalizer of splitmix64: a bijection of uint64 in which each input bit moves about half of the output bits.

    Source: Steele, Lea, Flood 2014, "Fast splittable pseudorandom number generators", with Stafford's variant 13.
    """
    h = np.uint64(value)
    h = (h ^ (h >> np.uint64(30))) * _MIX1
    h = (h ^ (h >> np.uint64(27))) * _MIX2
    return np.uint64(h ^ (h >> np.uint64(31)))


@njit_inline
def read64(data: Bytes, at: int) -> np.uint64:
    """Eight bytes from `data` (uint8), at a position that is not negative, as a little-endian uint64."""
    return np.uint64(_read32(data, at) | (_read32(data, at + 4) << np.uint64(32)))


@njit_inline
def _read32(data: Bytes, at: int) -> np.uint64:
    # Unsigned positions spare numba's test for negative ones, and only then LLVM merges the bytes into one load.
    i = np.uint64(at)
    return (
        np.uint64(data[i])
        | (np.uint64(data[i + np.uint64(1)]) << np.uint64(8))
        | (np.uint64(data[i + np.uint64(2)]) << np.uint64(16))
        | (np.uint64(data[i + np.uint64(3)]) << np.uint64(24))
    )


@njit_inline
def _rotate(value: np.uint64, bits: int) -> np.uint64:
    return (value << np.uint64(bits)) | (value >> np.uint64(64 - bits))


@njit_inline
def _round(accumulator: np.uint64, lane: np.uint64) -> np.uint64:
    return np.uint64(_rotate(accumulator + lane * _P2, 31) * _P1)


@njit_inline
def _merge(h: np.uint64, accumulator: np.uint64) -> np.uint64:
    return np.uint64((h ^ _round(np.uint64(0), accumulator)) * _P1 + _P4)


@njit(cache=True, nogil=True)
def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """`mix64` of each value."""
    out = np.empty(len(values), np.uint64)
    for i in range(len(values)):
        out[i] = mix64(values[i])
    return out
