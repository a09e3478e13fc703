"""Rows in a given order, each taken unless it is too much like one that was taken."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Budget, Rows
from curation.selection.vectors import Vectors, products

PAIRS = 100_000
"""Random pairs that a percentile is taken of."""
BLOCK = 1024


@dataclass(frozen=True)
class Distinct:
    """What became of each row."""

    picked: Rows
    """Rows that were taken, in order."""
    twin: Rows
    """[n]: of a row that was too similar, the most similar one that had been taken; else -1."""
    similarity: NDArray[np.float64]
    """[n]: to the twin; NaN without one."""
    full: Rows
    """Rows whose quota had no room."""


def distinct(vectors: Vectors, order: Rows, limit: float, budget: Budget) -> Distinct:
    """Walk through `order`, rows of vectors [n, d] of `vectors.exact`: a row is taken iff its cosine to every row that
    was taken is at most `limit` and its quota has room. Ends with the first that the budget cannot pay.
    """
    n = len(vectors)
    twin = np.full(n, -1, dtype=np.int64)
    likeness = np.full(n, np.nan)
    room = budget.most.copy()
    picked: list[int] = []
    full: list[int] = []
    cost_so_far = 0
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        best, closest = _against(vectors, rows, np.array(picked, dtype=np.int64))
        inside = products(vectors[rows], vectors[rows])
        taken, count = np.empty(len(rows), dtype=np.int64), 0
        for index, row in enumerate(rows):
            if count:
                likeness_to_taken = inside[index, taken[:count]]
                other = int(likeness_to_taken.argmax())
                if likeness_to_taken[other] > best[index]:  # of equal ones the one that was taken first
                    best[index], closest[index] = likeness_to_taken[other], rows[taken[other]]
            if best[index] > limit:
                twin[row], likeness[row] = closest[index], best[index]
            elif room[budget.group[row]] == 0:
                full.append(int(row))
            elif cost_so_far + budget.cost[row] > budget.limit:
                return Distinct(np.array(picked, dtype=np.int64), twin, likeness, np.array(full, dtype=np.int64))
            else:
                cost_so_far += int(budget.cost[row])
                room[budget.group[row]] -= 1
                picked.append(int(row))
                taken[count] = index
                count += 1
    return Distinct(np.array(picked, dtype=np.int64), twin, likeness, np.array(full, dtype=np.int64))


def _against(vectors: Vectors, rows: Rows, picked: Rows) -> tuple[NDArray[np.float64], Rows]:
    """The most similar of the picked rows for each row, the first of equal ones, and the similarity."""
    best = np.full(len(rows), -np.inf)
    closest = np.full(len(rows), -1, dtype=np.int64)
    for start in range(0, len(picked), 16 * BLOCK):
        block = picked[start : start + 16 * BLOCK]
        similarity = products(vectors[rows], vectors[block])
        nearest_in_block = similarity.argmax(axis=1)
        value = similarity[np.arange(len(rows)), nearest_in_block]
        better = value > best
        best[better], closest[better] = value[better], block[nearest_in_block[better]]
    return best, closest


def calibrated(vectors: Vectors, chance: NDArray[np.uint64], share: float) -> float:
    """The cosine that `share` of random pairs of rows do not pass.

    Up to PAIRS pairs of neighbours in circles of random orders that `chance` (one number a row) decides. 1 where there
    is no pair.
    """
    n = len(vectors)
    if n < 2:
        return 1.0
    order = np.argsort(chance, kind="stable")[: PAIRS + 1]
    samples: list[NDArray[np.float64]] = []
    step = 1
    while len(samples) * len(order) < PAIRS and step <= len(order) // 2:
        one, other = vectors[order], vectors[np.roll(order, step)]
        samples.append(np.add.reduce(one.astype(np.float64) * other, axis=1))
        step += 1
    cosines = np.sort(np.concatenate(samples))
    return float(cosines[min(int(share * len(cosines)), len(cosines) - 1)])
