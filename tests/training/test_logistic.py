"""The head's optimum is the known one, and its bits hang on the data alone."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from curation.statistics import metrics
from curation.training import logistic


def two_registers(rows: int = 400, dim: int = 384, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors in float16, as embeddings are stored; one in eight positive, the classes overlapping."""
    random = np.random.default_rng(seed)
    y = np.arange(rows) % 8 == 0
    X = random.normal(size=(rows, dim)) + 0.15 * y[:, None]
    X /= np.linalg.norm(X, axis=1, keepdims=True)
    return X.astype(np.float16).astype(np.float64), y


@pytest.mark.parametrize("l2", [0.01, 1.0, 100.0])
def test_the_optimum_equals_scikit_learns(l2: float) -> None:
    X, y = two_registers()
    head = logistic.fit(X, y, l2)
    reference = LogisticRegression(
        C=1 / l2, class_weight="balanced", solver="newton-cholesky", tol=1e-12, max_iter=1000
    ).fit(X, y)
    np.testing.assert_allclose(head.weight, reference.coef_[0], atol=1e-6)
    assert head.bias == pytest.approx(reference.intercept_[0], abs=1e-6)
    np.testing.assert_allclose(head.logits(X), reference.decision_function(X), atol=1e-6)


def test_separable_data_and_two_rows_converge() -> None:
    X = np.array([[0.0, 1.0], [1.0, 0.0]])
    head = logistic.fit(X, np.array([True, False]), 1e-6)
    assert head.logits(X)[0] > 0 > head.logits(X)[1]


@pytest.mark.long
def test_the_bits_do_not_depend_on_the_number_of_threads() -> None:
    code = (
        "import numpy as np, hashlib; from curation.training import logistic;"
        "r = np.random.default_rng(0); X = r.normal(size=(600, 384)); y = np.arange(600) % 5 == 0;"
        "h = logistic.fit(X, y, 1.0);"
        "print(hashlib.sha256(h.weight.tobytes() + np.float64(h.bias).tobytes()).hexdigest())"
    )
    prints = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "OPENBLAS_NUM_THREADS": threads, "OMP_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    }
    assert len(prints) == 1


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 64, 333])
def test_a_rows_logit_has_the_same_bits_in_a_batch_of_any_size(rows: int) -> None:
    X, y = two_registers()
    head = logistic.fit(X, y, 1.0)
    together = head.logits(X)
    for start in range(0, len(X), rows):
        np.testing.assert_array_equal(head.logits(X[start : start + rows]), together[start : start + rows])


def test_classes_weigh_the_same_however_rare_one_is() -> None:
    """Every negative written ten times changes nothing but the strength of the penalty, which is scaled to match."""
    X, y = two_registers(rows=160)
    repeated = np.vstack([X[y], *[X[~y]] * 10])
    labels = np.arange(len(repeated)) < y.sum()
    head = logistic.fit(X, y, 1.0)
    # The class-balanced loss sums to the number of rows, so l2 goes with it.
    again = logistic.fit(repeated, labels, len(repeated) / len(X))
    np.testing.assert_allclose(again.weight, head.weight, atol=1e-7)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=60))
def test_auc_equals_scikit_learns_with_ties(rows: list[tuple[int, bool]]) -> None:
    scores = np.array([score for score, _ in rows], dtype=np.float64)
    y = np.array([label for _, label in rows])
    if y.all() or not y.any():
        return
    assert metrics.auc(scores, y) == pytest.approx(roc_auc_score(y, scores))


def test_held_out_logits_come_from_heads_that_did_not_see_the_row() -> None:
    X, y = two_registers()
    logits, fold = logistic.held_out_logits(X, y, 1.0, folds=5)
    held_out = fold == 3
    np.testing.assert_array_equal(logits[held_out], logistic.fit(X[~held_out], y[~held_out], 1.0).logits(X[held_out]))
    assert np.bincount(fold[y]).tolist() == [10] * 5
    # The shuffled-label control: nothing can be learned, so held-out AUC is chance, and the real one is not.
    shuffled = np.random.default_rng(1).permutation(y)
    assert 0.35 < metrics.auc(logistic.held_out_logits(X, shuffled, 1.0, folds=5)[0], shuffled) < 0.65
    assert metrics.auc(logits, y) > 0.9


def test_sigmoid_saturates_without_overflow() -> None:
    with np.errstate(all="raise", under="ignore"):
        assert logistic.sigmoid(np.array([-1e4, 0.0, 1e4])).tolist() == [0.0, 0.5, 1.0]


def test_what_cannot_be_fitted_is_refused() -> None:
    X, y = two_registers(rows=16)
    with pytest.raises(ValueError, match="both classes, and 0 of 16"):
        logistic.fit(X, np.zeros(16, dtype=bool), 1.0)
    with pytest.raises(ValueError, match="must be above 0"):
        logistic.fit(X, y, 0.0)
    with pytest.raises(ValueError, match="NaN or infinity"):
        logistic.fit(np.full_like(X, np.nan), y, 1.0)
