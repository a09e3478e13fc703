"""Which examples are near-duplicates of one another, and splits that keep such together."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.duplicates.candidates import candidate_pairs
from curation.duplicates.components import components
from curation.duplicates.evidence import evidence_of
from curation.text.arrow import buffers
from curation.text.hashing import hash_spans
from curation.text.minhash import bands, similarity

SIMILAR = 0.7
"""Estimated Jaccard similarity of word n-grams from which two examples are one."""
NGRAM, BANDS, ROWS = 3, 20, 5
"""Word 3-grams, since examples are often one sentence; an S-curve with its middle at (1 / 20)^(1 / 5) = 0.55."""
PORTION = 1 << 17
"""Pairs that are compared at a time, since each takes two signatures of 400 bytes."""


def clusters(text: pa.LargeStringArray, together: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """Cluster of each text, int64 [n]: the smallest row of those that are near-duplicates, directly or by a chain.

    Texts of fewer words than an n-gram are alike only when equal, but for case and white space. `together` int64 [m, 2]
    are pairs of rows that belong together whatever they say.
    """
    evidence, _ = evidence_of(text, NGRAM, BANDS * ROWS)
    keys = bands(evidence, BANDS, ROWS)
    nodes = np.repeat(np.arange(len(text)), BANDS)
    a, b = candidate_pairs(keys.ravel(), nodes)
    alike = np.zeros(len(a), dtype=bool)
    for begin in range(0, len(a), PORTION):
        some = slice(begin, begin + PORTION)
        alike[some] = similarity(evidence[a[some]], evidence[b[some]]) >= SIMILAR
    a, b = a[alike], b[alike]
    if together is not None:
        a, b = np.append(a, together[:, 0]), np.append(b, together[:, 1])
    return components(a, b, len(text))


def split(text: pa.LargeStringArray, groups: NDArray[np.int64], share: float, seed: int = 0) -> NDArray[np.bool_]:
    """Hold out whole clusters, chosen by a hash of their first text, until about `share` of the examples are: bool [n].

    The choice does not depend on the order of the examples.
    """
    place, keys = _keys(text, groups, seed)
    return np.asarray(keys[place] < np.uint64(share * 2.0**64))


def split_rows(text: pa.LargeStringArray, groups: NDArray[np.int64], rows: int, seed: int = 0) -> NDArray[np.bool_]:
    """Hold out whole clusters in the order of that hash, each that still fits, until `rows` examples are: bool [n].

    Fewer where no cluster is small enough for what is left.
    """
    group, keys = _keys(text, groups, seed)
    sizes = np.bincount(group, minlength=len(keys))
    taken = np.zeros(len(keys), dtype=bool)
    for cluster in np.argsort(keys).tolist():
        if rows == 0:
            break
        if sizes[cluster] <= rows:
            taken[cluster] = True
            rows -= int(sizes[cluster])
    return taken[group]


def _keys(
    text: pa.LargeStringArray, groups: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Number of each text's cluster, int64 [n], and a hash of each cluster's first text, uint64 [clusters]."""
    offsets, data = buffers(text)
    hashes = hash_spans(data, offsets[:-1], offsets[1:], seed)
    names, group = np.unique(groups, return_inverse=True)
    least = np.full(len(names), np.iinfo(np.uint64).max, np.uint64)
    np.minimum.at(least, group, hashes)
    # The least of several hashes is small, so that large clusters would be held out too often: they are hashed again.
    bounds = np.arange(len(names) + 1) * 8
    bounds.setflags(write=False)
    again = hash_spans(np.frombuffer(least.tobytes(), np.uint8), bounds[:-1], bounds[1:], seed)
    return group, np.where(np.bincount(group) > 1, again, least)
