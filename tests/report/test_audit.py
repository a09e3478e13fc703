"""Statistics of an audit: what was worked out by hand, exact limits, and intervals that hold as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from lengths import mostly_slow
from scipy.stats import beta

from curation.report.audit import DRAWS, FLOOR, OWN, Measure, Stratum, allocate, cut, limits, measures

KEPT = Stratum(None, None, size=1000, sampled=50, labelled=50, good=45)
DROPPED = (
    Stratum("gopher", "words", size=3000, sampled=30, labelled=30, good=3),
    Stratum("gopher", None, size=1000, sampled=20, labelled=20, good=0),
)


def named(found: list[Measure]) -> dict[tuple[str, str | None, str | None], Measure]:
    return {(item.name, item.stage, item.reason): item for item in found}


# --- by hand -------------------------------------------------------------------------------------------------------


def test_estimates_weigh_each_stratum_by_its_size() -> None:
    """900 good were kept, 3000 · 3/30 + 1000 · 0/20 = 300 were dropped."""
    found = named(measures([KEPT, *DROPPED]))
    assert found["precision", None, None].estimate == pytest.approx(0.9)
    assert found["recall", None, None].estimate == pytest.approx(900 / 1200)
    assert found["false drops", None, None].estimate == pytest.approx(300 / 4000)
    assert found["false drops", "gopher", "words"].estimate == pytest.approx(0.1)
    assert found["false drops", "gopher", "other reasons"].estimate == 0
    assert all(item.low <= item.least <= item.most <= item.high for item in found.values())


@pytest.mark.parametrize(
    ("size", "labelled", "good", "found"),
    [
        (10, 5, 0, (0, 3)),  # of 4 good, 5 drawn ones have none with a chance of C(6, 5) / C(10, 5) = 6 / 252 < 0.025
        (10, 5, 5, (7, 10)),  # and the same from the other side
        (10, 10, 4, (4, 4)),
        (10, 0, 0, (0, 10)),
        (2, 1, 1, (1, 2)),
    ],
)
def test_limits_of_small_strata_are_those_counted_by_hand(
    size: int, labelled: int, good: int, found: tuple[int, int]
) -> None:
    assert limits(size, labelled, good) == found


@pytest.mark.parametrize("good", [0, 1, 45, 50])
def test_limits_of_a_large_stratum_are_clopper_and_pearsons(good: int) -> None:
    low, high = (value / 10**7 for value in limits(10**7, 50, good))
    assert low == pytest.approx(beta.ppf(0.025, good, 51 - good) if good else 0, abs=1e-5)
    assert high == pytest.approx(beta.ppf(0.975, good + 1, 50 - good) if good < 50 else 1, abs=1e-5)


def test_melded_limits_of_one_stratum_are_the_exact_ones() -> None:
    """One whose other strata are empty is melded, and alone it is not."""
    for size, labelled, good in [(30, 10, 3), (12, 8, 0), (500, 40, 39), (10, 9, 0), (6, 5, 2)]:
        there = Stratum("a", "x", size, labelled, labelled, good)
        [*_, alone] = measures([there])
        melded = named(measures([there, Stratum("b", "y", 0, 0)]))["false drops", None, None]
        assert (melded.low, melded.high) == pytest.approx((alone.low, alone.high), abs=1.01 / size)


def test_a_stratum_without_labels_gives_bounds_and_no_guess() -> None:
    found = named(measures([KEPT, *DROPPED, Stratum("top", "below", size=600, sampled=5)]))
    recall = found["recall", None, None]
    assert recall.estimate is None
    assert (recall.least, recall.most) == pytest.approx((900 / 1800, 900 / 1200))
    assert recall.low < recall.least
    assert recall.high > recall.most
    unknown = found["false drops", "top", "below"]
    assert (unknown.estimate, unknown.low, unknown.high) == (None, 0, 1)
    assert found["precision", None, None].estimate == pytest.approx(0.9)


def test_with_every_document_labelled_nothing_is_uncertain() -> None:
    strata = [Stratum(None, None, 20, 20, 20, 15), Stratum("a", "x", 8, 8, 8, 5), Stratum("b", "y", 4, 4, 4, 0)]
    for item in measures(strata):
        assert item.low == item.estimate == item.high
    assert measures(strata)[1].estimate == 15 / 20


@pytest.mark.parametrize("strata", [[], [Stratum(None, None, 9, 9)], [Stratum("a", "x", 9, 9, 9, 0)]])
def test_what_cannot_be_said_is_between_nothing_and_all(strata: list[Stratum]) -> None:
    precision, recall, false_drops = measures(strata)[:3]
    assert (precision.estimate, precision.low, precision.high) == (None, 0, 1)
    assert recall.low == 0
    assert all(0 <= item.low <= item.high <= 1 and not math.isnan(item.least) for item in (recall, false_drops))


def test_the_same_labels_give_the_same_limits() -> None:
    assert measures([KEPT, *DROPPED]) == measures([KEPT, *DROPPED])
    other = measures([KEPT, *DROPPED], seed=1)
    assert [item.low for item in other] == pytest.approx([item.low for item in measures([KEPT, *DROPPED])], abs=0.01)


def test_golden() -> None:
    found = measures([KEPT, *DROPPED])
    assert [(item.name, item.reason, round(item.low, 3), round(item.high, 3)) for item in found] == [
        ("precision", None, 0.785, 0.965),
        ("recall", None, 0.507, 0.933),
        ("false drops", None, 0.016, 0.212),
        ("false drops", None, 0.016, 0.212),
        ("false drops", "words", 0.022, 0.264),
        ("false drops", "other reasons", 0.0, 0.166),
    ]


# --- the sample ----------------------------------------------------------------------------------------------------


def test_half_goes_to_what_was_kept_and_the_rest_by_size_with_a_floor() -> None:
    assert allocate(1000, [900, 50, 10, 3], 200) == (100, [87, 5, 5, 3])
    assert allocate(30, [900, 50, 10, 3], 200) == (30, [153, 9, 5, 3])  # what one side cannot use the other gets
    assert allocate(3000, [20, 5, 10, 3], 200) == (162, [20, 5, 10, 3])
    assert allocate(3, [2], 200) == (3, [2])
    assert allocate(1000, [], 50) == (50, [])
    assert allocate(0, [1000, 1000], 50) == (0, [25, 25])


def test_too_few_rows_for_the_floors_are_refused() -> None:
    assert allocate(100, [100, 100, 2], 17) == (5, [5, 5, 2])
    with pytest.raises(ValueError, match="4 strata need 17 rows at least"):
        allocate(100, [100, 100, 2], 16)


def test_every_row_is_used_and_no_stratum_gets_more_than_it_has() -> None:
    random = np.random.default_rng(0)
    for _ in range(300):
        kept, rows = int(random.integers(0, 400)), int(random.integers(90, 400))
        dropped = np.ceil(np.exp(random.uniform(0, 7, random.integers(0, 15)))).astype(int).tolist()
        of_kept, of_dropped = allocate(kept, dropped, rows)
        assert of_kept + sum(of_dropped) == min(rows, kept + sum(dropped))
        for size, count in zip([kept, *dropped], [of_kept, *of_dropped], strict=True):
            assert min(size, FLOOR) <= count <= size


def test_reasons_that_would_earn_few_rows_are_one_stratum_of_their_stage() -> None:
    reasons = {("a", "x"): 900, ("a", "y"): 50, ("a", "z"): 10, ("b", "w"): 40}
    assert cut(reasons, 100) == {("a", "x"): "x", ("a", "y"): None, ("a", "z"): None, ("b", "w"): "w"}
    assert cut(reasons, OWN * 1000 // 50) == {("a", "x"): "x", ("a", "y"): "y", ("a", "z"): "z", ("b", "w"): "w"}


# --- coverage ------------------------------------------------------------------------------------------------------

REPEATS = 400
TRUTHS = {
    # good, size, sampled of what was kept, and of each stratum of what was dropped
    "as one would expect": [(4500, 5000, 100), (80, 4000, 55), (75, 1500, 20), (240, 800, 11), (0, 300, 5), (4, 8, 5)],
    "hardly a good one dropped": [(4900, 5000, 100), (8, 4000, 55), (3, 1500, 20), (0, 800, 11), (1, 50, 5)],
    "not one good one dropped": [(5000, 5000, 100), *[(0, 500, 5)] * 12],
    "nearly all dropped are good": [(150, 5000, 100), (3960, 4000, 55), (1485, 1500, 20), (800, 800, 11), (49, 50, 5)],
    "many small strata": [(4000, 5000, 100), *[(100, 500, 5)] * 20],
    "many small strata, rarely a good one": [(4000, 5000, 100), *[(10, 500, 5)] * 20],
    "nothing good was kept": [(0, 300, 100), (300, 600, 60), (20, 400, 40)],
    "most of a small run is labelled": [(54, 60, 40), (4, 40, 20), (6, 20, 10), (0, 12, 8), (1, 10, 9), (2, 6, 5)],
    "half of the labels are there": [(3500, 5000, 30), (250, 2500, 2), (250, 2500, 20), (150, 300, 1)],
}


@pytest.mark.long
@pytest.mark.parametrize("truth", mostly_slow(TRUTHS.values(), 3), ids=TRUTHS)
def test_intervals_hold_the_truth_as_often_as_they_say(truth: list[tuple[int, int, int]]) -> None:
    """By hypergeometric draws, as rows are sampled. The promise is 95 %; what is asked for leaves room for chance."""
    good, size, sampled = np.array(truth).T
    dropped = good[1:].sum()
    real = {
        "precision": good[0] / size[0],
        "recall": good[0] / max(good[0] + dropped, 1),
        "false drops": dropped / size[1:].sum(),
    }
    held = dict.fromkeys(real, 0)
    for repeat in range(REPEATS):
        found = np.random.default_rng([repeat, len(truth)]).hypergeometric(good, size - good, sampled)
        strata = [
            Stratum(None if place == 0 else f"s{place}", None if place == 0 else "x", *map(int, facts))
            for place, facts in enumerate(zip(size, sampled, sampled, found, strict=True))
        ]
        for item in measures(strata, seed=repeat, draws=DRAWS // 50)[:3]:
            held[item.name] += bool(item.low - 1e-9 <= real[item.name] <= item.high + 1e-9)
    assert min(held.values()) >= 0.93 * REPEATS, held
