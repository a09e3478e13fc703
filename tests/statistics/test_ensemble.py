"""Ranks, buckets, weights and agreement, by hand and by brute force."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.statistics.ensemble import (
    agreement,
    agreement_of,
    bucket,
    describe,
    exact_buckets,
    learn_weights,
    quantile_table,
    rank,
    top_share,
)

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)


def test_a_table_cuts_a_sample_into_equal_shares() -> None:
    scores = np.random.default_rng(0).permutation(1000).astype(float)
    table = quantile_table(scores, 20)
    assert table.tolist() == list(range(50, 1000, 50))
    assert np.bincount(bucket(table, scores).astype(int)).tolist() == [50] * 20
    assert bucket(table, np.array([-5.0, 50.0, 49.9, 2000.0])).tolist() == [0, 1, 0, 19]
    assert np.isnan(bucket(table, np.array([np.nan]))).all()
    with pytest.raises(ValueError, match="no score"):
        quantile_table(np.array([np.nan]), 20)


@given(st.lists(NUMBERS, min_size=1, max_size=60), st.lists(NUMBERS, min_size=1, max_size=20), st.integers(2, 25))
def test_only_the_order_of_scores_counts(sample: list[float], scores: list[float], buckets: int) -> None:
    """Monotone-transform invariance: any increasing function, here the place among all numbers met."""
    places = {value: float(place) for place, value in enumerate(sorted({*sample, *scores}))}
    plain = quantile_table(np.array(sample), buckets)
    turned = quantile_table(np.array([places[value] for value in sample]), buckets)
    for measure in (bucket, rank):
        np.testing.assert_array_equal(
            measure(plain, np.array(scores)), measure(turned, np.array([places[value] for value in scores]))
        )


@given(st.lists(NUMBERS, min_size=1, max_size=80), st.lists(NUMBERS, min_size=2, max_size=20))
def test_ranks_rise_with_scores_and_stay_inside(sample: list[float], scores: list[float]) -> None:
    found = rank(quantile_table(np.array(sample), 100), np.sort(scores))
    assert (np.diff(found) >= 0).all()
    assert 0 < found.min() <= found.max() < 1


@given(st.lists(st.integers(0, 5).map(float), max_size=90), st.integers(2, 20))
def test_exact_buckets_differ_by_one_at_most_and_ties_go_by_row(scores: list[float], buckets: int) -> None:
    found = exact_buckets(np.array(scores), buckets)
    sizes = np.bincount(found, minlength=buckets)
    if len(scores) >= buckets:
        assert sizes.max() - sizes.min() <= 1
    for one in range(len(scores)):
        for other in range(len(scores)):
            if (scores[one], one) < (scores[other], other):
                assert found[one] <= found[other]


def test_the_top_bucket_of_the_maximum_tells_how_much_members_agree() -> None:
    """methods.md §7: three independent members put 14.26 % into the top bucket, three identical ones 5 %."""
    assert top_share(3) == pytest.approx(0.142625)
    random = np.random.default_rng(1)
    independent = random.random((100_000, 3))
    alike = np.repeat(random.random((100_000, 1)), 3, axis=1)
    for scores, expected in ((independent, 0.142625), (alike, 0.05)):
        best = np.max([bucket(quantile_table(column, 20), column) for column in scores.T], axis=0)
        assert (best == 19).mean() == pytest.approx(expected, abs=0.003)


def test_weights_find_which_members_know_the_target() -> None:
    random = np.random.default_rng(2)
    truth = random.normal(size=4000)
    scores = np.stack(
        [truth + random.normal(0, 0.5, 4000), truth + random.normal(0, 2, 4000), random.normal(size=4000)]
    )
    ranks = np.stack([rank(quantile_table(column, 1000), column) for column in scores], axis=1)
    weights, bias = learn_weights(ranks, np.exp(truth))
    assert weights[0] > 3 * weights[1] > 3 * abs(weights[2])
    foretold = ranks @ weights + bias
    assert np.corrcoef(foretold, truth)[0, 1] > np.corrcoef(ranks[:, 0], truth)[0, 1]
    again, _ = learn_weights(ranks, truth)
    np.testing.assert_array_equal(again, weights)
    with pytest.raises(ValueError, match="at least 2"):
        learn_weights(ranks[:1], truth[:1])


def test_agreement_is_what_counting_says() -> None:
    a = np.array([9.0, 8, 7, 6, 5, 4, 3, 2, 1, 0, np.nan])
    b = np.array([9.0, 0, 7, 6, 5, 4, 3, 2, 1, 8, 50])
    [pair] = agreement({"a": a, "b": b}, shares=(0.2, 0.3))
    assert (pair.a, pair.b, pair.rows) == ("a", "b", 10)
    # ranks differ by 8 at one end and 8 at the other: 1 - 6 * 128 / (10 * 99)
    assert pair.spearman == pytest.approx(1 - 6 * 128 / 990)
    assert pair.overlap == {0.2: 0.5, 0.3: 2 / 3}
    assert pair.only_a == {0.2: 1, 0.3: 1}
    assert pair.chance == {0.2: 0.2, 0.3: 0.3}


def test_scores_that_know_nothing_of_one_another_overlap_by_chance() -> None:
    random = np.random.default_rng(3)
    pairs = agreement({name: random.random(50_000) for name in "abc"})
    assert [(pair.a, pair.b) for pair in pairs] == [("a", "b"), ("a", "c"), ("b", "c")]
    for pair in pairs:
        assert abs(pair.spearman) < 0.02
        for share, overlap in pair.overlap.items():
            assert overlap == pytest.approx(pair.chance[share], abs=0.02)


@given(st.lists(st.one_of(st.just(float("nan")), st.integers(0, 3).map(float)), max_size=30))
def test_whatever_the_scores_the_matrix_is_json(scores: list[float]) -> None:
    column = np.array(scores, dtype=np.float64)
    json.dumps(describe(agreement({"a": column, "b": column[::-1]})), allow_nan=False)


def test_columns_of_documents_are_compared_by_name() -> None:
    edu = pa.StructArray.from_arrays([pa.array([1.0, 2.0, 3.0, None])], names=["score"])
    loss = pa.StructArray.from_arrays([pa.array([30, 20, 10, 5])], names=["ppl"])
    table = pa.table({"edu": edu, "lm": loss})
    [pair] = agreement_of(table, ["edu.score", "-lm.ppl"], shares=(0.34,))
    assert (pair.rows, pair.spearman) == (3, pytest.approx(1.0))
    with pytest.raises(KeyError):
        agreement_of(table, ["edu.points", "lm.ppl"])
