"""Multinomial logistic regression for small heads: L2, float64, the same bits whatever the number of threads.

With rows x_i, targets t_ik that sum to 1 over classes, weights w_k and biases b_k, it minimises

    - sum_ik t_ik log softmax(W x_i + b)_k + l2 / 2 |W|²,

the biases unpenalised. Two classes are `logistic`'s problem in w = w_1 - w_0, under its own penalty, l2 / 2 |w|².
Newton's method, the system solved by conjugate gradients, as there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax, softmax

from curation.training import logistic
from curation.training.logistic import TOLERANCE, dot, norm, solve, times, transposed_times

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Heads:
    """Weight float64 [k, dim] and bias float64 [k]; of two classes the first's are 0."""

    weight: Array
    bias: Array

    def logits(self, X: np.ndarray) -> Array:
        """[n, k]; a row's values do not depend on the other rows."""
        X = X.astype(np.float64, copy=False)
        return np.stack([times(X, w) + b for w, b in zip(self.weight, self.bias, strict=True)], axis=1)

    def probabilities(self, X: np.ndarray) -> Array:
        """[n, k]"""
        return np.asarray(softmax(self.logits(X), axis=1))


def fit(X: np.ndarray, target: Array, l2: float) -> Heads:
    """Fit to X (float [n, dim]) and targets [n, k]; rows that sum to 1.

    Raises ValueError where a class has no weight at all, X is not finite, or `l2` is not above 0, and ArithmeticError
    when it does not converge.
    """
    classes = target.shape[1]
    target = target / target.sum(axis=1, keepdims=True)
    if not l2 > 0:
        raise ValueError(f"l2 is {l2}, and must be above 0")
    if (target.sum(axis=0) == 0).any():
        raise ValueError("a class is absent from the targets")
    if classes == 2:
        head = logistic.fit(X, target[:, 1], l2, balanced=False)
        weight, bias = np.zeros((2, X.shape[1])), np.zeros(2)
        weight[1], bias[1] = head.weight, head.bias
        return Heads(weight, bias)
    X = X.astype(np.float64, copy=False)
    if not np.isfinite(X).all():
        raise ValueError("X holds NaN or infinity")
    dim = X.shape[1]
    penalty = np.append(np.full(dim, l2), 0.0)

    def forward(parameters: Array) -> Array:
        return np.stack([times(X, row[:dim]) + row[dim] for row in parameters.reshape(classes, -1)], axis=1)

    def backward(residuals: Array) -> Array:
        # They sum to 0 in each row. What rounding leaves of that lies where there is no curvature: a bias for all.
        residuals = residuals - residuals.mean(axis=1, keepdims=True)
        return np.concatenate([np.append(transposed_times(X, r), r.sum()) for r in residuals.T])

    def penalised(parameters: Array) -> Array:
        return np.asarray((parameters.reshape(classes, -1) * penalty).ravel())

    def loss(parameters: Array) -> float:
        fitted = -(target * log_softmax(forward(parameters), axis=1)).sum()
        return float(fitted) + 0.5 * dot(penalised(parameters), parameters)

    parameters, first = np.zeros(classes * (dim + 1)), None
    for _ in range(100):
        p = softmax(forward(parameters), axis=1)
        gradient = backward(p - target) + penalised(parameters)
        size = norm(gradient)
        first = size if first is None else first
        if size <= TOLERANCE * max(first, 1e-300):
            found = parameters.reshape(classes, -1)
            return Heads(found[:, :dim].copy(), found[:, dim] - found[:, dim].mean())

        def curved(v: Array, p: Array = p) -> Array:
            moved = p * forward(v)
            return backward(moved - p * moved.sum(axis=1, keepdims=True)) + penalised(v)

        step = solve(curved, -gradient, min(0.1, np.sqrt(size / first)) * size)
        parameters = logistic._descend(loss, parameters, step, gradient)
    raise ArithmeticError(f"the heads did not converge in 100 steps: gradient {size}, at the start {first}")
