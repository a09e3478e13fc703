"""Of what a choice left out: why, and which chosen document stands for it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.selection.base import NO_SCORE, NO_VECTOR, NOT_SELECTED, QUOTA, Budget, Choice, Pool, Rows
from curation.selection.vectors import nearest


def unselected(
    pool: Pool, rows: Rows, picked: Rows, value: NDArray[np.float64], budget: Budget, facts: dict[str, Any]
) -> Choice:
    """A choice with a reason for each row that is not among `picked`, and where there are vectors its nearest pick.

    `rows` are those that could be chosen; others have no vector, or no score where they have one.
    """
    reason = np.full(pool.rows, NO_SCORE, dtype=object)
    reason[~pool.usable()] = NO_VECTOR
    reason[rows] = NOT_SELECTED
    taken = np.bincount(budget.group[picked], minlength=len(budget.most))
    full = (budget.most >= 0) & (taken >= budget.most)
    reason[rows[full[budget.group[rows]]]] = QUOTA
    choice = Choice(picked, value, reason, facts=facts)
    if pool.vectors is not None:
        usable = np.flatnonzero(pool.usable())
        order = np.sort(picked)
        place, similarity = nearest(pool.vectors[usable], pool.vectors[order])
        choice.twin = np.full(pool.rows, -1, dtype=np.int64)
        choice.twin[usable] = order[place] if len(order) else -1
        choice.similarity = np.full(pool.rows, np.nan)
        choice.similarity[usable] = similarity
        choice.twin[picked] = -1  # a document does not stand for itself
        choice.similarity[picked] = np.nan
    return choice
