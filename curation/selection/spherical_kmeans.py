"""k-means on the unit sphere (Dhillon and Modha 2001), the same on any machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Rows
from curation.selection.vectors import Vectors, exact, nearest


def spherical_kmeans(
    vectors: Vectors, clusters: int, chance: NDArray[np.uint64], iterations: int = 20
) -> tuple[Rows, Vectors]:
    """Clusters of vectors [n, d] of `vectors.exact`: int64 [n], and centroids float32 [k, d]; k is at most n.

    Begins at the k rows of lowest `chance` (uint64 [n]); ends when no row moves, or after so many iterations. A row
    goes to the centroid of largest cosine, the first of equal ones. An empty cluster keeps its centroid. Sums of exact
    vectors are exact up to 2^31 rows, so that no order of adding shows.
    """
    centroids = vectors[np.argsort(chance, kind="stable")[: min(clusters, len(vectors))]]
    label = np.full(len(vectors), -1, dtype=np.int64)
    for _ in range(iterations):
        assigned, _ = nearest(vectors, centroids)
        if (assigned == label).all():
            break
        label = assigned
        order = np.argsort(label, kind="stable")
        filled, starts = np.unique(label[order], return_index=True)
        sums = np.add.reduceat(vectors[order].astype(np.float64), starts, axis=0)
        centroids = centroids.copy()
        centroids[filled] = exact(sums)
    return label, centroids
