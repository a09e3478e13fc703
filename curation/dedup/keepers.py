"""Which member of a cluster of duplicates stays, and which twin explains each of the others."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numba import njit
from numpy.typing import NDArray

Survivor = Literal["longest", "first"]


def keepers(label: NDArray[np.int64], size: NDArray[np.int64], survivor: Survivor) -> NDArray[np.int64]:
    """The member that stays of each node's cluster.

    Nodes are numbered in the run's input order. `label` int64[n], the cluster, any node's number in 0..n-1 that is
    the same for all members (as from `components`); `size` int64[n], bytes of text. `survivor`: "longest" keeps the
    largest size, on ties the earliest; "first" keeps the earliest. Returns int64[n]: the keeper's node, which is
    the node itself exactly for those that stay. Raises ValueError for another rule, or lengths that differ.
    """
    if survivor not in ("longest", "first"):
        raise ValueError(f"survivor is 'longest' or 'first', not {survivor!r}")
    label = np.ascontiguousarray(label, dtype=np.int64)
    size = np.ascontiguousarray(size, dtype=np.int64)
    if label.shape != size.shape or label.ndim != 1:
        raise ValueError(f"label and size need one length, got {label.shape} and {size.shape}")
    if label.size and (label.min() < 0 or label.max() >= label.size):
        raise ValueError(f"a label is outside 0..{label.size - 1}")
    return _keepers(label, size, survivor == "longest")  # type: ignore[no-any-return]


def links(
    a: NDArray[np.int64], b: NDArray[np.int64], similarity: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The most similar verified neighbour of each node: the twin that explains why it is in a cluster at all.

    `a`, `b` int64[m], nodes in 0..n-1; `similarity` float64[m], of each pair; `n` the number of nodes.
    Returns (neighbour int64[n], similarity float64[n]); on ties the smallest neighbour; -1 and NaN where a node has
    none. The order of the pairs does not matter, loops are ignored. Raises ValueError for lengths that differ, a node
    outside 0..n-1 or a similarity that is NaN (it has no place in an order, so the answer would depend on it).
    """
    a = np.ascontiguousarray(a, dtype=np.int64)
    b = np.ascontiguousarray(b, dtype=np.int64)
    similarity = np.ascontiguousarray(similarity, dtype=np.float64)
    if not a.shape == b.shape == similarity.shape or a.ndim != 1:
        raise ValueError(f"pairs need three flat arrays of one length, got {a.shape}, {b.shape}, {similarity.shape}")
    if a.size and (min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n):
        raise ValueError(f"a pair names a node outside 0..{n - 1}")
    if np.isnan(similarity).any():
        raise ValueError("a similarity is NaN")
    return _links(a, b, similarity, n)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _keepers(label: NDArray[np.int64], size: NDArray[np.int64], longest: bool) -> NDArray[np.int64]:
    best = np.full(label.size, -1, np.int64)
    for i in range(label.size):
        # Ascending i and a strict comparison: the earliest wins a tie.
        held = best[label[i]]
        if held < 0 or (longest and size[i] > size[held]):
            best[label[i]] = i
    return best[label]


@njit(cache=True, nogil=True)
def _links(
    a: NDArray[np.int64], b: NDArray[np.int64], similarity: NDArray[np.float64], n: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    twin = np.full(n, -1, np.int64)
    best = np.full(n, np.nan, np.float64)
    for i in range(a.size):
        if a[i] != b[i]:
            _offer(twin, best, a[i], b[i], similarity[i])
            _offer(twin, best, b[i], a[i], similarity[i])
    return twin, best


@njit(cache=True, nogil=True)
def _offer(twin: NDArray[np.int64], best: NDArray[np.float64], node: int, other: int, similarity: float) -> None:
    if twin[node] < 0 or similarity > best[node] or (similarity == best[node] and other < twin[node]):
        twin[node] = other
        best[node] = similarity
