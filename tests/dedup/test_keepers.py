"""The walk against the rule in plain Python: who stays, and the twin of each that goes."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates.components import components
from curation.duplicates.grams import grams_of
from curation.duplicates.keepers import HEADS, Walk, best_of, links, oriented
from schemas.documents import TEXT

NODES = 20
EDGES = st.dictionaries(
    st.tuples(st.integers(0, NODES - 1), st.integers(0, NODES - 1)).filter(lambda pair: pair[0] < pair[1]),
    st.sampled_from([0.75, 0.8, 1.0]),
    max_size=50,
)
RANKS = st.permutations(range(NODES))


def taken(pairs: list[tuple[int, int, float]], rank: list[int]) -> list[int]:
    a, b = (np.array([pair[k] for pair in pairs], np.int64) for k in (0, 1))
    similarity = np.array([pair[2] for pair in pairs], np.float64)
    worse, better = oriented(np.array(rank), a, b)
    twin, edge = Walk(np.array(rank)).take(worse, better, similarity, np.full(len(pairs), np.nan))
    gone = twin != np.arange(len(rank))
    assert ((edge >= 0) == gone).all()
    assert (better[edge[gone]] == twin[gone]).all()
    return [int(value) for value in twin]


@given(EDGES, RANKS, st.randoms())
@settings(deadline=None)
def test_the_walk_equals_the_plain_rule_in_any_order(edges, rank, random) -> None:  # type: ignore[no-untyped-def]
    near = {**edges, **{(b, a): value for (a, b), value in edges.items()}}
    expected = list(range(NODES))
    kept: list[int] = []
    for node in sorted(range(NODES), key=lambda node: rank[node]):
        found = [(-near[node, other], rank[other], other) for other in kept if (node, other) in near]
        if found:
            expected[node] = min(found)[2]
        else:
            kept.append(node)
    pairs = [(a, b, value) for (a, b), value in edges.items()]
    assert taken(pairs, rank) == expected
    random.shuffle(pairs)
    assert taken([(b, a, value) for a, b, value in pairs], rank) == expected


@given(EDGES, RANKS)
@settings(deadline=None)
def test_what_goes_is_near_to_what_stays_and_what_stays_is_near_to_nothing_that_stays(edges, rank) -> None:  # type: ignore[no-untyped-def]
    twin = taken([(a, b, value) for (a, b), value in edges.items()], rank)
    for node, other in enumerate(twin):
        assert twin[other] == other
        assert node == other or (min(node, other), max(node, other)) in edges
    assert not any(twin[a] == a and twin[b] == b for a, b in edges)


@pytest.mark.parametrize("length", [10, 11, 1000])
@pytest.mark.parametrize("seed", range(5))
def test_a_chain_keeps_at_least_half_whatever_the_ranks_and_no_neighbours(length: int, seed: int) -> None:
    rank = np.random.default_rng(seed).permutation(length).tolist() if seed else list(range(length))
    twin = taken([(i, i + 1, 0.8) for i in range(length - 1)], rank)
    stays = [node for node in range(length) if twin[node] == node]
    assert len(stays) >= length // 3
    assert seed or len(stays) == math.ceil(length / 2)
    assert all(abs(a - b) > 1 for a, b in itertools.pairwise(stays))


def test_a_bucket_of_copies_whose_best_nobody_was_compared_with_comes_to_one() -> None:
    """Each is paired with the first sixteen alone, and the best is another."""
    n, best = 5000, 4000
    pairs = [(a, b) for b in range(n) for a in range(min(b, 16))]
    a, b = np.array(pairs, np.int64).T
    rank = (np.arange(n) - best) % n
    walk = Walk(rank)
    worse, better = oriented(rank, a, b)
    ones = np.ones(len(pairs))
    twin, _ = walk.take(worse, better, ones, ones * np.nan)
    assert (twin == np.arange(n)).sum() > n // 2
    first, second = walk.more(worse, better, twin, components(a, b, n))
    assert len(first) <= len(pairs) + HEADS * n
    worse, better = np.concatenate([worse, first]), np.concatenate([better, second])
    ones = np.ones(len(worse))
    twin, _ = walk.take(worse, better, ones, ones * np.nan)
    assert (twin == best).all()


def test_those_that_stay_are_compared_with_the_best_of_their_cluster() -> None:
    n = 100
    a, b = np.arange(n - 1), np.arange(1, n)
    rank = np.arange(n)
    walk = Walk(rank)
    twin, _ = walk.take(b, a, np.ones(n - 1), np.full(n - 1, np.nan))
    worse, better = walk.more(b, a, twin, np.zeros(n, np.int64))
    assert set(better.tolist()) >= set(range(0, 2 * HEADS, 2))
    assert (rank[worse] > rank[better]).all()
    assert (twin[worse] == worse).all()
    assert (twin[better] == better).all()


@pytest.mark.long
def test_contained_decides_between_those_that_stay() -> None:
    texts = ["a b c d e f g h i j", "a b c d e f g h x y", "a b c d e f g h"]
    said = grams_of(pa.array(texts, TEXT))
    worse, better, near = np.array([1, 2, 2]), np.array([0, 0, 1]), np.array([0.8, 0.8, 0.9])
    for contains, expected in ((0.0, [0, 0, 0]), (0.7, [0, 0, 0]), (0.8, [0, 1, 1]), (1.0, [0, 1, 1])):
        held = np.full(3, np.nan)
        twin, _ = Walk(np.arange(3), contains, said.offsets, said.grams).take(worse, better, near, held)
        assert twin.tolist() == expected, contains
        if contains:
            assert held[0] == 0.75


@given(EDGES, RANKS)
@settings(deadline=None)
def test_the_best_of_a_cluster(edges, rank) -> None:  # type: ignore[no-untyped-def]
    a, b = np.array(list(edges), np.int64).reshape(-1, 2).T
    label = components(a, b, NODES)
    found = best_of(label, np.array(rank)).tolist()
    assert found == [
        min((i for i in range(NODES) if label[i] == label[node]), key=lambda i: rank[i]) for node in range(NODES)
    ]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.5, 0.75, 1.0])), max_size=25))
@settings(deadline=None)
def test_links_equal_the_plain_rule(pairs: list[tuple[int, int, float]]) -> None:
    both = [(a, b, s) for a, b, s in pairs if a != b] + [(b, a, s) for a, b, s in pairs if a != b]
    best = [min(((-s, b) for a, b, s in both if a == i), default=(math.nan, -1)) for i in range(10)]
    for listed in (pairs, pairs[::-1]):
        a, b = (np.array([p[k] for p in listed], np.int64) for k in (0, 1))
        twin, similarity = links(a, b, np.array([p[2] for p in listed], np.float64), 10)
        assert twin.dtype == np.int64
        assert similarity.dtype == np.float64
        assert twin.tolist() == [b for _, b in best]
        np.testing.assert_array_equal(similarity, [-s for s, _ in best])


def test_wrong_arguments_are_refused() -> None:
    one = np.zeros(1, np.int64)
    with pytest.raises(ValueError, match="outside"):
        links(one, one + 1, np.ones(1), 1)
    with pytest.raises(ValueError, match="one length"):
        links(one, one, np.ones(2), 1)
    with pytest.raises(ValueError, match="NaN"):
        links(one, one, np.array([np.nan]), 1)
