"""Candidate pairs: documents that share a band of their MinHash signatures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit


def candidate_pairs(
    band_hash: NDArray[np.uint64], node: NDArray[np.int64], first: int = 16
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs of nodes to compare, from the buckets that they fell into.

    `band_hash` uint64[m] and `node` int64[m]: node i is in the bucket band_hash[i]; in any order, repeats allowed.
    `first` >= 1. Returns (a, b), int64[p] each: distinct pairs with a < b, sorted by a, then b. Raises ValueError for
    lengths that differ or `first` < 1. The result depends on the set of (bucket, node) rows alone.

    Inside a bucket of k distinct nodes, ascending, each is paired with each of the first `first` nodes before it. Up to
    first + 1 nodes that is all pairs; beyond, k * first instead of k * (k - 1) / 2. All pairs are quadratic: one
    boilerplate page in 100,000 copies would cost 5 billion comparisons, where 1.6 million do. The bucket stays
    connected whenever its members are alike, because all meet the same few; what may be missed is a pair of members
    that are like each other and like none of those.
    """
    band_hash = np.ascontiguousarray(band_hash, dtype=np.uint64)
    node = np.ascontiguousarray(node, dtype=np.int64)
    if band_hash.shape != node.shape or node.ndim != 1:
        raise ValueError(f"band_hash and node need one length, got {band_hash.shape} and {node.shape}")
    if first < 1:
        raise ValueError(f"first must be at least 1, not {first}")
    order = np.argsort(band_hash)
    a, b = _pairs(band_hash[order], node[order], first)
    return _distinct(a, b)


@njit(cache=True, nogil=True)
def _pairs(
    bucket: NDArray[np.uint64], node: NDArray[np.int64], first: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    # Rows come sorted by bucket; `node` is sorted inside each here, in place. Most buckets hold one node, so that is
    # cheaper than sorting all rows by both.
    pairs = 0
    start = 0
    for i in range(1, node.size + 1):
        if i == node.size or bucket[i] != bucket[start]:
            if i - start > 1:
                node[start:i].sort()
                k = i - start
                pairs += min(k, first) * (min(k, first) - 1) // 2 + max(k - first, 0) * first
            start = i
    # Room for as many as if no row were repeated.
    a = np.empty(pairs, np.int64)
    b = np.empty(pairs, np.int64)
    members = np.empty(first, np.int64)
    pairs = 0
    held = 0
    for i in range(node.size):
        if i == 0 or bucket[i] != bucket[i - 1]:
            held = 0
        elif node[i] == node[i - 1]:
            continue
        a[pairs : pairs + held] = members[:held]
        b[pairs : pairs + held] = node[i]
        pairs += held
        if held < first:
            members[held] = node[i]
            held += 1
    return a[:pairs], b[:pairs]


def _distinct(a: NDArray[np.int64], b: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    if a.size and a.min() >= 0 and b.max() < 2**31:
        # One sort of one number instead of an indirect sort by two.
        both = np.sort(a << 32 | b)
        both = both[_fresh(both)]
        return both >> 32, both & 0xFFFFFFFF
    order = np.lexsort((b, a))
    a, b = a[order], b[order]
    fresh = _fresh(a) | _fresh(b)
    return a[fresh], b[fresh]


def _fresh(values: NDArray[np.int64]) -> NDArray[np.bool_]:
    # where a value differs from the one before it
    return np.concatenate([np.ones(min(values.size, 1), np.bool_), values[1:] != values[:-1]])
