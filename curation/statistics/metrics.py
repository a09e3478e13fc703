"""How well scores predict labels, with intervals. Higher scores are expected to go with higher labels."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1000
BINS = 15

Scores = NDArray[np.float64]


class Interval(NamedTuple):
    """An estimate and its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def auc(scores: Scores, y: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, a tie counting one half."""
    rank = _ranks(scores)
    positives = int(y.sum())
    return float((rank[y].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))


def spearman(a: Scores, b: Scores) -> float:
    """Rank correlation, ties sharing their mean rank; NaN where one of them is constant."""
    x, y = (_ranks(side) - (len(side) + 1) / 2 for side in (a, b))
    norm = float(np.sqrt((x * x).sum() * (y * y).sum()))
    return float((x * y).sum()) / norm if norm else float("nan")


def _ranks(scores: Scores) -> Scores:
    """From 1, ties sharing their mean rank."""
    from scipy.stats import rankdata  # takes longer to import than all else that a worker needs

    return rankdata(scores)  # type: ignore[no-any-return]


def f1(predicted: NDArray[np.bool_], y: NDArray[np.bool_]) -> float:
    """2 · precision · recall / (precision + recall) of the positive class; 0 where nothing is right."""
    right = int((predicted & y).sum())
    return 2 * right / max(int(predicted.sum()) + int(y.sum()), 1)


def calibration_error(probability: Scores, y: Scores, bins: int = BINS) -> float:
    """ECE: sum over equal-width bins of their share times |mean probability - mean label| (Naeini et al. 2015)."""
    place = np.minimum((probability * bins).astype(np.int64), bins - 1)
    count = np.bincount(place, minlength=bins)
    gap = np.abs(np.bincount(place, probability, bins) - np.bincount(place, y, bins))
    return float(gap.sum() / max(count.sum(), 1))


def bootstrap(
    metric: Callable[[NDArray[np.int64]], float],
    groups: NDArray[np.int64],
    *,
    resamples: int = RESAMPLES,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """A metric of rows, and the percentile interval over resamples of whole groups (int64 [n], one of each row).

    `metric` is given row numbers, repeats among them. Near-duplicates are one group, since they are no independent
    evidence. Resamples in which the metric is NaN do not count.
    """
    random = np.random.default_rng(seed)
    order = np.argsort(groups, kind="stable")
    bounds = np.flatnonzero(np.append(True, np.diff(groups[order]) != 0))
    members = np.split(order, bounds[1:])
    single = all(len(rows) == 1 for rows in members)
    values = []
    for _ in range(resamples):
        drawn = random.integers(len(members), size=len(members))
        rows = order[drawn] if single else np.concatenate([members[place] for place in drawn])
        values.append(metric(rows))
    known = np.array(values)[~np.isnan(values)]
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2]) if len(known) else (np.nan, np.nan)
    return Interval(metric(np.arange(len(groups))), float(low), float(high))
