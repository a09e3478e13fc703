"""Several scores of different scales as one, by rank.

A rank needs other documents, a score may not. So the pool's sample fixes, for each member, a table of quantiles; a
document's rank is its place in that table, and depends on the document and the tables alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import rankdata, spearmanr

BUCKETS = 20
"""Rank buckets of Nemotron-CC (arXiv 2412.02595): 5 % of the documents each."""
RESOLUTION = 1000
"""Steps of a quantile table: ranks are told apart to a thousandth."""


def quantile_table(scores: np.ndarray, buckets: int) -> np.ndarray:
    """Where each of `buckets` equal shares of the scores begins, float64 [buckets - 1], ascending; NaN does not count.

    `np.searchsorted(table, score, side="right")` is the bucket, 0 to buckets - 1; scores that equal a bound belong
    above it. Raises ValueError where there is no score.
    """
    ordered = np.sort(scores[~np.isnan(scores)])
    if not len(ordered):
        raise ValueError("no score to rank by")
    return np.asarray(ordered[(np.arange(1, buckets) * len(ordered)) // buckets])


def bucket(table: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Bucket of each score in a table of `quantile_table`, float64 [n], NaN for NaN."""
    return np.where(np.isnan(scores), np.nan, np.searchsorted(table, scores, side="right"))


def rank(table: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Share of the table's documents at or below each score, ties in the middle: float64 [n] in (0, 1), NaN for NaN."""
    middle = (np.searchsorted(table, scores, side="left") + np.searchsorted(table, scores, side="right") + 1) / 2
    return np.where(np.isnan(scores), np.nan, middle / (len(table) + 1))


def exact_buckets(scores: np.ndarray, buckets: int = BUCKETS) -> np.ndarray:
    """Buckets of one whole dataset, int64 [n]: sizes differ by at most 1, ties go by row. No score may be NaN."""
    order = np.lexsort((np.arange(len(scores)), scores))
    found = np.empty(len(scores), dtype=np.int64)
    found[order] = np.arange(len(scores)) * buckets // max(len(scores), 1)
    return found


def top_share(members: int, share: float = 1 / BUCKETS) -> float:
    """Documents in the top bucket of the maximum, were the members independent: 1 - (1 - share)^members.

    Equal members give `share`; what is measured lies between and says how much they agree.
    """
    return 1.0 - (1.0 - share) ** members


@dataclass(frozen=True)
class Agreement:
    """How two scores order the same documents."""

    a: str
    b: str
    rows: int
    """Documents that have both."""
    spearman: float
    """Rank correlation, ties sharing their mean rank; NaN where a score is constant."""
    overlap: dict[float, float]
    """By share kept: how much of one score's top the other's has too."""
    only_a: dict[float, int]
    """Documents of a's top that b's lacks: what a adds."""
    chance: dict[float, float]
    """The overlap of two scores that know nothing of one another: k / n."""


def agreement(scores: Mapping[str, np.ndarray], shares: Sequence[float] = (0.05, 0.1, 0.2)) -> list[Agreement]:
    """Every pair of scores against each other (methods: rank correlation alone flatters, so overlap stands beside it).

    `scores` float64 [n] each, higher is better, NaN for none. The top of a share is its floor(share * n) best of the
    documents that have both, ties by row. Pairs in the order of `scores`.
    """
    names = list(scores)
    return [_pair(a, b, scores[a], scores[b], shares) for place, a in enumerate(names) for b in names[place + 1 :]]


def agreement_of(
    documents: pa.Table, columns: Sequence[str], shares: Sequence[float] = (0.05, 0.1, 0.2)
) -> list[Agreement]:
    """`agreement` of columns of a workspace's view `documents`, named `stage.column`; `-stage.column` where lower is
    better.

    `documents` has the stages' structs: `SELECT edu, fluency FROM documents`. Raises KeyError for an unknown column.
    """
    scores = {}
    for name in columns:
        stage, _, column = name.lstrip("-").partition(".")
        struct = documents.column(stage).combine_chunks()
        struct = pa.concat_arrays(struct.chunks) if isinstance(struct, pa.ChunkedArray) else struct
        if struct.type.get_field_index(column) < 0:
            raise KeyError(name)
        values = pc.struct_field(struct, column).cast(pa.float64()).to_numpy(zero_copy_only=False)
        scores[name] = -values if name.startswith("-") else values
    return agreement(scores, shares)


def _pair(a: str, b: str, left: np.ndarray, right: np.ndarray, shares: Sequence[float]) -> Agreement:
    both = ~np.isnan(left) & ~np.isnan(right)
    left, right = left[both], right[both]
    n = len(left)
    constant = n < 2 or bool((left == left[0]).all()) or bool((right == right[0]).all())
    # best first, of equals the earlier row
    first, second = (np.lexsort((np.arange(n), -side)) for side in (left, right))
    overlap: dict[float, float] = {}
    only: dict[float, int] = {}
    for share in shares:
        k = int(share * n)
        shared = len(np.intersect1d(first[:k], second[:k]))
        overlap[share] = shared / k if k else float("nan")
        only[share] = k - shared
    return Agreement(
        a=a,
        b=b,
        rows=n,
        spearman=float("nan") if constant else float(spearmanr(left, right).statistic),
        overlap=overlap,
        only_a=only,
        chance={share: int(share * n) / n if n else float("nan") for share in shares},
    )


def learn_weights(ranks: np.ndarray, target: np.ndarray, l2: float = 1.0) -> tuple[np.ndarray, float]:
    """Ridge regression of the target's ranks on the members' ranks: weights float64 [members], and the intercept.

    `ranks` float64 [n, members] and `target` float64 [n], none NaN. Minimises |r(target) - ranks w - b|^2 + l2 |w|^2,
    r the target's ranks in (0, 1). On ranks, since the target's scale is as arbitrary as the members'.
    """
    n = len(target)
    if n < 2:
        raise ValueError(f"weights need at least 2 documents with every score, and there are {n}")
    wanted = (rankdata(target) - 0.5) / n
    centre, middle = ranks.mean(axis=0), float(wanted.mean())
    centred = ranks - centre
    # elementwise products and sums: BLAS would split its sums by threads
    gram = (centred[:, :, None] * centred[:, None, :]).sum(axis=0) + l2 * np.eye(ranks.shape[1])
    weights = np.linalg.solve(gram, (centred * (wanted - middle)[:, None]).sum(axis=0))
    return weights, middle - float((centre * weights).sum())


def describe(pairs: Sequence[Agreement]) -> list[dict[str, Any]]:
    """Plain JSON facts; None for NaN."""

    def plain(value: float) -> float | None:
        return None if np.isnan(value) else value

    return [
        {
            "a": pair.a,
            "b": pair.b,
            "rows": pair.rows,
            "spearman": plain(pair.spearman),
            "overlap": {str(share): plain(value) for share, value in pair.overlap.items()},
            "only_a": {str(share): value for share, value in pair.only_a.items()},
            "chance": {str(share): plain(value) for share, value in pair.chance.items()},
        }
        for pair in pairs
    ]
