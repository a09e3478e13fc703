"""The survivor of each cluster and the twin of each member, against the rule in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.dedup.components import components
from curation.dedup.keepers import keepers, links

EDGES = st.lists(st.tuples(st.integers(0, 19), st.integers(0, 19)), max_size=30)


@given(EDGES, st.lists(st.integers(0, 3), min_size=20, max_size=20))
@settings(deadline=None)
def test_keepers_equal_the_plain_rule(edges: list[tuple[int, int]], sizes: list[int]) -> None:
    a, b = np.array(edges, np.int64).reshape(-1, 2).T
    label = components(a, b, 20)
    clusters = {c: [i for i in range(20) if label[i] == c] for c in label.tolist()}
    longest = [min(clusters[c], key=lambda i: (-sizes[i], i)) for c in label.tolist()]
    first = [min(clusters[c]) for c in label.tolist()]
    assert keepers(label, np.array(sizes), "longest").tolist() == longest
    assert keepers(label, np.array(sizes), "first").tolist() == first


def test_exactly_one_of_each_cluster_stays() -> None:
    generator = np.random.default_rng(2)
    a, b = generator.integers(0, 5000, (2, 3000))
    label = components(a, b, 5000)
    kept = keepers(label, generator.integers(0, 50, 5000), "longest") == np.arange(5000)
    assert (np.bincount(label[kept], minlength=5000) == (np.bincount(label, minlength=5000) > 0)).all()


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
    with pytest.raises(ValueError, match="survivor"):
        keepers(one, one, "shortest")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one length"):
        keepers(one, np.zeros(2, np.int64), "first")
    with pytest.raises(ValueError, match="outside"):
        keepers(one + 1, one, "first")
    with pytest.raises(ValueError, match="outside"):
        links(one, one + 1, np.ones(1), 1)
    with pytest.raises(ValueError, match="one length"):
        links(one, one, np.ones(2), 1)
    with pytest.raises(ValueError, match="NaN"):
        links(one, one, np.array([np.nan]), 1)
