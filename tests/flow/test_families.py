"""A further family of dataset-wide stages is one file with two classes, and one line in FAMILIES."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation import registry
from curation.flow.dataset_wide import FAMILIES, Entered, Family, Rows
from curation.flow.ledger import Ledger
from curation.flow.units import ResolveWork, ShardWork
from curation.flow.verdicts import StageVerdicts
from curation.selection.base import SELECTED, Selection
from pipelines.workspace import Workspace

ROWS = 90


class EveryOther(Selection):
    """Of the documents that reach it, in input order, the first, the third and so on."""

    kind = "every-other"

    @property
    def fields(self) -> list[pa.Field]:
        return [SELECTED]


class EveryOtherFamily(Family):
    schema = pa.schema([pa.field("row", pa.int64())])

    def enter(self, shard_work: ShardWork, ledger: Ledger, rows: Rows) -> Entered:
        return Entered(pa.table({"row": rows}))

    def resolve(self, task: ResolveWork, mark: str) -> dict[str, Any]:
        counts = [record["rows"] for record in task.entrants]
        before = {at.shard.index: sum(counts[:number]) for number, at in enumerate(task.shards)}
        return {"cut": json.dumps(before), "dropped": sum(counts) // 2, "bytes": 0}

    def verdicts(self, shard_work: ShardWork, ledger: Ledger) -> StageVerdicts:
        before = json.loads(shard_work.groups[self.stage.id]["cut"])[str(shard_work.shard.index)]
        number = before + np.cumsum(ledger.alive) - 1
        drop = ledger.alive & (number % 2 == 1)
        struct = pa.StructArray.from_arrays([pa.array(~drop)], fields=[SELECTED])
        return StageVerdicts(struct, drop, "every_other", np.full(len(drop), np.nan), None, {})


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setitem(registry.BUILTIN["select"], EveryOther.kind, f"{__name__}:EveryOther")
    monkeypatch.setitem(FAMILIES, f"{__name__}:EveryOther", f"{__name__}:EveryOtherFamily")
    (tmp_path / "in").mkdir()
    for number in range(3):
        rows = list(range(number * 30, number * 30 + 30))
        table = pa.table({"text": [f"text {row} with some words" for row in rows], "n": rows})
        pq.write_table(table, tmp_path / "in" / f"{number}.parquet", row_group_size=7)
    return Workspace(tmp_path / "ws")


def settings(workspace: Workspace, **stage: Any) -> dict[str, Any]:
    return {
        "name": "other",
        "input": {"path": str(workspace.store.root.parent / "in"), "columns": {"n": "n"}, "shard_bytes": 300},
        "stages": [
            {"scorer": "imported", "id": "number", "column": "n", "keep": "number.score >= 5"},
            {"select": "every-other", "id": "other", **stage},
            {"scorer": "imported", "id": "again", "column": "n", "keep": "again.score != 9"},
        ],
        "output": {"columns": ["n"]},
    }


def test_it_runs_over_shards_and_what_is_decided_is_not_decided_again(workspace: Workspace) -> None:
    result = workspace.run(settings(workspace), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    assert workspace.sql("SELECT count(*) FROM shards").column(0).to_pylist()[0] > 3
    expected = [row for row in range(5, ROWS, 2) if row != 9]
    folder = workspace.store.path(workspace.sql("SELECT path FROM datasets").column(0).to_pylist()[0])
    written = [n for path in sorted(folder.glob("data/*.parquet")) for n in pq.read_table(path).column("n").to_pylist()]
    assert written == expected
    reasons = workspace.sql("SELECT reason, count(*) AS rows FROM drops WHERE stage = 'other' GROUP BY reason")
    assert reasons.to_pylist() == [{"reason": "every_other", "rows": 42}]
    assert workspace.run(settings(workspace), executor="local").outcome == "nothing-to-do"


def test_a_gate_decides_instead(workspace: Workspace) -> None:
    result = workspace.run(settings(workspace, keep="not other.selected"), executor="local")
    assert result.outcome == "done", result.failures
    assert result.kept == 42


def test_a_class_of_no_family_is_said_by_name(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(FAMILIES, f"{__name__}:EveryOther")
    with pytest.raises(TypeError, match="stage 'other' is of no family"):
        workspace.run(settings(workspace), executor="local")
