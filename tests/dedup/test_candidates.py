"""Which pairs are compared: all of small buckets, a linear number of large ones, each once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.duplicates.candidates import candidate_pairs
from curation.duplicates.components import components


def reference(rows: list[tuple[int, int]], first: int) -> list[tuple[int, int]]:
    buckets: dict[int, set[int]] = {}
    for bucket, node in rows:
        buckets.setdefault(bucket, set()).add(node)
    pairs = set()
    for bucket in buckets.values():
        members = sorted(bucket)
        pairs |= {(a, b) for i, b in enumerate(members) for a in members[: min(i, first)]}
    return sorted(pairs)


def pairs_of(rows: list[tuple[int, int]], first: int = 16) -> list[tuple[int, int]]:
    a, b = candidate_pairs(np.array([r[0] for r in rows], np.uint64), np.array([r[1] for r in rows], np.int64), first)
    assert a.dtype == b.dtype == np.int64
    return list(zip(a.tolist(), b.tolist(), strict=True))


@given(
    st.lists(st.tuples(st.sampled_from([0, 1, 2**63, 2**64 - 1]), st.integers(0, 12)), max_size=60),
    st.integers(1, 6),
    st.randoms(),
)
@settings(deadline=None)
def test_equal_to_the_plain_rule_in_any_order(rows: list[tuple[int, int]], first: int, random) -> None:  # type: ignore[no-untyped-def]
    expected = reference(rows, first)
    assert pairs_of(rows, first) == expected
    random.shuffle(rows)
    assert pairs_of(rows, first) == expected


def test_node_numbers_may_be_of_any_size() -> None:
    for nodes in ([5, 2**31, 2**40], [-3, 0, 7], [0, 2**31 - 2, 2**31 - 1]):
        rows = [(bucket, node) for bucket in (1, 2) for node in nodes]
        assert pairs_of(rows) == reference(rows, 16)


def test_a_bucket_of_first_plus_one_gives_all_pairs() -> None:
    assert pairs_of([(7, i) for i in range(17)]) == list(itertools.combinations(range(17), 2))
    assert len(pairs_of([(7, i) for i in range(18)])) == 17 * 18 // 2 - 1


def test_a_huge_bucket_costs_a_linear_number_of_pairs_and_stays_connected() -> None:
    n = 100_000
    a, b = candidate_pairs(np.zeros(n, np.uint64), np.arange(n))
    assert a.size == 16 * (n - 16) + 16 * 15 // 2
    assert (components(a, b, n) == 0).all()


def test_nothing_in_nothing_out_and_wrong_arguments() -> None:
    assert pairs_of([]) == []
    assert pairs_of([(1, 5), (2, 5), (1, 5)]) == []
    with pytest.raises(ValueError, match="at least 1"):
        pairs_of([(1, 1)], 0)
    with pytest.raises(ValueError, match="one length"):
        candidate_pairs(np.zeros(2, np.uint64), np.zeros(1, np.int64))
