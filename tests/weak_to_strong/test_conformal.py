"""Sets hold the label as often as they promise, at the exact rank."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from curation.weak_to_strong import conformal


def drawn(rows: int, random: np.random.Generator, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities that are wrong on purpose, rounded so that there are ties, and labels."""
    z = 1.5 * random.normal(size=(rows, classes))
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    y = (p.cumsum(axis=1) < random.random(rows)[:, None]).sum(axis=1)
    claimed = np.round(p**2 / (p**2).sum(axis=1, keepdims=True), 2)
    return claimed, y


def test_the_golden_ranks() -> None:
    assert conformal.rank(19, 0.05) == 19
    assert conformal.rank(18, 0.05) == 19  # of 18: infinite
    assert conformal.rank(500, 0.1) == 451
    assert conformal.rank(99, 0.01) == 99
    assert all(conformal.rank(10 * n - 1, 0.1) == 9 * n for n in range(1, 2000))  # floats would round some up


def test_too_few_rows_let_every_class_in() -> None:
    p, y = np.full((18, 2), 0.5), np.zeros(18, int)
    few = conformal.calibrate(p, y, 0.05)
    assert np.isinf(few.quantile).all()
    assert few.sets(np.array([[1.0, 0.0]])).all()
    assert few.level.tolist() == [1.0, 1.0]
    enough = conformal.calibrate(np.full((19, 2), 0.5), np.zeros(19, int), 0.05)
    assert enough.quantile.tolist() == [0.5, 0.5]
    assert enough.level == pytest.approx([0.95, 0.95])


@pytest.mark.parametrize("score", ["lac", "aps"])
@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.3])
def test_coverage_over_calibration_samples_is_what_is_promised(score: conformal.Score, alpha: float) -> None:
    random = np.random.default_rng(5)
    held, rows = 0, 0
    for _ in range(300):
        p, y = drawn(400, random)
        keys = random.integers(2**63, size=400).astype(np.uint64)
        fitted = conformal.calibrate(p[:200], y[:200], alpha, score=score, keys=keys[:200])
        held += fitted.sets(p[200:], keys[200:])[np.arange(200), y[200:]].sum()
        rows += 200
        level = fitted.level[0]
    assert held / rows >= 1 - alpha - 0.01
    if score == "aps":  # no ties, so it is exact
        assert held / rows == pytest.approx(level, abs=0.01)


def test_by_class_each_class_is_covered_though_one_is_hard() -> None:
    random = np.random.default_rng(6)
    held, rows = np.zeros((2, 2)), np.zeros(2)
    for _ in range(200):
        y = (random.random(1000) < 0.1).astype(int)
        score = np.where(y == 1, random.normal(0.5, 1, 1000), random.normal(-2, 1, 1000))
        p = 1 / (1 + np.exp(-score))
        p = np.column_stack([1 - p, p])
        for place, by_class in enumerate((False, True)):
            sets = conformal.calibrate(p[:500], y[:500], 0.1, by_class=by_class).sets(p[500:])
            held[place] += np.bincount(y[500:], sets[np.arange(500), y[500:]], 2)
        rows += np.bincount(y[500:], minlength=2)
    marginal, mondrian = held / rows
    assert marginal[1] < 0.7
    assert (mondrian > 0.89).all()


def test_aps_counts_what_is_likelier_and_a_drawn_share_of_the_class_itself() -> None:
    p = np.array([[0.2, 0.5, 0.3], [0.4, 0.2, 0.4]])
    keys = np.array([7, 8], np.uint64)
    u = conformal.lots(keys, 3)
    found = conformal.scores(p, "aps", keys, 3)
    np.testing.assert_allclose(found[0], [0.8 + 0.2 * u[0], 0.5 * u[0], 0.5 + 0.3 * u[0]])
    np.testing.assert_allclose(found[1], [0.4 * u[1], 0.8 + 0.2 * u[1], 0.4 + 0.4 * u[1]])
    with pytest.raises(ValueError, match="key of each row"):
        conformal.scores(p, "aps")


def test_lots_are_uniform_hang_on_key_and_seed_and_on_nothing_else() -> None:
    keys = np.arange(20_000, dtype=np.uint64)
    u = conformal.lots(keys, 0)
    counts = np.bincount((u * 10).astype(int), minlength=10)
    assert counts.max() <= binom.ppf(0.9999, 20_000, 0.1)
    np.testing.assert_array_equal(conformal.lots(keys[::-1], 0), u[::-1])
    assert abs(np.corrcoef(u, conformal.lots(keys, 1))[0, 1]) < 0.03
    assert abs(np.corrcoef(u[1:], u[:-1])[0, 1]) < 0.03
