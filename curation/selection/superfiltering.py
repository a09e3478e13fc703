"""`select: superfiltering`: instruction pairs whose answer is hard to foresee from the instruction, by a small
model."""

from __future__ import annotations

from typing import Annotated

import numpy as np
from pydantic import Field

from curation.scorers.base import Scorer
from curation.selection.base import Budget, BudgetSettings, Choice, Choosing, Pool, part_of, within
from curation.selection.explain import unselected
from curation.selection.facility_location import Form, located

NOT_BELOW = "ifd_not_below"
BELOW_POOL = "below_pool"


class SuperfilteringSettings(BudgetSettings):
    by: str
    """The ratio, a dotted column of an earlier stage such as ifd.ifd_ppl."""
    below: float = 1.0
    """Ratios from here on mean that the instruction does not help at all: such pairs are never chosen."""
    model: str | None = None
    """For the diverse form: address of the sentence-transformers model that says how alike pairs are."""
    pool_fraction: Annotated[float, Field(gt=0.0, le=1.0)] = 0.2
    """For the diverse form: the best share of all documents, among which facility location then chooses."""
    embed: list[str] = Field(default=["text"], min_length=1)
    """Of the diverse form: input columns that are read together."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens read from the start; default: the model's own limit."""
    form: Form = "auto"
    """As in `facility-location`: dense, sparse, two-round, or by the number of documents."""
    neighbours: Annotated[int, Field(ge=1)] = 64
    """Of each document, in the sparse form, itself among them."""
    seed: int = 0
    """Of the parts of the form two-round."""


class Superfiltering(Choosing):
    """Pairs with a ratio below 1, those with the highest ratio first (Li et al. 2024, arXiv 2402.00530).

    A fraction is of all documents that reach the stage, as in the paper. With `model` the diverse form,
    Superfiltering.D: of the best `pool_fraction`, those that together stand for all of them (`facility-location`). Ties
    go to the earlier document.
    """

    kind = "superfiltering"
    version = 1
    barred = (*Choosing.barred, NOT_BELOW, BELOW_POOL)
    Settings = SuperfilteringSettings

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.settings.by,)

    def requires(self) -> dict[str, Scorer]:
        found = super().requires()
        return found if self.settings.model is None else {**found, "vectors": self.embedding()}

    def choose(self, pool: Pool) -> Choice:
        chosen = self.settings
        ratio = pool.columns[chosen.by]
        hard = ratio < chosen.below
        rows = np.flatnonzero(pool.usable() & hard)
        order = rows[np.argsort(-ratio[rows], kind="stable")]
        budget = pool.budget(chosen)
        if chosen.model is None:
            choice = unselected(pool, rows, within(order, budget), ratio, budget, {})
        else:
            best = np.sort(within(order, Budget.rows(pool.rows, part_of(chosen.pool_fraction, pool.rows))))
            choice = located(pool, best, budget, chosen)
            choice.facts["pool"] = len(best)
            assert choice.reason is not None
            choice.reason[np.setdiff1d(rows, best)] = BELOW_POOL
        assert choice.reason is not None
        choice.reason[~np.isnan(ratio) & ~hard] = NOT_BELOW
        choice.facts["not_below"] = int((~np.isnan(ratio) & ~hard).sum())
        return choice
