"""Grouping keeps to DuckDB's memory limit and goes to disk beyond it."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.flow import pair, units
from curation.flow.units import ResolveWork, Work

PAIRS = 4_000_000
LIMIT = "64MB"
"""Less than the 64 MB of numbers that the pairs are, and their hash table comes on top."""


@pytest.mark.long
def test_more_pairs_than_fit_into_memory_are_merged_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(5)
    a = random.integers(0, 1 << 30, PAIRS)
    b = a + random.integers(1, 1 << 20, PAIRS)
    (tmp_path / "groups" / "group").mkdir(parents=True)
    for number in range(4):  # every pair is met in two prefixes
        rows = slice(number % 2 * PAIRS // 2, (number % 2 + 1) * PAIRS // 2)
        pq.write_table(pa.table({"a": a[rows], "b": b[rows]}), tmp_path / f"{number}.parquet")
    nothing = pa.schema([])
    work = Work(str(tmp_path), "run", "attempt", {}, (), nothing, nothing, (), 1, "here")
    names = tuple(f"{number}.parquet" for number in range(4))
    task = ResolveWork(work, None, "group", (), (), names)  # type: ignore[arg-type]
    monkeypatch.setattr(units, "MEMORY", LIMIT)
    first, second = pair.distinct_pairs(task)
    expected = np.unique(a << 32 | (b - a))
    assert np.array_equal(first << 32 | (second - first), expected)
    assert not list(tmp_path.glob("groups/group/.tmp-spill-*/*"))  # and nothing is left there

    memory_only = {"memory_limit": LIMIT, "temp_directory": ""}
    monkeypatch.setattr(pair, "database", lambda *_: duckdb.connect(config=memory_only))
    with pytest.raises(duckdb.OutOfMemoryException):
        pair.distinct_pairs(task)
