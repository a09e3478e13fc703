"""A gap is told where there is one, with an interval that holds as often as it says."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from curation.weak_to_strong.gap import fieller, recovered, share_interval, t_interval


def test_the_ratio_of_mean_differences() -> None:
    gap = recovered([0.60, 0.62, 0.61], [0.70, 0.71, 0.72], [0.80, 0.82, 0.81])
    assert gap.recovered is not None
    assert gap.recovered.value == pytest.approx(0.5)
    assert gap.recovered.low < 0.5 < gap.recovered.high
    assert gap.seeds == 3
    assert str(gap).startswith("0.500 [")


def test_a_t_interval_is_scipys() -> None:
    values = np.random.default_rng(0).normal(size=7)
    expected = ttest_1samp(values, 0).confidence_interval(0.95)
    found = t_interval(values)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert t_interval(values[:1]).high == np.inf


def test_an_accuracy_s_interval_is_inside_of_0_and_1_and_needs_three_seeds() -> None:
    for values in ([0.806, 0.93, 0.99], [0.999, 1.0, 1.0], [0.0, 0.0, 0.02], [1.0, 1.0, 1.0]):
        found = share_interval(np.array(values))
        assert 0 <= found.low <= found.value <= found.high <= 1
    assert share_interval(np.array([0.778, 0.834])).high == np.inf
    close = np.array([0.60, 0.61, 0.62, 0.61])  # far from both ends it is the plain interval
    assert tuple(share_interval(close)) == pytest.approx(tuple(t_interval(close)), abs=2e-4)
    sure = np.array([0.97, 0.985, 0.955])
    plain, turned = t_interval(sure), share_interval(sure)
    assert plain.high > 1 > turned.high
    se = sure.std(ddof=1) / np.sqrt(3)  # svyciprop's xlogit: logit(p) ± t · se / (p (1 - p))
    assert np.log(turned.high / (1 - turned.high)) == pytest.approx(np.log(0.97 / 0.03) + 4.302653 * se / 0.0291)


def test_the_ends_of_fiellers_interval_solve_its_equation() -> None:
    """At either end the mean of a - r b is just as many standard errors from 0 as Student's t allows."""
    random = np.random.default_rng(1)
    b = random.normal(0.2, 0.03, size=5)
    a = 0.7 * b + random.normal(0, 0.02, size=5)
    found = fieller(a, b)
    assert found is not None
    for end in (found.low, found.high):
        assert ttest_1samp(a - end * b, 0).pvalue == pytest.approx(0.05)
    assert ttest_1samp(a - found.value * b, 0).pvalue == pytest.approx(1)


@pytest.mark.long
@pytest.mark.parametrize("seeds", [3, 5])
def test_fiellers_interval_holds_the_true_ratio_as_often_as_it_says(seeds: int) -> None:
    """Counted with the unbounded sets, which hold it where the inequality does."""
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(4000):
        common = random.normal(0, 0.02, size=seeds)
        b = 0.05 + common + random.normal(0, 0.01, size=seeds)
        a = 0.8 * 0.05 + common + random.normal(0, 0.01, size=seeds)
        found = fieller(a, b)
        hits += found.low <= 0.8 <= found.high if found else ttest_1samp(a - 0.8 * b, 0).pvalue >= 0.05
    assert 0.94 <= hits / 4000 <= 0.96


def test_seeds_without_spread_have_a_point() -> None:
    gap = recovered([0.5] * 3, [0.6] * 3, [0.7] * 3)
    assert gap.recovered == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("weak", "ceiling", "why"),
    [
        ([0.80, 0.82, 0.81], [0.81, 0.80, 0.83], "0.003 above the weak supervisor"),
        ([0.80, 0.82, 0.81], [0.70, 0.73, 0.71], "-0.097 above the weak supervisor"),
        ([0.80], [0.90], "1 of the 3 seeds"),
        ([0.80, 0.81], [0.90, 0.91], "2 of the 3 seeds"),
        ([0.60, 0.62, 0.61], [0.70, 0.72, 0.71], "largest class's share, 0.700"),
    ],
)
def test_a_gap_that_may_be_none_is_not_identifiable(weak: list[float], ceiling: list[float], why: str) -> None:
    gap = recovered(weak, weak, ceiling, majority=0.7)
    assert gap.recovered is None
    assert str(gap).startswith("not identifiable: ")
    assert why in str(gap)
    assert gap.student.value == pytest.approx(np.mean(weak))


def test_every_model_at_chance_prints_no_gap() -> None:
    """methods.md §0.3: on a set where all, the ceiling too, are below 50 %, published code prints 0.81."""
    gap = recovered([0.4924, 0.4900, 0.4902], [0.4908, 0.4911, 0.4936], [0.4930, 0.4936, 0.4960], majority=0.5)
    assert gap.recovered is None


def test_accuracies_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="one accuracy of each a seed"):
        recovered([0.5], [0.6, 0.7], [0.8, 0.9])
    with pytest.raises(ValueError, match="not finite"):
        recovered([0.5, np.nan], [0.6, 0.7], [0.8, 0.9])
