"""Greedy choices against goldens, the naive form, and all sets there are."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from curation.selection.base import Budget
from curation.selection.greedy import facility_location, facility_location_sparse, k_center
from curation.selection.neighbours import UNIT, dense, fixed, neighbours
from curation.selection.vectors import exact

LINE = np.array([0, 1, 2, 10, 11, 20], dtype=np.float32)
"""methods.md, section 2.6."""


def unit(rows: int, width: int, seed: int = 0) -> np.ndarray:
    return exact(np.random.default_rng(seed).standard_normal((rows, width)))


def value(similarity: np.ndarray, rows: list[int]) -> int:
    return int(similarity[:, rows].max(axis=1).astype(np.int64).sum()) if rows else 0


@pytest.mark.long
def test_k_center_on_the_line() -> None:
    picks = k_center(LINE[:, None], 0, Budget.rows(6, 3))
    assert picks.rows.tolist() == [0, 5, 3]
    assert picks.gains.tolist() == [np.inf, 20.0, 10.0]
    assert np.nanmax(picks.left) == 2.0


@pytest.mark.long
def test_facility_location_on_the_line() -> None:
    picks = facility_location(fixed(np.exp(-np.abs(LINE[:, None] - LINE))), Budget.rows(6, 3))
    assert picks.rows.tolist() == [1, 4, 5]
    assert picks.gains == pytest.approx([1.735928, 1.367834, 0.999877], abs=1e-6)


@pytest.mark.parametrize("block", range(4))
def test_lazy_and_naive_pick_the_same(block: int) -> None:
    for seed in range(50 * block, 50 * block + 50):
        draw = np.random.default_rng(seed)
        rows, count = int(draw.integers(2, 40)), int(draw.integers(1, 12))
        # Few dimensions and coarse numbers: many ties.
        similarity = dense(exact(np.rint(draw.standard_normal((rows, 3)) * 2) + 0.0))
        budget = Budget.rows(rows, count)
        lazy, naive = (facility_location(similarity, budget, lazy=flag) for flag in (True, False))
        assert lazy.rows.tolist() == naive.rows.tolist()
        assert lazy.gains.tolist() == naive.gains.tolist()


def test_quotas_and_costs_are_kept_by_both_forms() -> None:
    draw = np.random.default_rng(7)
    for _ in range(30):
        similarity = dense(exact(draw.standard_normal((30, 4))))
        group = draw.integers(0, 3, 30)
        cost = draw.integers(1, 20, 30)
        budget = Budget(cost, 60, group, np.array([2, -1, 0]))
        lazy, naive = (facility_location(similarity, budget, lazy=flag) for flag in (True, False))
        assert lazy.rows.tolist() == naive.rows.tolist()
        assert cost[lazy.rows].sum() <= 60
        assert (group[lazy.rows] == 0).sum() <= 2
        assert not (group[lazy.rows] == 2).any()


def test_greedy_is_within_its_guarantee_of_the_best_set() -> None:
    for seed in range(40):
        draw = np.random.default_rng(seed)
        rows = int(draw.integers(4, 13))
        count = int(draw.integers(1, 5))
        similarity = dense(unit(rows, 3, seed))
        best = max(value(similarity, list(chosen)) for chosen in combinations(range(rows), count))
        found = facility_location(similarity, Budget.rows(rows, count)).rows.tolist()
        assert value(similarity, found) >= (1 - 1 / np.e) * best


def test_gains_add_up_to_the_value() -> None:
    similarity = dense(unit(200, 8))
    picks = facility_location(similarity, Budget.rows(200, 20))
    assert round(picks.gains.sum() * UNIT) == value(similarity, picks.rows.tolist())


@pytest.mark.long
def test_all_neighbours_are_the_dense_form() -> None:
    vectors = unit(150, 6)
    whole = facility_location(dense(vectors), Budget.rows(150, 25))
    sparse = facility_location_sparse(*neighbours(vectors, 150), Budget.rows(150, 25))
    assert sparse.rows.tolist() == whole.rows.tolist()
    assert sparse.gains.tolist() == whole.gains.tolist()


def test_neighbours_are_those_of_a_full_sort() -> None:
    vectors = exact(np.rint(np.random.default_rng(3).standard_normal((600, 3)) * 3) + 0.01)
    index, similarity = neighbours(vectors, 7)
    every = vectors.astype(np.float64) @ vectors.astype(np.float64).T
    for row in range(600):
        own = every[row].copy()
        own[row] = 2.0
        order = np.lexsort((np.arange(600), -own))[:7]
        assert index[row].tolist() == order.tolist()
        assert similarity[row].tolist() == fixed(own[order]).tolist()


def test_k_center_covers_within_twice_the_best_radius() -> None:
    for seed in range(30):
        vectors = unit(11, 3, seed)
        distance = np.sqrt(((vectors[:, None].astype(np.float64) - vectors) ** 2).sum(axis=2))
        best = min(distance[:, list(chosen)].min(axis=1).max() for chosen in combinations(range(11), 3))
        picks = k_center(vectors, 0, Budget.rows(11, 3))
        assert np.nanmax(picks.left) <= 2 * best + 1e-9


def test_k_center_is_the_plain_loop() -> None:
    vectors = unit(400, 16)
    near = np.full(400, np.inf)
    rows = [5]
    while len(rows) < 40:
        near = np.minimum(near, ((vectors.astype(np.float64) - vectors[rows[-1]]) ** 2).sum(axis=1))
        rows.append(int(near.argmax()))
    assert k_center(vectors, 5, Budget.rows(400, 40)).rows.tolist() == rows


def test_products_of_exact_vectors_do_not_depend_on_the_order_of_adding() -> None:
    vectors = unit(64, 384).astype(np.float64)
    forwards = vectors @ vectors.T
    shuffled = np.random.default_rng(1).permutation(384)
    assert (vectors[:, shuffled] @ vectors[:, shuffled].T == forwards).all()
    assert (np.add.accumulate(vectors[:, None, :] * vectors, axis=2)[:, :, -1] == forwards).all()
