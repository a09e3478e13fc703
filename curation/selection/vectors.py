"""Vectors whose dot products are exact, so that a selection is the same on any machine, in any order of adding."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

GRID = 2.0**22
"""Components are multiples of 1 / GRID. Of two unit vectors, products are then multiples of 2^-44 and every partial sum
of them is at most 1 (Cauchy and Schwarz): float64 holds them exactly, whatever adds them up and in whatever order."""
BLOCK = 256
"""Rows of a block of similarities: 100 MB against 50,000 others."""

Vectors = NDArray[np.float32]


def exact(vectors: NDArray[np.floating]) -> Vectors:
    """Rows [n, d] at unit length, rounded to the grid: float32 [n, d]. Rows of zeros stay as they are.

    The rounding moves a cosine by at most 2^-22 · √d, 5e-6 for 384 dimensions; float16, in which vectors are stored,
    has moved it by 1e-3 before.
    """
    wide = vectors.astype(np.float64)
    # Not by BLAS, whose order of adding differs between machines.
    norm = np.sqrt(np.add.reduce(wide * wide, axis=1, keepdims=True))
    wide /= np.where(norm > 0, norm, 1.0)
    return (np.rint(wide * GRID) / GRID).astype(np.float32)


def products(rows: Vectors, others: Vectors) -> NDArray[np.float64]:
    """Dot products float64 [n, m] of rows [n, d] and others [m, d], exact for vectors of `exact`."""
    return rows.astype(np.float64) @ others.astype(np.float64).T


def nearest(rows: Vectors, others: Vectors) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """For each row the most similar of `others` (ties: the first) and the similarity: int64 [n], float64 [n]; -1 and
    NaN where there are no others."""
    closest = np.full(len(rows), -1, dtype=np.int64)
    value = np.full(len(rows), np.nan)
    if len(others):
        wide = others.astype(np.float64).T
        block = max(1, BLOCK * 50_000 // len(others))
        for start in range(0, len(rows), block):
            similarity = rows[start : start + block].astype(np.float64) @ wide
            best = similarity.argmax(axis=1)
            closest[start : start + block] = best
            value[start : start + block] = similarity[np.arange(len(best)), best]
    return closest, value
