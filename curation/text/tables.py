"""Hash tables of 64-bit keys in plain arrays, which a kernel clears and uses again for each document.

A table is a uint64 array of which the first `used` (a power of two) slots count; a key is never 0, a free slot is.
Whoever puts keys in sees to it that half the slots stay free.
"""

from __future__ import annotations

import numpy as np

from curation.text.compiling import njit, njit_inline


@njit_inline
def slots(items):  # type: ignore[no-untyped-def]
    """Slots for so many keys: a power of two, at most half of them full."""
    count = 16
    while count < 2 * items:
        count *= 2
    return count


@njit_inline
def slot(keys, used, key):  # type: ignore[no-untyped-def]
    """Where `key` is, or the free slot in which it belongs."""
    mask = np.uint64(used - 1)
    index = (key ^ (key >> np.uint64(32))) & mask
    while keys[index] != key and keys[index] != np.uint64(0):
        index = (index + np.uint64(1)) & mask
    return index


@njit(nogil=True, cache=True)
def grow(keys, used):  # type: ignore[no-untyped-def]
    """Spread the keys of a full table over twice as many slots, which the array must have; returns their number."""
    held = keys[:used].copy()
    keys[: 2 * used] = 0
    for key in held:
        if key != np.uint64(0):
            keys[slot(keys, 2 * used, key)] = key
    return 2 * used
