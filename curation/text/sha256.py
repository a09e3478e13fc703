"""SHA-256 (FIPS 180-4) of many short byte spans, as a number modulo another: what hashed n-gram buckets are made by."""

from __future__ import annotations

from math import isqrt

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit, njit_inline


def _root(number: int, power: int) -> np.uint32:
    """The first 32 bits behind the point of a square or cube root, exactly."""
    scaled = number << (32 * power)
    if power == 2:
        return np.uint32(isqrt(scaled) & 0xFFFFFFFF)
    root = round(scaled ** (1 / 3))
    while root**3 > scaled:
        root -= 1
    while (root + 1) ** 3 <= scaled:
        root += 1
    return np.uint32(root & 0xFFFFFFFF)


_PRIMES = [n for n in range(2, 312) if all(n % d for d in range(2, isqrt(n) + 1))]
_K: NDArray[np.uint32] = np.array([_root(prime, 3) for prime in _PRIMES], np.uint32)
_START: NDArray[np.uint32] = np.array([_root(prime, 2) for prime in _PRIMES[:8]], np.uint32)
_BLOCK = 64


@njit(nogil=True, cache=True)
def scratch():  # type: ignore[no-untyped-def]
    """Working memory for `remainder`: the message schedule and the state."""
    return np.empty(64 + 8, np.uint32)


@njit(nogil=True, cache=True)
def remainder(data, start, end, divisor, work):  # type: ignore[no-untyped-def]
    """SHA-256 of `data[start:end]` (uint8), read as a big-endian number, modulo `divisor` (1 to 2^32 - 1).

    `int(hashlib.sha256(data[start:end]).hexdigest(), 16) % divisor`; `work` is from `scratch`.
    """
    for j in range(8):
        work[64 + j] = _START[j]
    size = end - start
    blocks = (size + 9 + _BLOCK - 1) // _BLOCK
    for block in range(blocks):
        block_start = block * _BLOCK
        for word in range(16):
            value = np.uint32(0)
            for j in range(4):
                i = block_start + 4 * word + j
                byte = np.uint32(data[start + i]) if i < size else np.uint32(0x80 if i == size else 0)
                value = (value << np.uint32(8)) | byte
            work[word] = value
        if block == blocks - 1:
            work[14] = np.uint32(np.uint64(size) >> np.uint64(29))
            work[15] = np.uint32(np.uint64(size) << np.uint64(3))
        _compress(work)
    rest = np.uint64(0)
    for j in range(8):
        rest = ((rest << np.uint64(32)) | np.uint64(work[64 + j])) % np.uint64(divisor)
    return np.int64(rest)


@njit(nogil=True, cache=True)
def _compress(work):  # type: ignore[no-untyped-def]
    for t in range(16, 64):
        x, y = work[t - 15], work[t - 2]
        low = _turn(x, 7) ^ _turn(x, 18) ^ (x >> np.uint32(3))
        high = _turn(y, 17) ^ _turn(y, 19) ^ (y >> np.uint32(10))
        work[t] = work[t - 16] + low + work[t - 7] + high
    a, b, c, d = work[64], work[65], work[66], work[67]
    e, f, g, h = work[68], work[69], work[70], work[71]
    for t in range(64):
        one = np.uint32(h + (_turn(e, 6) ^ _turn(e, 11) ^ _turn(e, 25)) + ((e & f) ^ (~e & g)) + _K[t] + work[t])
        two = np.uint32((_turn(a, 2) ^ _turn(a, 13) ^ _turn(a, 22)) + ((a & b) ^ (a & c) ^ (b & c)))
        h, g, f, e, d, c, b, a = g, f, e, np.uint32(d + one), c, b, a, np.uint32(one + two)
    work[64] += a
    work[65] += b
    work[66] += c
    work[67] += d
    work[68] += e
    work[69] += f
    work[70] += g
    work[71] += h


@njit_inline
def _turn(x: np.uint32, bits: int) -> np.uint32:
    return np.uint32((x >> np.uint32(bits)) | (x << np.uint32(32 - bits)))
