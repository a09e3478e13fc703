"""The most similar rows of each row: what facility location needs of a similarity matrix that does not fit."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from curation.selection.vectors import BLOCK, Vectors
from curation.text.compiling import njit, prange

UNIT = 1 << 30
"""Similarities are whole multiples of 1 / UNIT in int32: sums of them are exact in int64, in any order."""

Similarities = NDArray[np.int32]


def fixed(similarity: NDArray[np.float64]) -> Similarities:
    """Similarities in units of 1 / UNIT, those below 0 as 0; above 1 they are only by rounding."""
    return np.asarray(np.rint(np.clip(similarity, 0.0, 1.0) * UNIT), dtype=np.int32)


def dense(vectors: Vectors) -> Similarities:
    """All similarities [n, n] of vectors [n, d], to itself always 1."""
    similarity = np.empty((len(vectors), len(vectors)), dtype=np.int32)
    wide = vectors.astype(np.float64)
    for start in range(0, len(vectors), BLOCK):
        similarity[start : start + BLOCK] = fixed(wide[start : start + BLOCK] @ wide.T)
    np.fill_diagonal(similarity, UNIT)
    return similarity


def neighbours(vectors: Vectors, count: int) -> tuple[NDArray[np.int32], Similarities]:
    """The `count` most similar rows of each row, itself always among them: rows int32 [n, k] and similarities [n, k],
    most similar first, ties to the earlier row; k is at most n. To itself it is 1. Exact, by all products in blocks."""
    n = len(vectors)
    count = min(count, n)
    index = np.empty((n, count), dtype=np.int32)
    similarity = np.empty((n, count), dtype=np.int32)
    wide = vectors.astype(np.float64)
    for start in range(0, n, BLOCK):
        product = wide[start : start + BLOCK] @ wide.T
        rows = np.arange(len(product))
        product[rows, start + rows] = 2.0  # before everything that is equal to it
        _best(product, index[start : start + BLOCK], similarity[start : start + BLOCK])
    return index, similarity


@njit(cache=True, nogil=True, parallel=True)
def _best(product: NDArray[np.float64], index: NDArray[np.int32], similarity: Similarities) -> None:
    """The largest of each row of products, by insertion into a list that is kept in order."""
    count = index.shape[1]
    for row in prange(product.shape[0]):
        value = np.empty(count, dtype=np.float64)
        held = 0
        for other in range(product.shape[1]):
            candidate = product[row, other]
            if held == count and candidate <= value[count - 1]:
                continue  # of equal ones the earlier stays
            rank = held if held < count else count - 1
            while rank > 0 and value[rank - 1] < candidate:
                value[rank] = value[rank - 1]
                index[row, rank] = index[row, rank - 1]
                rank -= 1
            value[rank] = candidate
            index[row, rank] = other
            held = min(held + 1, count)
        for rank in range(count):
            similarity[row, rank] = np.int32(np.rint(min(max(value[rank], 0.0), 1.0) * UNIT))
