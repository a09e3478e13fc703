"""How often each line, paragraph or n-gram of a text occurs in it, in linear time.

Strings are compared by 64-bit hashes (XXH64, an n-gram by those of its words); that two different ones of a document
share one has a chance of about n² / 2^65. They are counted in one table, which serves document after document. An
n-gram can occur twice only where both its (n-1)-grams do, so of most texts hardly anything is left to be counted when
n grows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from curation.text.characters import count_characters
from curation.text.compiling import njit, njit_inline
from curation.text.hashing import mix64, xxh64
from curation.text.tables import slot, slots

TOP = (2, 3, 4)
"""Sizes of the n-grams of which the most frequent one is measured (Rae et al. 2021, arXiv 2112.11446, table A1)."""
DUPLICATED = (5, 6, 7, 8, 9, 10)
"""Sizes of the n-grams of which all are measured that occur twice (same table)."""
LONGEST = DUPLICATED[-1]

_SEED = np.uint64(0)
_STEP = np.uint64(0x9E3779B97F4A7C15)


class Bench(NamedTuple):
    """Where one document's items, its words or its lines, are counted; used again for the next document."""

    hashes: NDArray[np.uint64]
    """Of each item."""
    ends: NDArray[np.int64]
    """Characters in the items up to each one: item `i` has `ends[i + 1] - ends[i]`."""
    times: NDArray[np.int32]
    """How often the item occurs, or the n-gram that begins with it."""
    grams: NDArray[np.uint64]
    """Hash of the n-gram that begins with the item, where it may occur twice."""
    queue: NDArray[np.uint64]
    """Hashes that are to be counted."""
    origins: NDArray[np.int32]
    """Which n-gram each of them is of."""
    places: NDArray[np.int32]
    """Where in the table it is."""
    keys: NDArray[np.uint64]
    counts: NDArray[np.int32]


def bench(items: int) -> Bench:
    """A bench for documents of up to so many items; memory that no document needs is never touched."""
    return Bench(
        hashes=np.empty(items, np.uint64),
        ends=np.zeros(items + 1, np.int64),
        times=np.empty(items, np.int32),
        grams=np.empty(items, np.uint64),
        queue=np.empty(items, np.uint64),
        origins=np.empty(items, np.int32),
        places=np.empty(items, np.int32),
        keys=np.empty(slots(items), np.uint64),
        counts=np.empty(slots(items), np.int32),
    )


@njit_inline
def put(bench, size, data, start, end):  # type: ignore[no-untyped-def]
    """Put `data[start:end]` on the bench as item number `size`."""
    bench.hashes[size] = xxh64(data, start, end, _SEED)
    bench.ends[size + 1] = bench.ends[size] + count_characters(data, start, end)


@njit(nogil=True, cache=True)
def count(bench, size):  # type: ignore[no-untyped-def]
    """Count the first `size` items: fills `times`."""
    for i in range(size):
        bench.grams[i] = bench.hashes[i]
        bench.queue[i] = bench.hashes[i]
    _tally(bench, size)
    for i in range(size):
        bench.times[i] = bench.counts[bench.places[i]]


@njit(nogil=True, cache=True)
def lengthen(bench, size, n):  # type: ignore[no-untyped-def]
    """From the counts of (n-1)-grams in `times` to those of the `size - n + 1` n-grams, `n` from 2 to `size`."""
    candidates = 0
    for i in range(size - n + 1):
        if bench.times[i] > 1 and bench.times[i + 1] > 1:
            gram = mix64(bench.grams[i] * _STEP + bench.hashes[i + n - 1])
            bench.grams[i] = gram
            bench.queue[candidates] = gram
            bench.origins[candidates] = i
            candidates += 1
    _tally(bench, candidates)
    for i in range(size - n + 1):
        bench.times[i] = 1
    for i in range(candidates):
        bench.times[bench.origins[i]] = bench.counts[bench.places[i]]


@njit(nogil=True, cache=True)
def duplicates(bench, size):  # type: ignore[no-untyped-def]
    """Of `size` counted items, those that occur twice or more often: (how many, their characters), every copy."""
    items = 0
    characters = 0
    for i in range(size):
        if bench.times[i] > 1:
            items += 1
            characters += bench.ends[i + 1] - bench.ends[i]
    return items, characters


@njit(nogil=True, cache=True)
def _tally(bench, size):  # type: ignore[no-untyped-def]
    """Count equal entries of `queue[:size]`: the count of entry `i` is `counts[places[i]]`."""
    used = slots(size)
    for i in range(used):
        bench.keys[i] = 0
        bench.counts[i] = 0
    for i in range(size):
        key = max(bench.queue[i], np.uint64(1))
        entry = slot(bench.keys, used, key)
        bench.keys[entry] = key
        bench.counts[entry] += 1
        bench.places[i] = entry
