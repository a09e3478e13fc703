"""Logistic regression for small heads: class-balanced, L2, float64, the same bits whatever the number of threads.

With rows x_i, labels y_i in {0, 1} and class weights c_i = n / (2 n_class), it minimises

    sum_i c_i log(1 + exp(-s_i (w·x_i + b))) + l2 / 2 |w|²,    s_i = 2 y_i - 1,

the bias b unpenalised: scikit-learn's `LogisticRegression(C=1 / l2, class_weight="balanced")`. It is strictly convex in
w, so the answer does not depend on the way there. The way is Newton's method with the system solved by conjugate
gradients. Every product is an elementwise numpy operation and a sum along one axis: BLAS would split its sums by
threads.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

TOLERANCE = 1e-9
"""The gradient's norm at which a fit ends, relative to its norm at zero."""


@dataclass(frozen=True)
class Head:
    """A linear head: weight float64 [dim], bias float64."""

    weight: np.ndarray
    bias: float

    def logits(self, X: np.ndarray) -> np.ndarray:
        """w·x + b of each row of X [n, dim], float64 [n]; a row's value does not depend on the other rows."""
        return np.asarray(_times(X.astype(np.float64, copy=False), self.weight) + self.bias)


def fit(X: np.ndarray, y: np.ndarray, l2: float) -> Head:
    """Fit a head to X (float [n, dim]) and y (bool [n]). Order matters to the last bits only.

    Raises ValueError when a class is absent, X is not finite, or `l2` is not above 0 (the optimum may then lie at
    infinity), and ArithmeticError when it does not converge.
    """
    positives, n = int(y.sum()), len(y)
    if positives in (0, n):
        raise ValueError(f"a head needs both classes, and {positives} of {n} rows are positive")
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}, and must be above 0")
    if not np.isfinite(X).all():
        raise ValueError("X holds NaN or infinity")
    # A column of ones makes the bias one more weight, with a penalty of 0.
    X = np.column_stack([X.astype(np.float64), np.ones(n)])
    target = y.astype(np.float64)
    balance = np.where(y, n / (2 * positives), n / (2 * (n - positives)))
    penalty = np.full(X.shape[1], l2)
    penalty[-1] = 0.0

    weight = np.zeros(X.shape[1])
    start_norm = None
    for _ in range(100):
        logits = _times(X, weight)
        probability = sigmoid(logits)
        gradient = _transposed_times(X, balance * (probability - target)) + penalty * weight
        norm = _norm(gradient)
        start_norm = norm if start_norm is None else start_norm
        if norm <= TOLERANCE * max(start_norm, 1e-300):
            return Head(weight[:-1].copy(), float(weight[-1]))
        curvature = balance * probability * (1 - probability)
        step = _solve(X, curvature, penalty, -gradient, tolerance=min(0.1, np.sqrt(norm / start_norm)) * norm)
        weight = _descend(X, target, balance, penalty, weight, step, gradient)
    raise ArithmeticError(f"the head did not converge in 100 steps: gradient {norm}, at the start {start_norm}")


def auc(scores: np.ndarray, y: np.ndarray) -> float:
    """Area under the ROC curve: the chance that a positive scores above a negative, a tie counting one half."""
    _, inverse, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank, from 1, of each group of ties
    positives = int(y.sum())
    return float((rank[y].sum() - positives * (positives + 1) / 2) / (positives * (len(y) - positives)))


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


def _solve(
    X: np.ndarray, curvature: np.ndarray, penalty: np.ndarray, right: np.ndarray, tolerance: float
) -> np.ndarray:
    """(Xᵀ diag(curvature) X + diag(penalty)) x = right, by conjugate gradients to a residual norm of `tolerance`."""
    x = np.zeros_like(right)
    residual = right.copy()
    direction = residual.copy()
    square = _dot(residual, residual)
    for _ in range(4 * len(right)):
        if np.sqrt(square) <= tolerance:
            break
        product = _transposed_times(X, curvature * _times(X, direction)) + penalty * direction
        along = _dot(direction, product)
        if along <= 0:  # only rounding, or NaN, makes it so: the matrix is positive definite
            break
        x += (square / along) * direction
        residual -= (square / along) * product
        before, square = square, _dot(residual, residual)
        direction = residual + (square / before) * direction
    return x


def _descend(
    X: np.ndarray,
    target: np.ndarray,
    balance: np.ndarray,
    penalty: np.ndarray,
    weight: np.ndarray,
    step: np.ndarray,
    gradient: np.ndarray,
) -> np.ndarray:
    """Take the step, halved until it lowers the loss as Armijo's rule wants."""

    def loss(candidate: np.ndarray) -> float:
        logits = _times(X, candidate)
        per_row = np.logaddexp(0.0, logits) - target * logits
        return _dot(balance, per_row) + 0.5 * _dot(penalty, candidate * candidate)

    here, slope = loss(weight), _dot(gradient, step)
    size = 1.0
    # Near the optimum a step changes the loss by less than its rounding error, which must not stop it.
    slack = 1e-12 * max(abs(here), 1.0)
    while size > 1e-10 and loss(weight + size * step) > here + 1e-4 * size * slope + slack:
        size /= 2
    return weight + size * step


def _times(X: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.asarray((X * v).sum(axis=1))


def _transposed_times(X: np.ndarray, u: np.ndarray) -> np.ndarray:
    return np.asarray((X * u[:, None]).sum(axis=0))


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum())


def _norm(a: np.ndarray) -> float:
    return float(np.sqrt(_dot(a, a)))
