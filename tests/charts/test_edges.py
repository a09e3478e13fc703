"""Bins hold what they say: any value is counted in the bin whose edges it lies between, whatever values there are."""

from __future__ import annotations

import bisect
import math
from itertools import pairwise

import duckdb
import numpy as np
import pytest

from pipelines.charts.edges import Edges, Spread, edges_of


def spread_of(values: list[float]) -> Spread | None:
    finite = sorted(value for value in values if math.isfinite(value))
    if not finite:
        return None
    low, p05, p95, high = (finite[int(share * (len(finite) - 1))] for share in (0.001, 0.05, 0.95, 0.999))
    return Spread(finite[0], finite[-1], low, high, p05, p95)


def bin_of(edges: Edges, value: float | None) -> int | None:
    if value is None or math.isnan(value):
        return None
    if value == edges.edges[-1]:
        return len(edges.edges) - 2
    return bisect.bisect_right(edges.edges, value) - 1


RANDOM = np.random.default_rng(7)
CASES = {
    "shares": (RANDOM.beta(8, 2, 500).tolist(), [0.65]),
    "counts": (np.rint(RANDOM.lognormal(5, 1.5, 500)).tolist(), [50.0, 100_000.0]),
    "few": ([0.0, 1.0, 2.0, 3.0, 3.0], [2.0]),
    "constant": ([4.25] * 9, [0.5]),
    "tiny": ([5e-324, 1e-310, 2e-310], []),
    "huge": ([-1.7e308, 1.7e308, 0.0], [1e300]),
    "close": ([1.0, math.nextafter(1.0, 2), math.nextafter(1.0, 0)], []),
    "infinite": ([math.inf, -math.inf, math.nan, 1.0, 2.0], [1.5]),
    "nothing finite": ([math.inf, math.nan], [0.5]),
    "far out": ([*RANDOM.normal(0, 1, 2000).tolist(), 1e12], [1.0]),
    "positive, with thresholds that are not": (RANDOM.lognormal(5, 2, 300).tolist(), [0.0, -3.0, 40.0]),
    "zeros and large": ([0.0] * 3 + RANDOM.lognormal(8, 2, 400).tolist(), [10.0]),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("whole", [False, True])
def test_every_value_is_in_the_bin_between_whose_edges_it_lies(name: str, whole: bool) -> None:
    values, thresholds = CASES[name]
    edges = edges_of(spread_of(values), whole, False, thresholds)
    assert len(edges.edges) >= 2
    assert len(edges.edges) <= 130
    assert all(math.isfinite(edge) for edge in edges.edges)
    assert all(low < high for low, high in pairwise(edges.edges))
    tried = [*values, *edges.edges, *(math.nextafter(edge, -math.inf) for edge in edges.edges), *thresholds, None]
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t (n INTEGER, v DOUBLE)")
    connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(tried)))
    got = [row[0] for row in connection.execute(f"SELECT {edges.bin_sql('v')} FROM t ORDER BY n").fetchall()]
    assert got == [bin_of(edges, value) for value in tried]


def test_thresholds_fall_between_two_bins_and_outliers_do_not_squeeze_the_rest() -> None:
    values, thresholds = CASES["shares"]
    assert 0.65 in edges_of(spread_of(values), False, False, thresholds).edges
    values, thresholds = CASES["counts"]
    counts = edges_of(spread_of(values), True, False, thresholds)
    assert counts.scale == "log"
    assert 50.0 in counts.edges
    assert edges_of(spread_of(CASES["far out"][0]), False, False, [1.0]).edges[-1] < 10
    assert edges_of(None, False, True, []).edges == [0.0, 1.0, 2.0]
