"""A score that the input has: unchanged, checked, and good for gates."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.scorers.base import Context
from curation.scorers.imported import Imported, ImportedSettings
from pipelines.workspace import Workspace
from schemas.errors import CurationError


def imported(**settings: Any) -> Imported:
    return Imported(ImportedSettings.model_validate({"column": "rating", **settings}), Context(Path()))


def test_numbers_are_unchanged_and_what_is_none_has_a_status() -> None:
    values = pa.array([4.5, None, float("nan"), float("inf"), -0.0, float("-inf")], pa.float64(), from_pandas=False)
    scores = imported().score(pa.record_batch({"rating": values}))
    assert scores.to_pylist() == [
        {"score": 4.5, "status": "ok"},
        {"score": None, "status": "empty"},
        {"score": None, "status": "empty"},
        {"score": None, "status": "nonfinite"},
        {"score": 0.0, "status": "ok"},
        {"score": None, "status": "nonfinite"},
    ]
    whole = imported().score(pa.record_batch({"rating": values.slice(0, 1)}))
    assert whole.schema == pa.schema(imported().fields)
    assert imported().score(pa.record_batch({"rating": values.slice(0, 0)})).num_rows == 0


def test_it_reads_its_column_and_points_its_way() -> None:
    assert imported().reads == imported().numbers == ("rating",)
    assert (imported().contract.orientation, imported(orientation="lower").contract.orientation) == (1, -1)
    with pytest.raises(ValueError, match="neither a document's text nor its id"):
        imported(column="text")


def recipe(folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "name": "rated",
        "input": {"path": str(folder / "in-*"), "columns": {"rating": "gpt4"}},
        "stages": [{"scorer": "imported", "id": "judge", "column": "rating", "keep": "judge.score >= 3"}],
        "output": {"columns": ["text", "judge.score"]},
        **changes,
    }


@pytest.mark.parametrize(
    "values",
    [
        pa.array([1, 3, None, 5], pa.int8()),
        pa.array([1.0, 3.0, None, 5.0], pa.float32()),
        pa.array([Decimal("1.0"), Decimal("3.0"), None, Decimal("5.0")], pa.decimal128(4, 1)),
        pa.array([1, 3, None, 5], pa.uint64()),
    ],
    ids=str,
)
def test_any_column_of_numbers_can_stand_in_a_gate(values: pa.Array, tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a b", "c d", "e f", "g h"], "gpt4": values}), tmp_path / "in-0.parquet")
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe(tmp_path), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    documents = workspace.sql("SELECT row, kept, judge.score, judge.status, reason FROM documents ORDER BY row")
    assert [(d["kept"], d["score"], d["status"]) for d in documents.to_pylist()] == [
        (False, 1.0, "ok"),
        (True, 3.0, "ok"),
        (False, None, "empty"),
        (True, 5.0, "ok"),
    ]


def test_json_lines_and_parquet_of_other_widths_go_together(tmp_path: Path) -> None:
    (tmp_path / "in-0.jsonl").write_text('{"text": "a b", "gpt4": 4}\n{"text": "c d"}\n')
    pq.write_table(pa.table({"text": ["e f"], "gpt4": pa.array([2.5], pa.float32())}), tmp_path / "in-1.parquet")
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(recipe(tmp_path), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    assert workspace.sql("SELECT judge.score FROM documents ORDER BY path, row").column(0).to_pylist() == [4, None, 2.5]


def test_a_large_integer_is_rounded_not_refused(tmp_path: Path) -> None:
    big = 2**60 + 1
    pq.write_table(pa.table({"text": ["a b"], "gpt4": pa.array([big], pa.int64())}), tmp_path / "in-0.parquet")
    workspace = Workspace(tmp_path / "ws")
    assert workspace.run(recipe(tmp_path), executor="local", workers=1).outcome == "done"
    assert workspace.sql("SELECT judge.score FROM documents").column(0).to_pylist() == [float(np.float64(big))]


@pytest.mark.parametrize(
    ("table", "code", "says"),
    [
        ({"text": ["a"], "gpt4": ["4"]}, "C022", r"'gpt4' \(for rating\) is .*string, not numbers"),
        ({"text": ["a"], "other": [4]}, "C021", r"'gpt4' \(for rating\) is missing"),
    ],
)
def test_a_column_that_is_missing_or_no_number_is_a_finding(
    table: dict[str, Any], code: str, says: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(table), tmp_path / "in-0.parquet")
    with pytest.raises(CurationError, match=says) as failure:
        Workspace(tmp_path / "ws").run(recipe(tmp_path), executor="local")
    assert [finding.code for finding in failure.value.findings] == [code]


def test_an_unmapped_column_is_a_finding(tmp_path: Path) -> None:
    (tmp_path / "in-0.jsonl").write_text(json.dumps({"text": "a b", "gpt4": 4}))
    settings = recipe(tmp_path, input={"path": str(tmp_path / "in-*")})
    with pytest.raises(CurationError, match="no input column is mapped to 'rating'"):
        Workspace(tmp_path / "ws").run(settings, executor="local")
