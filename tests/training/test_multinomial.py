"""Heads of several classes: they are the optimum, agree with logistic heads on two, and do not depend on threads."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from curation.training import logistic, multinomial


@pytest.fixture
def problem() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    X = random.normal(size=(200, 5))
    return X, softmax(X @ random.normal(size=(5, 3)) + random.normal(size=(200, 3)), axis=1)


def test_three_classes_are_where_another_optimiser_ends(problem: tuple[np.ndarray, np.ndarray]) -> None:
    X, target = problem

    def loss(parameters: np.ndarray) -> float:
        W, b = parameters[:15].reshape(3, 5), parameters[15:]
        return float(-(target * log_softmax(X @ W.T + b, axis=1)).sum() + 0.5 * (W * W).sum())

    found = minimize(loss, np.zeros(18), method="BFGS", options={"gtol": 1e-6})
    heads = multinomial.fit(X, target, 1.0)
    np.testing.assert_allclose(heads.weight, found.x[:15].reshape(3, 5), atol=1e-4)
    np.testing.assert_allclose(heads.probabilities(X).sum(axis=1), 1)


def test_two_classes_are_a_logistic_head(problem: tuple[np.ndarray, np.ndarray]) -> None:
    X, target = problem
    two = target[:, :2] / target[:, :2].sum(axis=1, keepdims=True)
    head = logistic.fit(X, two[:, 1], 0.5, balanced=False)
    heads = multinomial.fit(X, two, 0.5)
    np.testing.assert_allclose(heads.probabilities(X)[:, 1], logistic.sigmoid(head.logits(X)), rtol=1e-12)


def test_hard_targets_are_learned_and_a_row_does_not_depend_on_the_others() -> None:
    random = np.random.default_rng(1)
    y = random.integers(0, 4, 300)
    X = random.normal(size=(300, 8))
    X[np.arange(300), y] += 4
    heads = multinomial.fit(X, np.eye(4)[y], 1.0)
    assert (heads.logits(X).argmax(axis=1) == y).mean() > 0.95
    assert np.array_equal(heads.logits(X)[7:8], heads.logits(X[7:8]))


def test_what_cannot_be_fitted_is_refused(problem: tuple[np.ndarray, np.ndarray]) -> None:
    X, target = problem
    with pytest.raises(ValueError, match="absent"):
        multinomial.fit(X, np.eye(3)[np.zeros(200, int)], 1.0)
    with pytest.raises(ValueError, match="l2"):
        multinomial.fit(X, target, 0.0)
    with pytest.raises(ValueError, match="NaN"):
        multinomial.fit(np.full_like(X, np.nan), target, 1.0)
