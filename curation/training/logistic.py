"""Logistic regression for small heads: L2, float64, the same bits whatever the number of threads.

With rows x_i, targets y_ik in [0, 1] at thresholds k and weights c_ik, it minimises

    sum_ik c_ik [log(1 + exp(w·x_i + b_k)) - y_ik (w·x_i + b_k)] + l2 / 2 |w|²,

the biases b_k unpenalised. One threshold is logistic regression (with c = n / (2 n_class) scikit-learn's
`LogisticRegression(C=1 / l2, class_weight="balanced")`); several that share w are an ordinal one, with proportional
odds. It is strictly convex in w, so the answer does not depend on the way there. The way is Newton's method with the
system solved by conjugate gradients. Every product is an elementwise numpy operation and a sum along one axis: BLAS
would split its sums by threads.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from curation.training.sparse import Sparse

TOLERANCE = 1e-9
"""The gradient's norm at which a fit ends, relative to its norm at zero."""
_BLOCK = 4096
"""Rows that are multiplied at once: a temporary copy of a large X would leave the caches."""

Array = NDArray[np.float64]
Matrix = np.ndarray | Sparse
"""Rows [n, dim]."""


@dataclass(frozen=True)
class Head:
    """A linear head: weight float64 [dim], bias float64."""

    weight: np.ndarray
    bias: float

    def logits(self, X: Matrix) -> np.ndarray:
        """w·x + b of each row of X [n, dim], float64 [n]; a row's value does not depend on the other rows."""
        return np.asarray(
            times(X if isinstance(X, Sparse) else X.astype(np.float64, copy=False), self.weight) + self.bias
        )


def fit(X: Matrix, y: np.ndarray, l2: float, *, balanced: bool = True, bias: bool = True) -> Head:
    """Fit a head to X (float [n, dim]) and y (bool [n], or float in [0, 1]). Order matters to the last bits only.

    `balanced` weighs both classes alike, by the sums of y and 1 - y; without `bias`, it is 0. Raises ValueError when a
    class is absent, X is not finite, or `l2` is not above 0 (the optimum may then lie at infinity), and ArithmeticError
    when it does not converge.
    """
    target = y.astype(np.float64)
    positives, n = float(target.sum()), len(y)
    if positives in (0, n):
        raise ValueError(f"a head needs both classes, and {int(positives)} of {n} rows are positive")
    weight = np.ones(n)
    if balanced:
        weight = target * n / (2 * positives) + (1 - target) * n / (2 * (n - positives))
    w, b = _minimise(X, target[:, None], weight[:, None], l2, bias)
    return Head(w, float(b[0]))


def fit_ordinal(X: Matrix, levels: np.ndarray, l2: float) -> tuple[Array, Array]:
    """Weight [dim] and biases [K - 1] of an ordinal head: P(level > k) = sigmoid(w·x + b_k).

    `levels` int [n], from 0 to K - 1, each of them somewhere. Raises as `fit`.
    """
    count = int(levels.max()) + 1
    target = (levels[:, None] > np.arange(count - 1)).astype(np.float64)
    if count < 2 or (target.sum(axis=0) == 0).any() or len(np.unique(levels)) < count:
        raise ValueError(f"an ordinal head needs two levels or more, each with a row; found {np.unique(levels)}")
    return _minimise(X, target, np.ones_like(target), l2, True)


