"""Figures are the textbooks', and intervals hold as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import f1_score, roc_auc_score

from curation.statistics import metrics


@pytest.mark.long
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=4, max_size=60))
def test_they_equal_the_libraries(rows: list[tuple[int, int]]) -> None:
    a, b = np.array(rows, dtype=float).T
    if np.ptp(a) and np.ptp(b):
        assert metrics.spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    else:
        assert np.isnan(metrics.spearman(a, b))
    good = b >= 3
    if 0 < good.sum() < len(good):
        assert metrics.auc(a, good) == pytest.approx(roc_auc_score(good, a))
        assert metrics.f1(a >= 3, good) == pytest.approx(f1_score(good, a >= 3, zero_division=0))


def test_calibration_error_is_the_gap_by_bin() -> None:
    assert metrics.calibration_error(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0
    assert metrics.calibration_error(np.array([0.9] * 10), np.array([1.0] * 5 + [0.0] * 5)) == pytest.approx(0.4)
    # two bins of one document each, gaps .2 and .3
    assert metrics.calibration_error(np.array([0.2, 0.7]), np.array([0.0, 1.0])) == pytest.approx(0.25)


@pytest.mark.long
def test_an_interval_of_a_mean_holds_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        values = random.normal(size=80)
        found = metrics.bootstrap(
            lambda rows, v=values: float(v[rows].mean()), np.arange(80), resamples=300, seed=trial
        )
        assert found.value == pytest.approx(values.mean())
        hits += found.low <= 0 <= found.high
    assert 0.90 <= hits / 200 <= 0.985


def test_copies_of_an_example_are_no_more_evidence() -> None:
    values = np.random.default_rng(1).normal(size=30)
    once = metrics.bootstrap(lambda rows: float(values[rows].mean()), np.arange(30))
    copied = np.repeat(values, 20)
    grouped = metrics.bootstrap(lambda rows: float(copied[rows].mean()), np.repeat(np.arange(30), 20))
    blind = metrics.bootstrap(lambda rows: float(copied[rows].mean()), np.arange(600))
    assert grouped.high - grouped.low == pytest.approx(once.high - once.low, rel=0.15)
    assert blind.high - blind.low < 0.4 * (grouped.high - grouped.low)
