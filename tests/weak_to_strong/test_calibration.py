"""Temperatures undo what was overdone, and errors of calibration are the textbooks'."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar

from curation.statistics import metrics
from curation.weak_to_strong import calibration


def drawn(rows: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits whose softmax is the truth, and labels."""
    random = np.random.default_rng(seed)
    z = 2 * random.normal(size=(rows, classes))
    p = calibration.scaled(z, 1.0)
    return z, (p.cumsum(axis=1) < random.random(rows)[:, None]).sum(axis=1)


@pytest.mark.parametrize("classes", [2, 5])
@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_the_temperature_is_found_again(classes: int, true: float) -> None:
    z, y = drawn(20_000, classes)
    found = calibration.temperature(z * true, y)
    assert found == pytest.approx(true, rel=0.05)
    best = minimize_scalar(lambda t: calibration.log_loss(z * true / t, y), bounds=(0.05, 20), method="bounded")
    assert calibration.log_loss(z * true / found, y) <= best.fun + 1e-12
    assert (calibration.scaled(z * true, found).argmax(axis=1) == z.argmax(axis=1)).all()


def test_scaling_on_one_split_calibrates_another() -> None:
    z, y = drawn(20_000, 3)
    first = np.arange(len(y)) % 2 == 0
    found = calibration.temperature(3 * z[first], y[first])
    errors = [
        calibration.equal_width(*calibration.top(calibration.scaled(3 * z[~first], t), y[~first])).error
        for t in (1.0, found)
    ]
    assert errors[0] > 0.1
    assert errors[1] < 0.02


def test_a_temperature_of_the_supervisors_probabilities_is_that_of_its_logits() -> None:
    z, y = drawn(2000, 3)
    p = calibration.scaled(2 * z, 1.0)
    assert calibration.temperature(calibration.logits(p), y) == pytest.approx(
        calibration.temperature(2 * z, y), rel=1e-6
    )


def test_rows_that_are_all_right_or_no_better_than_chance_end_the_search() -> None:
    z, _ = drawn(500, 3)
    assert calibration.temperature(z, z.argmax(axis=1)) < 0.05
    assert calibration.temperature(z, z.argmin(axis=1)) == calibration.HOTTEST
    assert calibration.temperature(np.array([[5.0, 0.0]]), np.array([0])) == calibration.COLDEST
    with pytest.raises(ValueError, match="finite logits"):
        calibration.temperature(np.array([[np.inf, 0.0]]), np.array([0]))
    with pytest.raises(ValueError, match="needs rows"):
        calibration.temperature(np.empty((0, 2)), np.empty(0, int))


def test_errors_equal_the_trained_heads_metric_and_hand_counts() -> None:
    random = np.random.default_rng(0)
    p, right = random.random(500), random.random(500) < 0.5
    assert calibration.equal_width(p, right).error == pytest.approx(metrics.calibration_error(p, right.astype(float)))
    table = calibration.equal_width(np.array([0.55, 0.65, 0.95, 1.0]), np.array([True, False, True, True]), bins=2)
    assert table.rows.tolist() == [4]
    assert table.error == pytest.approx(0.7875 - 0.75)


def test_bins_of_one_mass_hold_equal_rows_and_keep_equal_confidences_together() -> None:
    random = np.random.default_rng(1)
    p = random.random(1500) ** 4
    table = calibration.equal_mass(p, random.random(1500) < p)
    assert table.rows.tolist() == [100] * 15
    assert (table.low[1:] > table.high[:-1]).all()
    coarse = np.round(p, 1)
    table = calibration.equal_mass(coarse, random.random(1500) < p)
    assert (table.low[1:] > table.high[:-1]).all()
    order = random.permutation(1500)
    again = calibration.equal_mass(coarse[order], np.ones(1500, bool))
    np.testing.assert_array_equal(table.rows, again.rows)


def test_a_weight_of_two_is_the_row_twice() -> None:
    z, y = drawn(300, 3)
    weight = np.where(np.arange(300) < 100, 2.0, 1.0)
    twice = np.concatenate([np.arange(100), np.arange(300)])
    p = calibration.scaled(z, 1.0)
    assert calibration.brier(p, y, weight) == pytest.approx(calibration.brier(p[twice], y[twice]))
    assert calibration.temperature(z, y, weight) == pytest.approx(calibration.temperature(z[twice], y[twice]))
    assert calibration.log_loss(z, y, weight) == pytest.approx(calibration.log_loss(z[twice], y[twice]))
    for bins in (calibration.equal_width, calibration.equal_mass):
        weighed, repeated = bins(*calibration.top(p, y), weight), bins(*calibration.top(p[twice], y[twice]))
        assert weighed.error == pytest.approx(repeated.error)
        np.testing.assert_allclose(weighed.accuracy, repeated.accuracy)


def test_brier_is_the_squared_distance_from_the_label() -> None:
    p = np.array([[0.7, 0.3], [0.0, 1.0]])
    assert calibration.brier(p, np.array([0, 0])) == pytest.approx((2 * 0.09 + 2) / 2)


def test_of_equally_likely_classes_each_is_right_in_part() -> None:
    p = np.array([[0.5, 0.5], [0.5, 0.5], [0.3, 0.7], [0.4, 0.4]])
    for given, y in ((p, [0, 1, 1, 0]), (p[:, ::-1], [1, 0, 0, 1])):
        confidence, right = calibration.top(given, np.array(y))
        assert confidence.tolist() == [0.5, 0.5, 0.7, 0.4]
        assert right.tolist() == [0.5, 0.5, 1.0, 0.5]
