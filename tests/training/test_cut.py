"""The advised score does what was wished for on the examples that it was chosen on."""

from __future__ import annotations

import numpy as np
import pytest

from curation.training.cut import Wish, curve, cut_for

SCORES = np.array([0.9, 0.8, 0.8, 0.7, 0.6, 0.5, np.nan, 0.4])
GOOD = np.array([True, True, True, False, True, False, True, False])


@pytest.mark.parametrize(
    ("wish", "expected"),
    [
        (Wish(), 0.6),
        (Wish(precision=1.0), 0.8),
        (Wish(precision=0.8), 0.6),
        (Wish(precision=0.1), 0.4),
        (Wish(recall=0.25), 0.9),
        (Wish(recall=0.5), 0.8),
        (Wish(recall=1.0), 0.6),
    ],
    ids=str,
)
def test_a_cut_is_where_the_wish_comes_true(wish: Wish, expected: float) -> None:
    cut = cut_for(SCORES, GOOD, wish)
    assert expected - 2e-4 < cut <= expected


def test_a_cut_keeps_what_it_was_counted_with() -> None:
    scores = np.random.default_rng(0).random(500)
    good = scores + np.random.default_rng(1).normal(size=500) / 3 > 0.5
    for precision in (0.6, 0.8, 0.9):
        kept = scores >= cut_for(scores, good, Wish(precision=precision))
        assert good[kept].mean() >= precision - 0.01
    points = curve(scores, good)
    assert [round(point["share_kept"], 2) for point in points] == [0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9]
    for point in points:
        kept = scores >= point["from"]
        assert (point["precision"], point["recall"]) == (good[kept].mean(), kept[good].mean())


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no score has precision"):
        cut_for(SCORES, ~GOOD, Wish(precision=0.9))
    with pytest.raises(ValueError, match="not both"):
        Wish(0.9, 0.9)
    with pytest.raises(ValueError, match="precision or recall of 2"):
        Wish(recall=2)
