"""`select: cluster-quota`: as much of each cluster of documents as of any other, or in proportion."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pydantic import Field

from curation.selection.base import Choice, Choosing, Pool, Rows, VectorSettings, spread, within
from curation.selection.explain import unselected
from curation.selection.spherical_kmeans import spherical_kmeans


class ClusterQuotaSettings(VectorSettings):
    clusters: Annotated[int, Field(ge=1)] = 100
    """How many there are."""
    share: Literal["equal", "proportional"] = "equal"
    """equal: documents of small clusters are likelier to be chosen; proportional: each cluster gives the same share."""
    by: str | None = None
    """Dotted column of an earlier stage that ranks within a cluster; default: nearest to the centroid first."""
    lowest: bool = False
    """Whether the lowest values of `by` are the best ones."""
    iterations: Annotated[int, Field(ge=1)] = 20
    """Of k-means, at most."""
    seed: int = 0
    """Of the first centroids."""


class ClusterQuota(Choosing):
    """Clusters by spherical k-means; each in turn gives its best document until the budget is spent (equal), or the
    order by rank within the cluster over its size (proportional). Small2Large (arXiv 2402.10430) takes the lowest share
    of each of 1,000 clusters so. `value` is the score within the cluster. Ties go to the earlier document.
    """

    kind = "cluster-quota"
    version = 1
    Settings = ClusterQuotaSettings

    @property
    def columns(self) -> tuple[str, ...]:
        return () if self.settings.by is None else (self.settings.by,)

    @property
    def fields(self) -> list[pa.Field]:
        return [*super().fields, pa.field("cluster", pa.int32())]

    def choose(self, pool: Pool) -> Choice:
        assert pool.vectors is not None
        chosen = self.settings
        score = np.zeros(pool.rows) if chosen.by is None else pool.columns[chosen.by]
        rows = np.flatnonzero(pool.usable() & ~np.isnan(score))
        budget = pool.budget(chosen)
        label, centroids = spherical_kmeans(
            pool.vectors[rows], chosen.clusters, pool.chance(chosen.seed)[rows], chosen.iterations
        )
        if chosen.by is None:
            own = pool.vectors[rows].astype(np.float64) * centroids[label]
            score = spread(rows, np.add.reduce(own, axis=1), pool.rows, np.nan)
        ranked = score[rows] if chosen.lowest else -score[rows]
        order = rows[_turns(label, ranked, chosen.share == "proportional")]
        facts = {"clusters": len(centroids), "smallest": int(np.bincount(label, minlength=1).min())}
        picked = within(order, budget)
        choice = unselected(pool, rows, picked, score, budget, facts)
        choice.near = order[~np.isin(order, picked)]
        choice.extra["cluster"] = spread(rows, label, pool.rows, -1)
        return choice


def _turns(label: Rows, ranked: NDArray[np.float64], proportional: bool) -> Rows:
    """Rows in the order of choosing: by place within their cluster, in proportion by place over size; ties by score."""
    order = np.lexsort((np.arange(len(label)), ranked, label))
    sizes = np.bincount(label, minlength=1)
    starts = np.append(0, np.cumsum(sizes))[:-1]
    share = np.empty(len(label))
    share[order] = np.arange(len(label)) - starts[label[order]]
    if proportional:
        share = (share + 0.5) / sizes[label]
    return np.lexsort((np.arange(len(label)), ranked, share))
