"""`select: facility-location`: the documents that together stand for all others."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from curation.selection.base import Budget, Choice, Choosing, Pool, Rows, VectorSettings, spread
from curation.selection.explain import unselected
from curation.selection.vectors import Vectors

DENSE = 20_000
"""Rows up to which all similarities are held: 1.6 GB."""
SPARSE = 200_000
"""Rows up to which all are compared, and the nearest kept."""

Form = Literal["auto", "dense", "sparse", "two-round"]


class FacilityLocationSettings(VectorSettings):
    form: Form = "auto"
    """dense: all similarities; sparse: those to each document's nearest neighbours; two-round: in random parts first,
    then among what they chose; auto: by the number of documents."""
    neighbours: Annotated[int, Field(ge=1)] = 64
    """Of each document, in the sparse form, itself among them."""
    seed: int = 0
    """Of the parts."""


class FacilityLocation(Choosing):
    """Maximises f(S) = Σ_i max_{j ∈ S} max(0, cos(i, j)) greedily (arXiv 2402.00530 uses it on instruction data).

    Up to DENSE documents the value is within 1 - 1/e of the best set's. Beyond, the guarantee is weaker, and the report
    says which one holds: sparse is within 1 - 1/e of the best for the similarities that it keeps; two rounds choose
    `count` of each random part and then of their union where that is small enough (Barbosa et al. 2015: half of 1 - 1/e
    in expectation), fewer of each otherwise, without a guarantee. Ties go to the earlier document. Documents of quotas
    that are full are passed over, which leaves a guarantee of one half.
    """

    kind = "facility-location"
    version = 1
    Settings = FacilityLocationSettings

    def choose(self, pool: Pool) -> Choice:
        rows = np.flatnonzero(pool.usable())
        return located(pool, rows, pool.budget(self.settings), self.settings)


def located(pool: Pool, rows: Rows, budget: Budget, settings: Any) -> Choice:
    """Facility location among some rows of a pool; `settings` as of `FacilityLocationSettings`."""
    assert pool.vectors is not None
    vectors = pool.vectors[rows]
    form = settings.form
    if form == "auto":
        form = "dense" if len(rows) <= DENSE else "sparse" if len(rows) <= SPARSE else "two-round"
    facts: dict[str, Any] = {"form": form}
    row_budget = budget.of(rows)
    if form == "two-round":
        picked, value, facts = _two_rounds(vectors, row_budget, pool.chance(settings.seed)[rows], facts)
    else:
        picked, value = _once(vectors, row_budget, form, settings.neighbours)
        facts["guarantee"] = "value at least 1 - 1/e of the best set's"
        if form == "sparse":
            facts["guarantee"] += f", counting similarities to {settings.neighbours} nearest neighbours only"
            facts["neighbours"] = settings.neighbours
    if (budget.most >= 0).any():
        facts["guarantee"] = "at least one half of the best set's value within the quotas"
    gain = spread(rows, value, pool.rows, np.nan)
    facts["objective"] = float(np.nansum(value[picked]))
    return unselected(pool, rows, rows[picked], gain, budget, facts)


def _once(vectors: Vectors, budget: Budget, form: str, count: int) -> tuple[Rows, np.ndarray]:
    """Places of the picks in their order, and for each row its gain: when it was picked, or what it would add now."""
    from curation.selection.greedy import facility_location, facility_location_sparse
    from curation.selection.neighbours import dense, neighbours

    if form == "dense":
        picks = facility_location(dense(vectors), budget)
    else:
        picks = facility_location_sparse(*neighbours(vectors, count), budget)
    value = picks.left.copy()
    value[picks.rows] = picks.gains
    return picks.rows, value


def _two_rounds(
    vectors: Vectors, budget: Budget, chance: np.ndarray, facts: dict[str, Any]
) -> tuple[Rows, np.ndarray, dict[str, Any]]:
    n = len(vectors)
    parts = -(-n // DENSE)
    part = (np.argsort(np.argsort(chance, kind="stable"), kind="stable") * parts) // n
    each = budget.limit
    if int(budget.cost.max(initial=1)) == 1 and each * parts > DENSE:
        each = max(1, DENSE // parts)
        facts["guarantee"] = f"none: {each} of each of {parts} random parts went into the second round"
    else:
        facts["guarantee"] = f"half of 1 - 1/e of the best set's value, in expectation over {parts} random parts"
    chosen = []
    value = np.full(n, np.nan)
    for number in range(parts):
        rows = np.flatnonzero(part == number)
        one = budget.of(rows)
        picked, gains = _once(vectors[rows], Budget(one.cost, each, one.group, one.most), "dense", 0)
        chosen.append(rows[picked])
        value[rows] = gains
    union = np.sort(np.concatenate(chosen))
    form = "dense" if len(union) <= DENSE else "sparse"
    picked, gains = _once(vectors[union], budget.of(union), form, 64)
    value[union] = gains
    return union[picked], value, {**facts, "parts": parts, "second_round": len(union)}
