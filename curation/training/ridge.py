"""Ridge regression for small heads: the same bits whatever the number of threads."""

from __future__ import annotations

import numpy as np

from curation.training.logistic import Head, Matrix, checked, dot, norm, solve, times, transposed_times
from curation.training.sparse import Sparse

TOLERANCE = 1e-10
"""Residual of the normal equations at which a fit ends, relative to the right side's norm."""


def fit(X: Matrix, y: np.ndarray, l2: float) -> Head:
    """w and b that minimise sum_i (w·x_i + b - y_i)² + l2 |w|² over X (float [n, dim]) and y (float [n]).

    By conjugate gradients on the centred normal equations. Raises ValueError when X or y is not finite, or `l2` is not
    above 0.
    """
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}, and must be above 0")
    X, y = checked(X), y.astype(np.float64)
    if not np.isfinite(y).all():
        raise ValueError("y holds NaN or infinity")
    middle = float(y.mean())
    centre = transposed_times(X, np.full(len(y), 1 / len(y))) if isinstance(X, Sparse) else X.mean(axis=0)

    def product(v: np.ndarray) -> np.ndarray:
        image = times(X, v) - dot(centre, v)
        return np.asarray(transposed_times(X, image) - centre * float(image.sum()) + l2 * v)

    residual = y - middle
    right = transposed_times(X, residual) - centre * float(residual.sum())
    weight = solve(product, right, TOLERANCE * max(norm(right), 1e-300))
    return Head(weight, middle - dot(centre, weight))
