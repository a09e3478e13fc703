"""The longest run of words that two texts share, row by row: how much of one is copied from the other.

Words are those of `curation.text.shingles`, and runs with equal 64-bit hashes count as equal. Where a run of k words is
shared, so are those of fewer, so its length is found by doubling and bisection. Each step holds the k-grams of one text
in a hash table: O((n + m) log k) for texts of n and m words.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.text.compiling import njit
from curation.text.hashing import mix64
from curation.text.shingles import BASE, next_word, spans, word_table


class CommonRuns(NamedTuple):
    """What n texts share with n others."""

    words: NDArray[np.int32]
    """Words of each text, shape (n,)."""
    longest: NDArray[np.int32]
    """Words of the longest run that stands in the other one too, shape (n,)."""


def common_runs(text: pa.Array, other: pa.Array) -> CommonRuns:
    """The longest common run of each row. Raises ValueError for lengths that differ, TypeError for anything but
    strings."""
    if len(text) != len(other):
        raise ValueError(f"{len(text)} texts, but {len(other)} to compare them with")
    return CommonRuns(*_common_runs(*spans(text), *spans(other), word_table()))


@njit(nogil=True, cache=True)
def _common_runs(offsets, data, other_offsets, other_data, table):  # type: ignore[no-untyped-def]
    rows = len(offsets) - 1
    words = np.zeros(rows, np.int32)
    longest = np.zeros(rows, np.int32)
    ours = np.zeros(_most_words(offsets), np.uint64)
    theirs = np.zeros(_most_words(other_offsets), np.uint64)
    slots = np.zeros(_slots(len(theirs)), np.uint64)
    for row in range(rows):
        n = _sums(data, offsets[row], offsets[row + 1], table, ours)
        m = _sums(other_data, other_offsets[row], other_offsets[row + 1], table, theirs)
        words[row] = n
        low, high = 0, min(n, m)
        step = 1
        while low < high:
            # doubled while that holds, since most rows share a word or two; then halved
            k = low + step if step else (low + high + 1) // 2
            if k > high:
                step = 0
            elif _shares(ours, n, theirs, m, k, slots):
                low = k
                step *= 2
            else:
                high = k - 1
                step = 0
        longest[row] = low
    return words, longest


@njit(nogil=True, cache=True)
def _most_words(offsets):  # type: ignore[no-untyped-def]
    # A word of one byte needs a separator behind it, and letters that are words of their own take three.
    most = 0
    for row in range(len(offsets) - 1):
        most = max(most, offsets[row + 1] - offsets[row])
    return most // 2 + 2


@njit(nogil=True, cache=True)
def _slots(count):  # type: ignore[no-untyped-def]
    size = 4
    while size < 2 * count:
        size *= 2
    return size


@njit(nogil=True, cache=True)
def _sums(data, cursor, end, table, sums):  # type: ignore[no-untyped-def]
    """Words of `data[cursor:end]`; `sums[k]` becomes the polynomial hash of the first k."""
    count = 0
    while True:
        start, cursor, word = next_word(data, cursor, end, table)
        if start == cursor:
            return count
        sums[count + 1] = sums[count] * BASE + word
        count += 1


@njit(nogil=True, cache=True)
def _shares(ours, n, theirs, m, k, slots):  # type: ignore[no-untyped-def]
    """Whether some k words in a row stand in both; n, m >= k >= 1."""
    power, base, left = np.uint64(1), BASE, k
    while left:
        if left & 1:
            power *= base
        base *= base
        left >>= 1
    size = _slots(m - k + 1)
    mask = np.uint64(size - 1)
    slots[:size] = 0
    for i in range(m - k + 1):
        gram = mix64(theirs[i + k] - theirs[i] * power) | np.uint64(1)  # 0 is an empty slot
        slot = (gram >> np.uint64(1)) & mask
        while slots[slot] != 0 and slots[slot] != gram:
            slot = (slot + np.uint64(1)) & mask
        slots[slot] = gram
    for i in range(n - k + 1):
        gram = mix64(ours[i + k] - ours[i] * power) | np.uint64(1)
        slot = (gram >> np.uint64(1)) & mask
        while slots[slot] != 0:
            if slots[slot] == gram:
                return True
            slot = (slot + np.uint64(1)) & mask
    return False
