"""Connected components: which documents belong together, from the pairs that were found alike."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.text.compiling import njit


def components(a: NDArray[np.int64], b: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """The connected components of an undirected graph.

    `a`, `b` int64[m], the ends of each edge, in 0..n-1 (loops and repeats do no harm); `n` the number of nodes.
    Returns int64[n]: the smallest node of each node's component, so a node without edges is its own label and the
    result depends on the graph alone, never on the order of the edges. Raises ValueError where `a` and `b` differ
    in length or name a node outside 0..n-1. Memory: 8 bytes a node.
    """
    a = np.ascontiguousarray(a, dtype=np.int64)
    b = np.ascontiguousarray(b, dtype=np.int64)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"edges need two flat arrays of one length, got {a.shape} and {b.shape}")
    if a.size and (min(a.min(), b.min()) < 0 or max(a.max(), b.max()) >= n):
        raise ValueError(f"an edge names a node outside 0..{n - 1}")
    return _components(a, b, n)  # type: ignore[no-any-return]


@njit(cache=True, nogil=True)
def _components(a: NDArray[np.int64], b: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    parent = np.arange(n)
    for i in range(a.size):
        x = _root(parent, a[i])
        y = _root(parent, b[i])
        # The smaller root wins, so a parent is never above its child and each root is its component's smallest
        # node. Union by size would save little: path halving alone bounds m operations by O(m log n).
        if x < y:
            parent[y] = x
        elif y < x:
            parent[x] = y
    for i in range(n):
        # Parents come before their children, hence already point at their root.
        parent[i] = parent[parent[i]]
    return parent


@njit(cache=True, nogil=True)
def _root(parent: NDArray[np.int64], node: int) -> int:
    while parent[node] != node:
        parent[node] = parent[parent[node]]
        node = parent[node]
    return node
