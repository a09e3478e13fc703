"""Clusters stay together, splits stay what they were, and what leaks is found."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import binom

from curation.weak_to_strong.crossfit import QUARANTINED, UNSEEN, Protocol, folds, settle, straddles

PROTOCOL = Protocol((("weak", 0.3), ("transfer", 0.4), ("calibration", 0.1), ("test", 0.2)), seed=3)


def clustered(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Clusters named by their smallest row, from one row to many, and keys."""
    random = np.random.default_rng(seed)
    of = random.integers(0, np.maximum(np.arange(rows) // 2, 1))
    clusters = np.where(random.random(rows) < 0.5, np.arange(rows), of)
    for row in range(rows):
        clusters[row] = clusters[clusters[row]] if clusters[row] != row else row
    return clusters.astype(np.int64), random.integers(2**64, size=rows, dtype=np.uint64)


def test_a_cluster_is_in_one_split_and_one_fold_whatever_the_order_of_rows() -> None:
    clusters, keys = clustered(5000)
    split, fold = PROTOCOL.split(clusters, keys), folds(clusters, keys, 5)
    assert len(straddles(clusters, split)) == 0
    assert len(straddles(clusters, fold.astype(np.int8))) == 0
    order = np.random.default_rng(1).permutation(5000)
    np.testing.assert_array_equal(PROTOCOL.split(clusters[order], keys[order]), split[order])
    np.testing.assert_array_equal(folds(clusters[order], keys[order], 5), fold[order])


@pytest.mark.parametrize("size", [1, 20])
def test_shares_are_about_what_was_asked_for_whatever_the_size_of_clusters(size: int) -> None:
    """The least hash of a large cluster is small: taken as it is, large clusters would all be in the first split."""
    keys = np.random.default_rng(2).integers(2**64, size=10_000 * size, dtype=np.uint64)
    clusters = np.repeat(np.arange(10_000), size)
    count = np.bincount(PROTOCOL.split(clusters, keys), minlength=4) / size
    for found, (_, share) in zip(count, PROTOCOL.shares, strict=True):
        assert binom.ppf(1e-4, 10_000, share) <= found <= binom.ppf(1 - 1e-4, 10_000, share)
    in_folds = np.bincount(folds(clusters, keys, 5), minlength=5) / size
    assert in_folds.min() >= binom.ppf(1e-4, 10_000, 0.2)


def test_folds_and_splits_of_one_seed_are_independent() -> None:
    clusters, keys = np.arange(20_000), np.random.default_rng(3).integers(2**64, size=20_000, dtype=np.uint64)
    table = np.zeros((4, 5))
    np.add.at(table, (PROTOCOL.split(clusters, keys), folds(clusters, keys, 5, seed=3)), 1)
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / 20_000
    assert ((table - expected) ** 2 / expected).sum() < 32.9  # chi-square, 12 degrees of freedom, .999


def test_a_protocol_survives_json_with_sorted_keys() -> None:
    frozen = json.dumps(PROTOCOL.freeze(), sort_keys=True)
    assert Protocol.thaw(json.loads(frozen)) == PROTOCOL
    with pytest.raises(ValueError, match="drawn by 'md5'"):
        Protocol.thaw({**PROTOCOL.freeze(), "hash": "md5"})


def test_the_draw_is_the_same_in_every_version() -> None:
    """Frozen splits hang on these values: a change here is a change of HASH."""
    keys = np.arange(1, 13, dtype=np.uint64)
    assert PROTOCOL.split(np.arange(12), keys).tolist() == [1, 1, 3, 3, 0, 0, 1, 1, 3, 0, 0, 2]
    assert folds(np.arange(12), keys, 3, seed=3).tolist() == [2, 1, 0, 1, 2, 0, 2, 2, 1, 0, 1, 1]


def test_rows_that_come_later_join_their_cluster_and_nothing_moves() -> None:
    clusters, keys = clustered(4000)
    before = PROTOCOL.split(clusters, keys)
    frozen = np.where(np.arange(4000) < 3000, before, UNSEEN).astype(np.int8)
    settled = settle(PROTOCOL, clusters, keys, frozen)
    np.testing.assert_array_equal(settled.split[:3000], before[:3000])
    assert len(settled.straddling) == 0
    # the keys of later rows may be the least of their cluster: a fresh draw would move it
    assert (PROTOCOL.split(clusters[:3000], keys[:3000]) != before[:3000]).any()
    earlier = settle(PROTOCOL, clusters[:3000], keys[:3000], np.full(3000, UNSEEN, np.int8)).split
    later = settle(PROTOCOL, clusters, keys, np.append(earlier, np.full(1000, UNSEEN, np.int8)).astype(np.int8))
    np.testing.assert_array_equal(later.split[:3000], earlier)
    assert len(straddles(clusters, later.split)) == 0


def test_clusters_that_turn_out_to_be_one_are_reported_and_quarantined() -> None:
    clusters, keys = np.array([0, 0, 2, 3, 4]), np.arange(5, dtype=np.uint64)
    frozen = np.array([0, 0, 3, 1, UNSEEN], np.int8)
    merged = np.array([0, 0, 0, 3, 0])
    assert len(straddles(clusters, frozen)) == 0
    settled = settle(PROTOCOL, merged, keys, frozen)
    assert settled.straddling.tolist() == [0]
    assert settled.split.tolist() == [QUARANTINED, QUARANTINED, QUARANTINED, 1, QUARANTINED]
    # and they stay there, with what joins them
    again = settle(PROTOCOL, np.array([0, 0, 0, 0, 0]), keys, settled.split)
    assert set(again.split.tolist()) == {QUARANTINED}


def test_shares_that_are_no_shares_are_refused() -> None:
    for shares in ((), (("a", 0.5), ("a", 0.5)), (("a", 1.0), ("b", 0.0)), (("a", 0.5), ("b", 0.4))):
        with pytest.raises(ValueError, match="share"):
            Protocol(shares)
