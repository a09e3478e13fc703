"""`select: deita`: the best documents, none of them too much like a better one."""

from __future__ import annotations

from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator

from curation.selection.base import NO_SCORE, NO_VECTOR, NOT_SELECTED, QUOTA, Choice, Choosing, Pool, VectorSettings
from curation.selection.threshold import calibrated, distinct

TOO_SIMILAR = "too_similar"


class DeitaSettings(VectorSettings):
    complexity: str
    """Dotted column of an earlier stage."""
    quality: str | None = None
    """Another one; the score is their product, or `complexity` alone."""
    limit: Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Largest cosine between two chosen documents; the paper's 0.9 holds for its own encoder."""
    limit_percentile: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """The same as a share of random pairs that are less alike, so that it means one thing for every encoder; 0.999
    unless `limit` is given."""
    seed: int = 0
    """Of the random pairs."""

    @model_validator(mode="after")
    def _one_limit(self) -> DeitaSettings:
        if self.limit is not None and self.limit_percentile is not None:
            raise ValueError("give limit or limit_percentile, not both")
        return self


class Deita(Choosing):
    """Documents in descending order of complexity × quality, each taken unless its cosine to one that was taken is
    above the limit, until the budget is spent (Liu et al. 2024, arXiv 2312.15685).

    Evol complexity and quality of the paper are expectations over the digits of a fine-tuned model; here they are any
    two columns. Scores of conversations are folded by the scorer's `turns:`; the paper sums, which favours long ones.
    Ties go to the earlier document.
    """

    kind = "deita"
    version = 1
    Settings = DeitaSettings

    @property
    def columns(self) -> tuple[str, ...]:
        chosen = self.settings
        return (chosen.complexity,) if chosen.quality is None else (chosen.complexity, chosen.quality)

    def choose(self, pool: Pool) -> Choice:
        assert pool.vectors is not None
        chosen = self.settings
        score = np.ones(pool.rows)
        for name in self.columns:
            score = score * pool.columns[name]
        usable = pool.usable()
        rows = np.flatnonzero(usable & ~np.isnan(score))
        limit = chosen.limit
        facts: dict[str, Any] = {}
        if limit is None:
            share = 0.999 if chosen.limit_percentile is None else chosen.limit_percentile
            limit = calibrated(pool.vectors[rows], pool.chance(chosen.seed)[rows], share)
            facts["limit_percentile"] = share
        facts["limit"] = limit
        budget = pool.budget(chosen)
        order = rows[np.argsort(-score[rows], kind="stable")]
        picks = distinct(pool.vectors, order, limit, budget)
        reason = np.full(pool.rows, NO_SCORE, dtype=object)
        reason[~usable] = NO_VECTOR
        reason[rows] = NOT_SELECTED
        reason[picks.full] = QUOTA
        reason[np.flatnonzero(picks.twin >= 0)] = TOO_SIMILAR
        return Choice(picks.picked, score, reason, picks.twin, picks.similarity, facts=facts)
