"""Greedy choice under a budget: facility location and k-center, compiled."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Budget
from curation.selection.neighbours import UNIT, Similarities
from curation.selection.vectors import Vectors
from curation.text.compiling import njit, prange

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Picks:
    """Rows in the order in which they were chosen."""

    rows: Rows
    gains: NDArray[np.float64]
    """What each added to the objective, or for k-center its distance to what had been chosen before."""
    left: NDArray[np.float64]
    """[n]: what each row would add now, NaN for those that were chosen."""


def facility_location(similarity: Similarities, budget: Budget, lazy: bool = True) -> Picks:
    """Rows that stand for all others: maximises f(S) = Σ_i max(0, max_{j ∈ S} s_ij) greedily, ties to the earlier row.

    `similarity` int32 [n, n], symmetric, in units of 1 / UNIT. Within 1 - 1/e of the best set of as many rows
    (Nemhauser, Wolsey and Fisher 1978). `lazy` (Minoux 1978) asks again only for gains that may be the largest; the
    picks are the same.
    """
    n = len(similarity)
    bounds = np.arange(n + 1, dtype=np.int64) * n
    rows = np.zeros(0, dtype=np.int32)  # all of them, in order
    return _located(bounds, rows, similarity.reshape(-1), n, budget, lazy)


def facility_location_sparse(
    index: NDArray[np.int32], similarity: Similarities, budget: Budget, lazy: bool = True
) -> Picks:
    """The same where a row is only like the rows of `index` int32 [n, k], and to all others 0 (`neighbours`).

    The objective is then a lower bound of the whole one: 1 - 1/e holds for it, not for the whole one.
    """
    n = len(index)
    order = np.argsort(index.reshape(-1), kind="stable")
    rows = (order // index.shape[1]).astype(np.int32)
    bounds = np.append(0, np.cumsum(np.bincount(index.reshape(-1), minlength=n))).astype(np.int64)
    return _located(bounds, rows, similarity.reshape(-1)[order], n, budget, lazy)


def _located(
    bounds: Rows, rows: NDArray[np.int32], similarity: Similarities, n: int, budget: Budget, lazy: bool
) -> Picks:
    run = _lazy if lazy else _naive
    chosen, gains, left = run(bounds, rows, similarity, n, budget.cost, budget.limit, budget.group, budget.most)
    left = left / UNIT
    left[chosen] = np.nan
    return Picks(chosen, gains / UNIT, left)


@njit(cache=True, nogil=True)
def _gain(
    bounds: Rows, rows: NDArray[np.int32], similarity: Similarities, covered: Similarities, candidate: int
) -> np.int64:
    total = np.int64(0)
    start, end = bounds[candidate], bounds[candidate + 1]
    if len(rows):
        for entry in range(start, end):
            more = similarity[entry] - covered[rows[entry]]
            if more > 0:
                total += more
    else:
        for entry in range(end - start):
            more = similarity[start + entry] - covered[entry]
            if more > 0:
                total += more
    return total


@njit(cache=True, nogil=True, parallel=True)
def _gains(bounds: Rows, rows: NDArray[np.int32], similarity: Similarities, covered: Similarities, gains: Rows) -> None:
    for candidate in prange(len(gains)):
        gains[candidate] = _gain(bounds, rows, similarity, covered, candidate)


@njit(cache=True, nogil=True)
def _cover(bounds: Rows, rows: NDArray[np.int32], similarity: Similarities, covered: Similarities, chosen: int) -> None:
    for entry in range(bounds[chosen], bounds[chosen + 1]):
        row = rows[entry] if len(rows) else entry - bounds[chosen]
        if similarity[entry] > covered[row]:
            covered[row] = similarity[entry]


@njit(cache=True, nogil=True)
def _naive(
    bounds: Rows,
    rows: NDArray[np.int32],
    similarity: Similarities,
    n: int,
    cost: Rows,
    limit: int,
    group: Rows,
    most: Rows,
) -> tuple[Rows, Rows, Rows]:
    """Asks for every gain every time."""
    covered = np.zeros(n, dtype=np.int32)
    open_ = np.ones(n, dtype=np.bool_)
    room = most.copy()
    chosen = np.empty(n, dtype=np.int64)
    worth = np.empty(n, dtype=np.int64)
    gains = np.zeros(n, dtype=np.int64)
    count, cost_so_far = 0, 0
    while True:
        _gains(bounds, rows, similarity, covered, gains)
        best = -1
        for row in range(n):
            if open_[row] and room[group[row]] != 0 and (best < 0 or gains[row] > gains[best]):
                best = row
        if best < 0 or cost_so_far + cost[best] > limit:
            break
        chosen[count], worth[count] = best, gains[best]
        count += 1
        cost_so_far += cost[best]
        open_[best] = False
        room[group[best]] -= 1
        _cover(bounds, rows, similarity, covered, best)
    return chosen[:count], worth[:count], gains


@njit(cache=True, nogil=True)
def _lazy(
    bounds: Rows,
    rows: NDArray[np.int32],
    similarity: Similarities,
    n: int,
    cost: Rows,
    limit: int,
    group: Rows,
    most: Rows,
) -> tuple[Rows, Rows, Rows]:
    """A heap of upper bounds: gains only fall, so the top is the best once its own gain is known to be its bound."""
    covered = np.zeros(n, dtype=np.int32)
    gains = np.zeros(n, dtype=np.int64)
    _gains(bounds, rows, similarity, covered, gains)
    heap = np.arange(n)
    size = n
    for place in range(size // 2 - 1, -1, -1):
        _sink(heap, gains, place, size)
    asked = np.zeros(n, dtype=np.int64)
    room = most.copy()
    chosen = np.empty(n, dtype=np.int64)
    worth = np.empty(n, dtype=np.int64)
    count, cost_so_far = 0, 0
    while size:
        top = heap[0]
        if room[group[top]] == 0:
            size -= 1
            heap[0] = heap[size]
            _sink(heap, gains, 0, size)
            continue
        if asked[top] < count:
            gains[top] = _gain(bounds, rows, similarity, covered, top)
            asked[top] = count
            _sink(heap, gains, 0, size)
            continue
        if cost_so_far + cost[top] > limit:
            break
        chosen[count], worth[count] = top, gains[top]
        count += 1
        cost_so_far += cost[top]
        room[group[top]] -= 1
        size -= 1
        heap[0] = heap[size]
        _sink(heap, gains, 0, size)
        _cover(bounds, rows, similarity, covered, top)
    _gains(bounds, rows, similarity, covered, gains)
    return chosen[:count], worth[:count], gains


@njit(cache=True, nogil=True)
def _sink(heap: Rows, gains: Rows, position: int, size: int) -> None:
    """Put the entry at `position` where it belongs: larger gains above, of equal ones the earlier row."""
    entry = heap[position]
    while True:
        child = 2 * position + 1
        if child >= size:
            break
        if child + 1 < size and _before(gains, heap[child + 1], heap[child]):
            child += 1
        if not _before(gains, heap[child], entry):
            break
        heap[position] = heap[child]
        position = child
    heap[position] = entry


@njit(cache=True, nogil=True)
def _before(gains: Rows, one: int, other: int) -> bool:
    return bool(gains[one] > gains[other] or (gains[one] == gains[other] and one < other))


def k_center(vectors: Vectors, first: int, budget: Budget) -> Picks:
    """From `first` on, always the row that is farthest from all chosen ones (Gonzalez 1985), ties to the earlier row.

    `vectors` float32 [n, d] of `vectors.exact`, Euclidean distances. The largest distance of any row to its nearest
    chosen one is at most twice that of the best set of as many rows. Gains are distances; infinite for the first.
    """
    chosen, squared, left = _k_center(vectors, first, budget.cost, budget.limit, budget.group, budget.most.copy())
    far = np.sqrt(left)
    far[chosen] = np.nan
    return Picks(chosen, np.sqrt(squared), far)


# Reassociation lets the sum use vector units, and cannot change it: every partial sum is exact.
@njit(cache=True, nogil=True, parallel=True, fastmath={"reassoc", "contract"})
def _approach(vectors: Vectors, norm: NDArray[np.float64], centre: int, near: NDArray[np.float64]) -> None:
    """Squared distances to the nearest centre, with one centre more."""
    for row in prange(len(vectors)):
        product = 0.0
        for at in range(vectors.shape[1]):
            product += np.float64(vectors[row, at]) * np.float64(vectors[centre, at])
        distance = norm[row] + norm[centre] - 2.0 * product
        if distance < near[row]:
            near[row] = distance


@njit(cache=True, nogil=True)
def _k_center(
    vectors: Vectors, first: int, cost: Rows, limit: int, group: Rows, room: Rows
) -> tuple[Rows, NDArray[np.float64], NDArray[np.float64]]:
    n = len(vectors)
    norm = np.zeros(n)
    for row in range(n):
        for at in range(vectors.shape[1]):
            norm[row] += np.float64(vectors[row, at]) * np.float64(vectors[row, at])
    near = np.full(n, np.inf)
    open_ = np.ones(n, dtype=np.bool_)
    chosen = np.empty(n, dtype=np.int64)
    worth = np.empty(n)
    count, cost_so_far, best = 0, 0, first
    while best >= 0 and cost_so_far + cost[best] <= limit:
        chosen[count], worth[count] = best, near[best]
        count += 1
        cost_so_far += cost[best]
        open_[best] = False
        room[group[best]] -= 1
        _approach(vectors, norm, best, near)
        best = -1
        for row in range(n):
            if open_[row] and room[group[row]] != 0 and (best < 0 or near[row] > near[best]):
                best = row
    return chosen[:count], worth[:count], near