def _minimise(X: Matrix, target: Array, balance: Array, l2: float, bias: bool) -> tuple[Array, Array]:
    """w [dim] and b [thresholds] for targets and weights [n, thresholds]."""
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}, and must be above 0")
    X = checked(X)
    dim, thresholds = X.shape[1], target.shape[1]
    penalty = np.concatenate([np.full(dim, l2), np.zeros(thresholds)])
    free = np.concatenate([np.ones(dim), np.full(thresholds, float(bias))])
    """1 where a parameter may move."""

    def forward(parameters: Array) -> Array:
        return np.asarray(times(X, parameters[:dim])[:, None] + parameters[dim:])

    def backward(residuals: Array) -> Array:
        each = np.concatenate([transposed_times(X, residuals.sum(axis=1)), residuals.sum(axis=0)])
        return np.asarray(each * free)

    def loss(parameters: Array) -> float:
        logits = forward(parameters)
        per_row = np.logaddexp(0.0, logits) - target * logits
        return float((balance * per_row).sum()) + 0.5 * dot(penalty, parameters * parameters)

    parameters = np.zeros(dim + thresholds)
    start_norm = None
    for _ in range(100):
        probability = sigmoid(forward(parameters))
        gradient = backward(balance * (probability - target)) + penalty * parameters
        size = norm(gradient)
        start_norm = size if start_norm is None else start_norm
        if size <= TOLERANCE * max(start_norm, 1e-300):
            return parameters[:dim].copy(), parameters[dim:].copy()
        curvature = balance * probability * (1 - probability)
        step = solve(
            lambda v, c=curvature: backward(c * forward(v)) + penalty * v,  # type: ignore[misc]
            -gradient,
            tolerance=min(0.1, np.sqrt(size / start_norm)) * size,
        )
        parameters = _descend(loss, parameters, step, gradient)
    raise ArithmeticError(f"the head did not converge in 100 steps: gradient {size}, at the start {start_norm}")


def held_out_logits(X: np.ndarray, y: np.ndarray, l2: float, folds: int) -> tuple[np.ndarray, np.ndarray]:
    """Logit of each row by a head that did not see it, and the row's fold.

    The folds are dealt out in order within each class (row i of a class is in fold i mod `folds`), so there is no
    chance in them. `folds` is at least 2 and at most the smaller class. Returns float64 [n], int64 [n].
    """
    fold = np.empty(len(y), dtype=np.int64)
    for value in (False, True):
        members = np.flatnonzero(y == value)
        fold[members] = np.arange(len(members)) % folds
    logits = np.empty(len(y))
    for k in range(folds):
        held_out = fold == k
        logits[held_out] = fit(X[~held_out], y[~held_out], l2).logits(X[held_out])
    return logits, fold


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-logit)), without overflow."""
    small = np.exp(-np.abs(logits))
    return np.asarray(np.where(logits >= 0, 1.0, small) / (1.0 + small))


def solve(product: Callable[[Array], Array], right: Array, tolerance: float) -> Array:
    """x with `product(x)` = right, for a positive definite map, by conjugate gradients to a residual norm."""
    x = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    square = dot(residual, residual)
    for _ in range(4 * len(right)):
        if np.sqrt(square) <= tolerance:
            break
        image = product(direction)
        along = dot(direction, image)
        if along <= 0:  # only rounding, or NaN, makes it so
            break
        x += (square / along) * direction
        residual -= (square / along) * image
        before, square = square, dot(residual, residual)
        direction = residual + (square / before) * direction
    return x


def _descend(loss: Callable[[Array], float], point: Array, step: Array, gradient: Array) -> Array:
    """Take the step, halved until it lowers the loss as Armijo's rule wants."""
    value, slope = loss(point), dot(gradient, step)
    size = 1.0
    # Near the optimum a step changes the loss by less than its rounding error, which must not stop it.
    slack = 1e-12 * max(abs(value), 1.0)
    while size > 1e-10 and loss(point + size * step) > value + 1e-4 * size * slope + slack:
        size /= 2
    return point + size * step


def checked(X: Matrix) -> Matrix:
    """X in float64. Raises ValueError where it is not finite."""
    if not np.isfinite(X.values if isinstance(X, Sparse) else X).all():
        raise ValueError("X holds NaN or infinity")
    return X if isinstance(X, Sparse) else X.astype(np.float64, copy=False)


def times(X: Matrix, v: Array) -> Array:
    """X v, each row summed in its own order."""
    if isinstance(X, Sparse):
        return X.times(v)
    return np.concatenate([np.zeros(0), *((X[i : i + _BLOCK] * v).sum(axis=1) for i in range(0, len(X), _BLOCK))])


def transposed_times(X: Matrix, u: Array) -> Array:
    """Xᵀ u."""
    if isinstance(X, Sparse):
        return X.transposed_times(u)
    total = np.zeros(X.shape[1])
    for i in range(0, len(X), _BLOCK):
        total += (X[i : i + _BLOCK] * u[i : i + _BLOCK, None]).sum(axis=0)
    return total


def dot(a: Array, b: Array) -> float:
    """a·b, without BLAS."""
    return float((a * b).sum())


def norm(a: Array) -> float:
    """|a|, without BLAS."""
    return float(np.sqrt(dot(a, a)))
