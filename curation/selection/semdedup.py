"""`select: semdedup`: documents without those whose meaning another one has (Abbas et al. 2023, arXiv 2303.09540)."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from curation.scorers.base import Scorer, Settings
from curation.selection.base import NO_VECTOR, Budget, Choice, Choosing, Pool, Rows
from curation.selection.spherical_kmeans import spherical_kmeans
from curation.selection.threshold import distinct
from curation.selection.vectors import BLOCK, Vectors, products

SEMANTIC = "semantic_duplicate"
SAMPLE = 1000
"""Documents for which all others are looked through, to tell what clusters hide."""


class SemDedupSettings(Settings):
    model: str
    """Address of a sentence-transformers model."""
    embed: list[str] = Field(default=["text"], min_length=1)
    """Input columns that are read together."""
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    """Tokens read from the start; default: the model's own limit."""
    epsilon: Annotated[float, Field(gt=0.0, lt=2.0)] = 0.05
    """Documents of a cluster are one where their cosine is above 1 - epsilon."""
    clusters: Annotated[int, Field(ge=1)] | None = None
    """Documents are compared within them; default: one for each thousand."""
    rule: Literal["greedy", "official"] = "greedy"
    """official: a document also goes for one that itself went, so that chains vanish but for their first; the report
    says of how many that is true."""
    seed: int = 0
    """Of the clusters."""


class SemDedup(Choosing):
    """Within each cluster of a spherical k-means, from the farthest to the nearest of the centroid ("keep hard"), a
    document goes whose cosine to one before it is above 1 - ε: one that stayed (greedy), or any (official).

    Duplicates in two clusters are not found; the report says how many a sample of SAMPLE documents has. Exact copies
    leave exactly one. `value` is the distance to the centroid, 1 - cos.
    """

    kind = "semdedup"
    version = 2
    Settings = SemDedupSettings

    def requires(self) -> dict[str, Scorer]:
        return {"vectors": self.embedding()}

    def choose(self, pool: Pool) -> Choice:
        assert pool.vectors is not None
        chosen = self.settings
        rows = np.flatnonzero(pool.usable())
        vectors = pool.vectors[rows]
        count = chosen.clusters or max(1, len(rows) // 1000)
        chance = pool.chance(chosen.seed)[rows]
        label, centroids = spherical_kmeans(vectors, count, chance)
        far = 1.0 - np.add.reduce(vectors.astype(np.float64) * centroids[label], axis=1)
        limit = 1.0 - chosen.epsilon
        twin = np.full(len(rows), -1, dtype=np.int64)
        likeness = np.full(len(rows), np.nan)
        order = np.lexsort((np.arange(len(rows)), -far, label))
        starts = np.append(np.searchsorted(label[order], np.arange(len(centroids))), len(rows))
        rule = greedy if chosen.rule == "greedy" else official
        for start, end in pairwise(starts):
            members = order[start:end]
            twin_in_cluster, similarity = rule(vectors[members], limit)
            gone = twin_in_cluster >= 0
            if chosen.rule == "official":
                twin_in_cluster[gone], similarity[gone] = _closest(
                    vectors[members], np.flatnonzero(gone), np.flatnonzero(~gone)
                )
            twin[members[gone]], likeness[members[gone]] = members[twin_in_cluster[gone]], similarity[gone]
        stays = twin < 0
        chained = int((likeness[~stays] <= limit).sum())
        facts: dict[str, Any] = {"clusters": len(centroids), "dropped_through_chains": chained}
        facts |= _missed(vectors, stays, limit, chance)
        value = np.full(pool.rows, np.nan)
        value[rows] = far
        reason = np.full(pool.rows, NO_VECTOR, dtype=object)
        reason[rows] = SEMANTIC
        choice = Choice(rows[stays], value, reason, facts=facts)
        choice.twin = np.full(pool.rows, -1, dtype=np.int64)
        choice.twin[rows[~stays]] = rows[twin[~stays]]
        choice.similarity = np.full(pool.rows, np.nan)
        choice.similarity[rows] = likeness
        left = np.flatnonzero(~stays)
        choice.near = rows[left[np.argsort(likeness[left], kind="stable")]]
        return choice


def greedy(vectors: Vectors, limit: float) -> tuple[Rows, NDArray[np.float64]]:
    """For each row, in order, the row that stayed before it and is more similar than `limit` (the most similar, ties to
    the earlier), -1 where it stays; and the similarity."""
    found = distinct(vectors, np.arange(len(vectors)), limit, Budget.rows(len(vectors), len(vectors)))
    return found.twin, found.similarity


def official(vectors: Vectors, limit: float) -> tuple[Rows, NDArray[np.float64]]:
    """The same where rows that went count too."""
    twin = np.full(len(vectors), -1, dtype=np.int64)
    likeness = np.full(len(vectors), np.nan)
    for start in range(0, len(vectors), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        similarity = products(vectors[rows], vectors[: rows[-1] + 1])
        similarity[np.arange(rows[-1] + 1) >= rows[:, None]] = -np.inf
        best = similarity.argmax(axis=1)
        value = similarity[np.arange(len(rows)), best]
        gone = value > limit
        twin[rows[gone]], likeness[rows[gone]] = best[gone], value[gone]
    return twin, likeness


def _closest(vectors: Vectors, gone: Rows, stay: Rows) -> tuple[Rows, NDArray[np.float64]]:
    """Of each row that goes, the most similar one that stays (ties to the earlier), and the similarity: what it is said
    to go for is always in the choice, however unlike it."""
    twin = np.empty(len(gone), dtype=np.int64)
    likeness = np.empty(len(gone))
    for start in range(0, len(gone), BLOCK):
        span = slice(start, start + BLOCK)
        similarity = products(vectors[gone[span]], vectors[stay])
        best = similarity.argmax(axis=1)
        twin[span], likeness[span] = stay[best], similarity[np.arange(len(best)), best]
    return twin, likeness


def _missed(vectors: Vectors, stays: NDArray[np.bool_], limit: float, chance: NDArray[np.uint64]) -> dict[str, Any]:
    """Of a sample of what stays, how many have a duplicate that stays too, in another cluster."""
    kept = np.flatnonzero(stays)
    sample = kept[np.argsort(chance[kept], kind="stable")[:SAMPLE]]
    alike = np.zeros(len(sample), dtype=np.int64)
    for start in range(0, len(kept), 16 * BLOCK):
        alike += (products(vectors[sample], vectors[kept[start : start + 16 * BLOCK]]) > limit).sum(axis=1)
    return {"checked": len(sample), "with_a_duplicate_elsewhere": int((alike > 1).sum())}  # each is like itself
