"""Exact bounds on a share of which some cases were seen (Clopper and Pearson 1934)."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta


def upper_bound(wrong: np.ndarray | int, rows: np.ndarray | int, delta: float) -> np.ndarray:
    """Clopper-Pearson upper bound on a share of which `wrong` of `rows` were seen; 1 where there are no rows.

    Exact one-sided interval (Clopper and Pearson 1934): the delta-quantile from above of Beta(wrong + 1, rows - wrong).
    """
    wrong, rows = np.asarray(wrong, dtype=np.float64), np.asarray(rows, dtype=np.float64)
    right = np.maximum(rows - wrong, 0)
    bound = beta.ppf(1 - delta, wrong + 1, np.where(right > 0, right, 1))
    return np.asarray(np.where(right > 0, bound, 1.0))


def lower_bound(right: int, rows: int, delta: float) -> float:
    """Clopper-Pearson lower bound on a share of which `right` of `rows` were seen; 0 where there are none."""
    return float(beta.ppf(delta, right, rows - right + 1)) if right else 0.0


def rows_needed(error: float, delta: float) -> int:
    """Rows without an error that certify `error` at `delta`: the least n with (1 - error)^n <= delta."""
    return int(np.ceil(np.log(delta) / np.log1p(-error)))
