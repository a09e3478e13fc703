"""Targets that take turns at the rows most like them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import Budget, Rows
from curation.selection.vectors import Vectors, products

BLOCK = 8192
"""Rows compared with all targets at once."""


@dataclass(frozen=True)
class Matches:
    """What the targets took."""

    rows: Rows
    """In the order of taking."""
    target: Rows
    """Who took each of them."""
    best: NDArray[np.float64]
    """[n]: every row's largest similarity to a target."""


def round_robin(vectors: Vectors, targets: Vectors, budget: Budget) -> Matches:
    """Targets float32 [m, d] in turn take their most similar row of vectors [n, d] that is left and whose quota has
    room, ties to the earlier row, until the budget cannot pay for what comes next.

    Each target holds a list of its best rows only, of the length that its turns need and some more; one that runs out
    is made again, longer, without what has been taken. So memory is m lists, and the result that of a full sort.
    """
    n, m = len(vectors), len(targets)
    free = np.ones(n, dtype=bool)
    turns = -(-min(budget.limit, n) // max(m, 1))
    length = min(n, 4 * turns + 64)
    lists, best = _lists(vectors, targets, np.arange(m), free, length)
    cursor = np.zeros(m, dtype=np.int64)
    room = budget.most.copy()
    rows: list[int] = []
    taken_by: list[int] = []
    cost_so_far = 0
    waiting = m > 0 and n > 0
    while waiting:
        waiting = False
        for target in range(m):
            row = -1
            while row < 0:
                nearest_rows = lists[target]
                while cursor[target] < len(nearest_rows) and not (
                    free[nearest_rows[cursor[target]]] and room[budget.group[nearest_rows[cursor[target]]]] != 0
                ):
                    cursor[target] += 1
                if cursor[target] < len(nearest_rows):
                    row = int(nearest_rows[cursor[target]])
                    break
                able = free & (room != 0)[budget.group]
                if not able.any():
                    break
                length = min(n, 2 * length)
                lists[target] = _lists(vectors, targets, np.array([target]), able, length)[0][0]
                cursor[target] = 0
            if row < 0:
                continue
            if cost_so_far + budget.cost[row] > budget.limit:
                return Matches(np.array(rows, dtype=np.int64), np.array(taken_by, dtype=np.int64), best)
            cost_so_far += int(budget.cost[row])
            room[budget.group[row]] -= 1
            free[row] = False
            rows.append(row)
            taken_by.append(target)
            waiting = True
    return Matches(np.array(rows, dtype=np.int64), np.array(taken_by, dtype=np.int64), best)


def _lists(
    vectors: Vectors, targets: Vectors, wanted: Rows, able: NDArray[np.bool_], length: int
) -> tuple[list[Rows], NDArray[np.float64]]:
    """For each wanted target the `length` most similar able rows, best first; and every row's best similarity to
    any."""
    held = [(np.zeros(0), np.zeros(0, dtype=np.int64)) for _ in wanted]
    best = np.full(len(vectors), -np.inf)
    for start in range(0, len(vectors), BLOCK):
        similarity = products(vectors[start : start + BLOCK], targets[wanted])
        best[start : start + BLOCK] = similarity.max(axis=1, initial=-np.inf)
        block = np.flatnonzero(able[start : start + BLOCK])
        for column, (value, row) in enumerate(held):
            here = similarity[block, column]
            new = np.flatnonzero(here > value[-1]) if len(value) == length else np.arange(len(here))
            value, row = np.append(value, here[new]), np.append(row, start + block[new])
            order = np.lexsort((row, -value))[:length]
            held[column] = value[order], row[order]
    return [row for _, row in held], best
