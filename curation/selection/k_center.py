"""`select: k-center`: documents such that none is far from a chosen one."""

from __future__ import annotations

import numpy as np

from curation.selection.base import Choice, Choosing, Pool, VectorSettings, spread
from curation.selection.explain import unselected


class KCenterSettings(VectorSettings):
    seed: int = 0
    """Of the first document."""


class KCenter(Choosing):
    """From a random document on, always the one that is farthest from all chosen ones (Gonzalez 1985; MoDS, arXiv
    2311.15653).

    The covering radius, the largest distance of any document to its nearest chosen one, is at most twice the smallest
    possible. It runs after outliers: filter by quality first. `value` is the distance to what was chosen before (to
    what is chosen, of those left out), Euclidean between unit vectors: √(2 - 2 cos).
    """

    kind = "k-center"
    version = 1
    Settings = KCenterSettings

    def choose(self, pool: Pool) -> Choice:
        from curation.selection.greedy import k_center

        assert pool.vectors is not None
        rows = np.flatnonzero(pool.usable())
        budget = pool.budget(self.settings)
        row_budget = budget.of(rows)
        able = np.flatnonzero((row_budget.most != 0)[row_budget.group])
        if not len(able):
            return unselected(pool, rows, rows[:0], np.full(pool.rows, np.nan), budget, {})
        chance = pool.chance(self.settings.seed)[rows][able]
        picks = k_center(pool.vectors[rows], int(able[np.argmin(chance)]), row_budget)
        value = picks.left.copy()
        value[picks.rows] = picks.gains
        facts = {
            "radius": float(np.nanmax(picks.left, initial=0.0)) if len(picks.rows) else None,
            "guarantee": "covering radius at most twice the smallest possible",
        }
        return unselected(pool, rows, rows[picks.rows], spread(rows, value, pool.rows, np.nan), budget, facts)
