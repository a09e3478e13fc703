"""Automatic labels keep the promised error, as often as promised."""

from __future__ import annotations

import json

import numpy as np
import pytest

from curation.statistics.intervals import rows_needed, upper_bound
from curation.weak_to_strong import risk

LEVELS = np.linspace(0.5, 1, 201)
WORLDS = {
    # P(right | confidence), the confidence being uniform over LEVELS
    "calibrated": LEVELS,
    "sure of itself": 0.5 + (LEVELS - 0.5) * 0.93,
    "steep": 1 - 0.5 / (1 + np.exp(25 * (LEVELS - 0.72))),
    # exactly what is not allowed everywhere: each cut that passes is a violation
    "brink": np.full(201, 0.9499),
    # worst at the top, so that risk does not grow with coverage
    "upside down": np.where(LEVELS > 0.95, 0.90, np.where(LEVELS > 0.7, 0.99, 0.6)),
}


def sample(chance: np.ndarray, rows: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    drawn = random.integers(len(LEVELS), size=rows)
    return LEVELS[drawn], random.random(rows) < chance[drawn]


@pytest.mark.parametrize("world", WORLDS)
def test_the_bound_is_broken_in_at_most_66_of_1000_samples(world: str) -> None:
    chance = WORLDS[world]
    random = np.random.default_rng(11)
    broken, labelled = 0, 0
    for _ in range(1000):
        other, calibration = sample(chance, 1000, random), sample(chance, 1000, random)
        cuts = risk.register(*other, rows=1000, error=0.05, delta=0.05)
        found = risk.control(*calibration, cuts, error=0.05, delta=0.05)
        accepted = found.accepts(LEVELS)
        broken += bool(accepted.any()) and (1 - chance[accepted]).mean() > 0.05
        labelled += bool(accepted.any())
    assert broken <= 66
    # to label nothing would keep any promise
    assert labelled >= {"steep": 950, "calibrated": 150}.get(world, 0)


def test_to_take_the_largest_share_that_passes_would_break_the_promise() -> None:
    random = np.random.default_rng(11)
    broken = 0
    for _ in range(300):
        confidence, right = sample(WORLDS["brink"], 1000, random)
        cuts = LEVELS[:180:5]
        wrong = np.array([(~right[confidence >= cut]).sum() for cut in cuts])
        rows = np.array([(confidence >= cut).sum() for cut in cuts])
        broken += bool((upper_bound(wrong, rows, 0.05) <= 0.05).any())
    assert broken > 0.066 * 300


def test_cuts_begin_where_59_rows_will_be_accepted_and_descend() -> None:
    assert rows_needed(0.05, 0.05) == 59
    random = np.random.default_rng(0)
    confidence = random.random(1000)
    cuts = risk.register(confidence, np.ones(1000, bool), rows=1000, error=0.05, delta=0.05)
    assert (np.diff(cuts) < 0).all()
    assert (confidence >= cuts[0]).sum() >= 59
    assert cuts[-1] == confidence.min()
    assert len(risk.register(confidence[:200], np.ones(200, bool), rows=58, error=0.05, delta=0.05)) == 0
    assert len(risk.register(np.full(3, np.nan), np.ones(3, bool), rows=100, error=0.05, delta=0.05)) == 0
    # where half of the strictest are wrong, it does not begin there
    upside = risk.register(confidence, confidence < 0.9, rows=1000, error=0.2, delta=0.05)
    assert upside[0] < 0.6


def test_it_stops_at_the_first_failure_even_where_a_looser_cut_would_pass() -> None:
    confidence = np.concatenate([np.full(100, 0.9), np.full(100, 0.8), np.full(5000, 0.7)])
    right = np.ones(5200, bool)
    right[100:130] = False
    found = risk.control(confidence, right, np.array([0.9, 0.8, 0.7]), error=0.05, delta=0.05)
    assert found.cut == 0.9
    assert [(test.rows, test.wrong) for test in found.tested] == [(100, 0), (200, 30)]
    assert upper_bound(30, 5200, 0.05) < 0.05
    assert found.share == pytest.approx(100 / 5200)
    assert found.passed is not None
    assert found.passed.bound == pytest.approx(1 - 0.05 ** (1 / 100))


def test_none_is_an_answer() -> None:
    confidence, right = np.linspace(0, 1, 500), np.arange(500) % 2 == 0
    for cuts in (np.array([0.5, 0.2]), np.empty(0)):
        found = risk.control(confidence, right, cuts, error=0.05, delta=0.05)
        assert found.cut is None
        assert found.share == 0
        assert found.passed is None
        assert not found.accepts(confidence).any()
        assert json.loads(json.dumps(found.describe()))["cut"] is None


def test_an_abstention_is_never_labelled_and_counts_in_the_share() -> None:
    confidence = np.where(np.arange(400) < 200, np.nan, 0.9)
    found = risk.control(confidence, np.ones(400, bool), np.array([0.9]), error=0.05, delta=0.05)
    assert found.share == 0.5
    assert found.accepts(np.array([np.nan, 0.9, 0.89])).tolist() == [False, True, False]


def test_cuts_in_another_order_are_refused() -> None:
    with pytest.raises(ValueError, match="must descend"):
        risk.control(np.ones(100), np.ones(100, bool), np.array([0.5, 0.6]), error=0.05, delta=0.05)
    with pytest.raises(ValueError, match="between 0 and 1"):
        risk.control(np.ones(100), np.ones(100, bool), np.array([0.5]), error=0.0, delta=0.05)


def test_the_curve_is_the_error_among_those_accepted() -> None:
    coverage, error = risk.curve(np.array([0.9, 0.5, 0.9, 0.7, np.nan]), np.array([True, False, True, False, True]))
    assert coverage.tolist() == [0.4, 0.6, 0.8]
    np.testing.assert_allclose(error, [0, 1 / 3, 1 / 2])
