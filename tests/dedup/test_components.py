"""Components are those of the graph, labelled by their smallest node, whatever the order of the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from curation.duplicates.components import components


def reference(a: np.ndarray, b: np.ndarray, n: int) -> np.ndarray:
    count, label = connected_components(coo_array((np.ones(a.size), (a, b)), shape=(n, n)), directed=False)
    smallest = np.full(count, n)
    np.minimum.at(smallest, label, np.arange(n))
    return smallest[label]


@pytest.mark.parametrize("seed", range(20))
def test_equal_to_scipy_on_random_graphs(seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(1, 3000))
    a, b = generator.integers(0, n, (2, int(generator.integers(0, 2 * n))))
    got = components(a, b, n)
    assert got.dtype == np.int64
    assert (got == reference(a, b, n)).all()


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)), max_size=40), st.randoms())
@settings(deadline=None)
def test_order_direction_and_repeats_of_edges_do_not_matter(edges: list[tuple[int, int]], random) -> None:  # type: ignore[no-untyped-def]
    a, b = np.array(edges, np.int64).reshape(-1, 2).T
    once = components(a, b, 31)
    shuffled = [pair[::-1] if random.random() < 0.5 else pair for pair in edges * 2]
    random.shuffle(shuffled)
    c, d = np.array(shuffled, np.int64).reshape(-1, 2).T
    assert (components(c, d, 31) == once).all()
    assert (once[once] == once).all()
    assert (once <= np.arange(31)).all()


def test_a_long_chain_is_one_component() -> None:
    n = 200_000
    order = np.random.default_rng(1).permutation(n - 1)
    assert (components(order, order + 1, n) == 0).all()


def test_no_edges_no_nodes_and_wrong_edges() -> None:
    none = np.empty(0, np.int64)
    assert components(none, none, 0).tolist() == []
    assert components(none, none, 3).tolist() == [0, 1, 2]
    for a, b in [([0], [3]), ([-1], [0])]:
        with pytest.raises(ValueError, match="outside"):
            components(np.array(a), np.array(b), 3)
    with pytest.raises(ValueError, match="one length"):
        components(np.array([0, 1]), np.array([0]), 3)
