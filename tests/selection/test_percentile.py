"""`select: percentile` and `select: band` over shards: exactly the ranks asked for, whatever the sharding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lengths import mostly_long

from pipelines import Workspace
from schemas.errors import CurationError

VALUES = np.random.default_rng(3).integers(0, 12, 97).astype(float)
MISSING = np.arange(97) % 13 == 5
TEXTS = [f"document {row}" for row in range(97)]
SCORED = [row for row in range(97) if not MISSING[row]]


def curate(folder: Path, cuts: list[int], stage: dict[str, Any]) -> tuple[list[int], Workspace]:
    """Rows that a stage keeps of the 97 documents in files that end at `cuts`."""
    (folder / "in").mkdir(parents=True, exist_ok=True)
    table = pa.table({"text": TEXTS, "value": pa.array(VALUES, mask=MISSING)})
    for number, (begin, end) in enumerate(zip([0, *cuts], [*cuts, 97], strict=True)):
        pq.write_table(table.slice(begin, end - begin), folder / "in" / f"{number}.parquet", row_group_size=7)
    recipe = {
        "name": "cut",
        "input": {"path": str(folder / "in"), "columns": {"value": "value"}, "shard_bytes": 400},
        "stages": [{"scorer": "imported", "id": "given", "column": "value"}, stage],
        "output": {"columns": ["text"]},
    }
    workspace = Workspace(folder / "ws")
    result = workspace.run(recipe, executor="local")
    assert result.outcome == "done", result.failures
    kept = [pq.read_table(path).column("text").to_pylist() for path in sorted(result.folder.glob("data/*.parquet"))]
    return [int(text.split()[1]) for part in kept for text in part], workspace


def ascending() -> list[int]:
    """The plain reference: scored rows from the lowest value up, of equal ones the earlier row counting as higher."""
    return sorted(SCORED, key=lambda row: (VALUES[row], -row))


@pytest.mark.parametrize(("low", "high"), mostly_long([(0.29, 0.3), (0.9, 1.0), (0.0, 0.1), (0.25, 0.75), (0.0, 1.0)]))
def test_a_percentile_cut_keeps_exactly_its_ranks(tmp_path: Path, low: float, high: float) -> None:
    n = len(SCORED)
    assert n == 89
    expected = sorted(ascending()[int(round(low * 100) * n // 100) : int(round(high * 100) * n // 100)])
    stage = {"select": "percentile", "by": "given.score", "low": low, "high": high}
    assert curate(tmp_path / "one", [], stage)[0] == expected
    assert curate(tmp_path / "many", [11, 12, 50, 80], stage)[0] == expected


@pytest.mark.long
@pytest.mark.parametrize(("band", "begin"), [("low", 0), ("middle", 23), ("high", 45)])
def test_a_band_keeps_exactly_half(tmp_path: Path, band: str, begin: int) -> None:
    expected = sorted(ascending()[begin : begin + 44])
    stage = {"select": "band", "by": "given.score", "band": band}
    assert curate(tmp_path / "one", [], stage)[0] == expected
    kept, workspace = curate(tmp_path / "many", [30, 31, 77], stage)
    assert kept == expected
    drops = workspace.sql("SELECT reason, score, threshold FROM drops WHERE score IS NOT NULL").to_pylist()
    assert {row["reason"] for row in drops} == {"outside_band"}
    assert all(row["threshold"] in VALUES for row in drops)
    values = VALUES[expected]
    for row in drops:
        assert row["threshold"] == (values.max() if row["score"] >= values.max() else values.min())


@pytest.mark.long
def test_the_lowest_may_be_the_best(tmp_path: Path) -> None:
    stage = {"select": "top", "by": "given.score", "lowest": True, "count": 10}
    expected = sorted(sorted(SCORED, key=lambda row: (VALUES[row], row))[:10])
    kept, workspace = curate(tmp_path, [40], stage)
    assert kept == expected
    [cut] = workspace.sql("SELECT DISTINCT threshold FROM drops WHERE score IS NOT NULL").to_pylist()
    assert cut["threshold"] == VALUES[expected].max()


def test_percentiles_that_leave_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="nothing would stay"):
        curate(tmp_path, [], {"select": "percentile", "by": "given.score", "low": 0.5, "high": 0.5})


def test_no_ranking_goes_by_a_cascade(tmp_path: Path) -> None:
    member = {"scorer": "imported", "column": "value", "field": "score"}
    cascade = {"scorer": "cascade", "id": "c", "cheap": member, "expensive": member, "cut": 1.0}
    recipe = {
        "name": "x",
        "input": {"path": str(tmp_path), "columns": {"value": "value"}},
        "stages": [cascade, {"select": "top", "by": "c.expensive", "count": 3}],
    }
    with pytest.raises(CurationError, match="different scorers made") as caught:
        Workspace(tmp_path / "ws").check(recipe)
    assert caught.value.findings[0].code == "C014"
