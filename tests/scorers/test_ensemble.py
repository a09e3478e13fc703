"""An ensemble in a run: ranks from frozen tables, so that a score depends on the document alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.scorers.base import Context
from curation.scorers.ensemble import Ensemble, EnsembleSettings
from curation.statistics.ensemble import agreement_of
from pipelines.workspace import Workspace

Settings = dict[str, Any]
A = {"scorer": "imported", "field": "score", "column": "a"}
B = {"scorer": "imported", "field": "score", "column": "b"}
STAGE: Settings = {"scorer": "ensemble", "id": "e", "members": [A, B], "sample": 2000}


def documents(rows: int = 2000, seed: int = 0) -> pa.Table:
    """Two scores of other scales that know of one truth, which `gold` says for half of the documents."""
    random = np.random.default_rng(seed)
    truth = random.normal(size=rows)
    a = 1000 * np.exp(truth + random.normal(0, 0.5, rows))
    b = -(truth + random.normal(0, 1.5, rows))  # lower is better
    return pa.table(
        {
            "text": [f"document {seed} {row}" for row in range(rows)],
            "a": pa.array(a, mask=np.arange(rows) % 97 == 5),
            "b": b,
            "gold": pa.array(truth, mask=np.arange(rows) % 2 == 0),
        }
    )


def recipe(folder: Path, *stages: Settings) -> Settings:
    columns = {name: name for name in ("a", "b", "gold")}
    return {
        "name": "together",
        "input": {"path": str(folder / "in-*.parquet"), "columns": columns},
        "stages": list(stages),
        "output": {"columns": ["text"]},
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(documents().slice(0, 1300), tmp_path / "in-0.parquet", row_group_size=400)
    pq.write_table(documents().slice(1300), tmp_path / "in-1.parquet")
    return tmp_path


def run(
    folder: Path, name: str, stage: Settings, *more: Settings
) -> tuple[Workspace, list[dict[str, Any]], dict[str, Any]]:
    workspace = Workspace(folder / name)
    result = workspace.run(recipe(folder, stage, *more), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    rows = workspace.sql("SELECT unnest(e) FROM documents ORDER BY path, row").to_pylist()
    [fit] = workspace.manifest.read("fits").to_pylist()
    return workspace, rows, json.loads(fit["card"])


def test_the_best_bucket_of_the_members_is_the_score(folder: Path) -> None:
    stage = {**STAGE, "members": [A, {**B, "better": "lower"}]}
    _, rows, card = run(folder, "ws", stage)
    table = documents()
    a, b = (np.array([np.nan if v is None else v for v in table.column(name).to_pylist()]) for name in ("a", "b"))
    sides = [np.sort(a[~np.isnan(a)]), np.sort(-b)]
    for row, found in enumerate(rows):
        if np.isnan(a[row]):
            assert (found["score"], found["ranks"], found["status"]) == (None, None, "empty")
            continue
        # every document was sampled, so the tables are the dataset's own
        buckets = [
            20 * np.searchsorted(side, value, side="left") // len(side)
            for side, value in zip(sides, (a[row], -b[row]), strict=True)
        ]
        assert abs(found["score"] - max(buckets)) <= 1
        assert found["ranks"][0] == pytest.approx(np.searchsorted(sides[0], a[row]) / len(sides[0]), abs=0.002)
    top = [row["score"] == 19 for row in rows if row["score"] is not None]
    share = card["top_bucket"]
    assert np.mean(top) == pytest.approx(share["share"], abs=0.005)
    assert share["if_identical"] < share["share"] < share["if_independent"]
    [pair] = card["agreement"]
    assert 0.3 < pair["spearman"] < 0.9
    assert pair["overlap"]["0.05"] > pair["chance"]["0.05"]
    assert card["members"] == ["imported.score#0", "imported.score#1"]


@pytest.mark.long
def test_the_mean_rank_knows_more_than_either_member(folder: Path) -> None:
    judge = [{"scorer": "imported", "id": name, "column": name} for name in ("a", "b", "gold")]
    stage = {**STAGE, "members": [A, {**B, "orientation": "lower"}], "method": "mean"}
    workspace, rows, _ = run(folder, "ws", stage, *judge)
    for found in rows:
        if found["score"] is not None:
            assert found["score"] == pytest.approx(np.mean(found["ranks"]), abs=1e-6)
    table = workspace.sql("SELECT e, a, b, gold FROM documents")
    pairs = agreement_of(table, ["gold.score", "e.score", "a.score", "-b.score"])
    with_gold = {pair.b: pair.spearman for pair in pairs if pair.a == "gold.score"}
    assert with_gold["a.score"] > with_gold["-b.score"] > 0.4
    assert with_gold["e.score"] > with_gold["-b.score"]


def test_learned_weights_lean_on_the_better_member(folder: Path) -> None:
    stage = {**STAGE, "members": [A, {**B, "better": "lower"}], "method": "learned", "target": "gold"}
    _, rows, card = run(folder, "ws", stage)
    first, second = card["weights"].values()
    assert first > 2 * second > 0
    said = card["spearman_with_target"]
    assert said["held_out"] > max(said["imported.score#0"], said["imported.score#1"])
    assert sum(row["score"] is not None for row in rows) == 2000 - len(range(5, 2000, 97))


@pytest.mark.long
def test_new_documents_are_ranked_in_the_frozen_tables(folder: Path) -> None:
    workspace, before, _ = run(folder, "ws", STAGE)
    extreme = documents(300, seed=1).set_column(1, "a", pa.array([1e9] * 300))
    pq.write_table(extreme, folder / "in-2.parquet")
    result = workspace.run(recipe(folder, STAGE), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    rows = workspace.sql("SELECT unnest(e) FROM documents ORDER BY path, row").to_pylist()
    assert rows[:2000] == before
    assert {row["score"] for row in rows[2000:]} == {19.0}
    assert workspace.run(recipe(folder, STAGE), executor="local", workers=1).outcome == "nothing-to-do"
    assert workspace.plan(recipe(folder, STAGE)).to_score == 0


def test_a_score_is_the_same_in_any_batch(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    from curation.scorers.alone import run as score_all

    settings = EnsembleSettings.model_validate({"members": [A, B], "method": "learned", "target": "gold"})
    table = documents(300)
    pool = pa.record_batch({name: table.column(name).combine_chunks() for name in table.column_names})
    (tmp_path / "artifact").mkdir()
    save_file(Ensemble(settings, Context(tmp_path)).fit(pool).tensors, tmp_path / "artifact" / "head.safetensors")
    made = Ensemble(settings, Context(tmp_path, tmp_path / "artifact"))
    together = score_all(made, pool)
    assert [(f.name, f.type) for f in together.schema if f.name != "status"] == [(f.name, f.type) for f in made.fields]
    order = np.random.default_rng(0).permutation(300)
    assert score_all(made, pool.take(pa.array(order))).to_pylist() == [together.to_pylist()[row] for row in order]
    for row in (0, 5, 299):
        alone = score_all(made, pool.slice(row, 1)).to_pylist()[0]
        assert {"status": "ok", **alone} == together.to_pylist()[row]
    with pytest.raises(RuntimeError, match="has to be fitted first"):
        Ensemble(settings, Context(tmp_path)).load()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"members": [A]}, "at least 2"),
        ({"method": "learned"}, "belong together"),
        ({"target": "gold"}, "belong together"),
        ({"members": [A, {**B, "field": "rank"}]}, "no column 'rank'"),
    ],
)
def test_what_makes_no_ensemble_is_refused(changes: Settings, says: str, folder: Path) -> None:
    with pytest.raises(Exception, match=says):
        Workspace(folder / "ws").plan(recipe(folder, {**STAGE, **changes}))


def test_a_member_without_any_score_is_named(tmp_path: Path) -> None:
    empty = documents(200).set_column(2, "b", pa.nulls(200, pa.float64()))
    pq.write_table(empty, tmp_path / "in-0.parquet")
    with pytest.raises(Exception, match=r"imported\.score#1 has no score on any of 200"):
        Workspace(tmp_path / "ws").run(recipe(tmp_path, STAGE), executor="local")
