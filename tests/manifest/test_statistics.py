"""`statistics` and `distributions` say what the documents say, by source, without reading them."""

from __future__ import annotations

import json
import math
import shutil
from collections import defaultdict
from collections.abc import Callable
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.manifest.parts import Manifest
from curation.manifest.sketch import ACCURACY, Sketch
from pipelines.cli.main import _main
from pipelines.planning.resolve import resolve_recorded
from pipelines.workspace import Workspace
from schemas.errors import CurationError
from schemas.manifest import DECISION

PERCENT = {"p01": 1, "p05": 5, "p25": 25, "p50": 50, "p75": 75, "p95": 95, "p99": 99}
Settings = dict[str, Any]


def two_sources(recipe: Callable[..., Settings], corpus: Path, **changes: Any) -> Settings:
    """The shared recipe over two patterns, its model replaced by a cut."""
    settings = recipe(**changes)
    settings["input"]["path"] = [f"{corpus}/*.parquet", f"{corpus}/*.jsonl*"]
    settings["stages"] = [*settings["stages"][:5], {"select": "top", "by": "language.prob", "fraction": 0.6}]
    settings["output"] = {"columns": ["text", "id"]}
    return settings


@pytest.fixture(scope="module")
def finished(recipe: Any, corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Workspace]:
    workspace = Workspace(tmp_path_factory.mktemp("sources"))
    result = workspace.run(two_sources(recipe, corpus), executor="local", workers=2)
    assert result.outcome == "done", result.failures
    return result.run, workspace


def rows(workspace: Workspace, query: str) -> list[dict[str, Any]]:
    return workspace.sql(query).to_pylist()  # type: ignore[no-any-return]


def measurements(workspace: Workspace) -> dict[tuple[str, str, str | None], list[float | None]]:
    """Every value of every numeric column of `documents` that reached its stage, by stage, field and source."""
    found: defaultdict[tuple[str, str, str | None], list[float | None]] = defaultdict(list)
    for document in rows(workspace, "SELECT * FROM documents"):
        source = "*.parquet" if document["path"].endswith(".parquet") else "*.jsonl*"
        for stage, struct in document.items():
            for field, value in (struct or {}).items() if isinstance(struct, dict) else ():
                for part in (source, None):
                    found[stage, field, part].append(value)
    return found


def test_one_row_for_each_stage_field_and_source_with_what_the_documents_hold(finished: Any, corpus: Path) -> None:
    _, workspace = finished
    expected = {
        key: values
        for key, values in measurements(workspace).items()
        if not any(isinstance(value, str) for value in values) and key[1] != "status"
    }
    found = rows(workspace, "SELECT * FROM statistics")
    names = {(row["stage"], row["field"], row["source"] and row["source"].removeprefix(f"{corpus}/")) for row in found}
    assert names == set(expected)
    assert len(found) == len(names) > 60
    for row in found:
        source = row["source"] and row["source"].removeprefix(f"{corpus}/")
        values = expected[row["stage"], row["field"], source]
        numbers = np.sort(np.array([value for value in values if value is not None], np.float64))
        assert (row["documents"], row["nulls"], row["nans"]) == (len(numbers), len(values) - len(numbers), 0)
        assert (row["min"], row["max"]) == (numbers[0], numbers[-1])
        assert row["mean"] == pytest.approx(numbers.mean(), rel=1e-12)
        if len(numbers) == 1:  # such as what the one duplicate of a source loses
            assert row["stddev"] is None
        else:
            assert row["stddev"] == pytest.approx(numbers.std(ddof=1), rel=1e-6, abs=1e-9)
        for name, percent in PERCENT.items():
            exact = numbers[(len(numbers) - 1) * percent // 100]
            assert abs(row[name] - exact) <= ACCURACY * abs(exact), (row, name)


def test_the_view_and_the_sum_of_the_sketches_agree(finished: Any) -> None:
    run, workspace = finished
    records = workspace.manifest.where("sketches", run=run).to_pylist()
    assert len({record["shard"] for record in records}) > 7
    own: defaultdict[tuple[str, str, str | None], list[Sketch]] = defaultdict(list)
    for record in records:
        for source in (record["source"], None):
            own[record["stage"], record["field"], source].append(Sketch.from_record(record))
    bins: defaultdict[tuple[str, str, str | None], dict[int, int]] = defaultdict(dict)
    for row in rows(workspace, "SELECT * FROM distributions"):
        bins[row["stage"], row["field"], row["source"]][row["bin"]] = row["documents"]
    found = rows(workspace, "SELECT * FROM statistics")
    assert len(found) == len(own)
    for row in found:
        key = (row["stage"], row["field"], row["source"])
        whole = reduce(add, own[key])
        assert bins[key] == whole.bins
        assert (row["documents"], row["nulls"]) == (whole.documents, whole.nulls)
        assert [row[name] for name in PERCENT] == [whole.quantile(percent / 100) for percent in PERCENT.values()]


def test_bins_count_the_values_between_their_bounds(finished: Any) -> None:
    _, workspace = finished
    numbers = np.array([value for value in measurements(workspace)["gopher", "words", None] if value is not None])
    bins = rows(workspace, "SELECT * FROM distributions WHERE field = 'words' AND source IS NULL")
    assert sum(item["documents"] for item in bins) == len(numbers)
    for item in bins:
        assert ((numbers >= item["bin_from"]) & (numbers < item["bin_to"])).sum() == item["documents"] > 0


def test_every_document_that_reached_a_stage_is_counted_by_its_measurements(finished: Any) -> None:
    _, workspace = finished
    reached = "SELECT stage, documents + nulls + nans AS rows_in FROM statistics WHERE source IS NULL"
    found = {(row["stage"], row["rows_in"]) for row in rows(workspace, reached)}
    assert found == {(row["stage"], row["rows_in"]) for row in workspace.funnel().to_pylist()}


@pytest.mark.long
def test_another_division_into_shards_has_the_same_statistics(
    finished: Any, recipe: Any, corpus: Path, tmp_path: Path
) -> None:
    settings = two_sources(recipe, corpus)
    settings["input"]["shard_bytes"] = 10**9
    other = Workspace(tmp_path)
    assert other.run(settings, executor="local", workers=1).outcome == "done"
    shards = [space.manifest.read("sketches").num_rows for space in (finished[1], other)]
    assert shards[0] > shards[1]
    exact = "SELECT * EXCLUDE (mean, stddev) FROM statistics"
    assert rows(other, exact) == rows(finished[1], exact)
    assert rows(other, "SELECT * FROM distributions") == rows(finished[1], "SELECT * FROM distributions")


@pytest.mark.long
def test_a_shard_that_was_killed_between_its_sketches_and_its_decision_counts_once(
    finished: Any, recipe: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reference = finished
    workspace = Workspace(tmp_path)
    commit = Manifest.commit

    def fails(self: Manifest, kind: str, key: str, rows: Any) -> bool:
        if kind == "decisions" and key.endswith(("2", "5")):
            raise OSError(5, "the power went")
        return commit(self, kind, key, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Manifest, "commit", fails)
        assert workspace.run(two_sources(recipe, corpus), executor="local", workers=2).outcome == "failed"
    before = parts(workspace)
    assert set(before) - set(Manifest(workspace.store).keys("decisions"))
    decided = rows(workspace, "SELECT count(*) AS n FROM documents")[0]["n"]
    [seen] = rows(workspace, "SELECT documents FROM statistics WHERE field = 'bytes' AND source IS NULL")
    assert seen["documents"] == decided < 289  # what is not decided is in no view
    again = Workspace(tmp_path)
    assert again.run(two_sources(recipe, corpus), executor="local", workers=2).run == run
    assert parts(again) == parts(reference)
    assert before.items() <= parts(again).items()
    assert rows(again, "SELECT * FROM statistics") == rows(reference, "SELECT * FROM statistics")


def parts(workspace: Workspace) -> dict[str, bytes]:
    """Every sketch part, byte for byte."""
    folder = workspace.store.path("manifest/parts/sketches")
    return {path.stem: path.read_bytes() for path in folder.iterdir()}


def test_a_late_attempt_adds_nothing(finished: Any, recipe: Any, corpus: Path, tmp_path: Path) -> None:
    """The decisions are gone, as if this attempt had not seen them: everything is decided a second time."""
    workspace = Workspace(shutil.copytree(finished[1].store.root, tmp_path / "ws", symlinks=True))
    for kind in ("decisions", "written", "datasets"):
        shutil.rmtree(workspace.store.path(f"manifest/parts/{kind}"))
    before = parts(workspace)
    assert rows(Workspace(tmp_path / "ws"), "SELECT * FROM statistics") == []
    shutil.rmtree(workspace.store.path("datasets"))
    assert workspace.run(two_sources(recipe, corpus), executor="local", workers=2).outcome == "done"
    assert parts(workspace) == before
    assert rows(workspace, "SELECT * FROM statistics") == rows(finished[1], "SELECT * FROM statistics")


def test_statistics_name_a_sketch_that_is_not_ours(finished: Any, tmp_path: Path) -> None:
    """Sound Parquet, without a seal: no shard goes missing in silence."""
    workspace = Workspace(shutil.copytree(finished[1].store.root, tmp_path / "ws"))
    part = sorted(workspace.store.path("manifest/parts/sketches").iterdir())[0]
    part.unlink()
    pq.write_table(pa.table({"format_version": [9]}), part)
    with pytest.raises(CurationError, match=rf"(?s)C048.*{part.name}"):
        workspace.sql("SELECT * FROM statistics")


# --- sources -----------------------------------------------------------------------------------------------------


def test_a_shard_knows_the_entry_of_the_input_that_it_was_found_through(finished: Any, corpus: Path) -> None:
    run, workspace = finished
    plan = resolve_recorded(workspace.manifest, run)
    assert {shard.source for shard in plan.shards} == {f"{corpus}/*.parquet", f"{corpus}/*.jsonl*"}
    assert all((shard.source == f"{corpus}/*.parquet") == shard.path.endswith(".parquet") for shard in plan.shards)
    stored = {row["shard"]: row["source"] for row in workspace.manifest.read("sketches").to_pylist()}
    assert stored == {shard.index: shard.source for shard in plan.shards}


def test_the_shards_view_shows_the_source(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    workspace.create()
    workspace.manifest.commit("shards", "r", [{"run": "r", "shard": 0, "path": "/a/b.parquet", "source": "a/*"}])
    assert rows(workspace, "SELECT path, source FROM shards") == [{"path": "/a/b.parquet", "source": "a/*"}]


def test_another_way_to_name_one_source_is_the_same_run_and_another_division_is_not(
    recipe: Any, corpus: Path, tmp_path: Path
) -> None:
    def run(*paths: str) -> str | None:
        settings = two_sources(recipe, corpus)
        settings["input"]["path"] = [f"{corpus}{path}" for path in paths]
        return Workspace(tmp_path).plan(settings).run

    assert run("") == run("/*") == run("/**")
    assert len({run("/*"), run("/[a-c]*", "/[d-g]*"), run("/[a-d]*", "/[e-g]*")}) == 3


# --- the command line --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_stats_prints_the_view(finished: Any, capsys: pytest.CaptureFixture[str]) -> None:
    _, workspace = finished
    root = str(workspace.store.root)
    assert _main(["stats", "-w", root, "--stage", "gopher", "--by-source", "-f", "json"]) == 0
    shown = json.loads(capsys.readouterr().out)["rows"]
    assert shown == rows(workspace, "SELECT * FROM statistics WHERE stage = 'gopher'")
    assert len({row["source"] for row in shown}) == 3
    assert _main(["stats", "-w", root, "-f", "jsonl"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines == rows(workspace, "SELECT * EXCLUDE (source) FROM statistics WHERE source IS NULL")
    assert list(dict.fromkeys(line["stage"] for line in lines)) == [
        stage["stage"] for stage in rows(workspace, "SELECT stage FROM stages")
    ]


def test_stats_of_a_stage_that_is_not_there_names_those_that_are(
    finished: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _main(["stats", "-w", str(finished[1].store.root), "--stage", "goffer"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "error[C032]" in said.err
    assert "gopher" in said.err


# --- odd numbers -------------------------------------------------------------------------------------------------


def test_odd_numbers_go_through_the_views(tmp_path: Path) -> None:
    """NaN, infinities, both signs, zero, and measurements that nobody has."""
    workspace = Workspace(tmp_path)
    workspace.create()
    columns = {
        "signed": [[-3.0, -1.5, 0.0], [2.5, 1e-300, -1e300]],
        "endless": [[math.inf, 1.0], [-math.inf, math.nan, 5.0]],
        "absent": [[], []],
        "half": [[], [7.0]],
    }
    for shard in (0, 1):
        sketched = [
            {"run": "r", "shard": shard, "source": "ab"[shard], "stage": "s", "field": field}
            | Sketch.of(pa.array(values[shard], pa.float64()), nulls=shard).record()
            for field, values in columns.items()
        ]
        workspace.manifest.commit("sketches", f"r-{shard}", sketched)
        workspace.manifest.commit("decisions", f"r-{shard}", [{"run": "r", "shard": shard, "data": "none"}])
    workspace.manifest.commit("runs", "r", [{"run": "r", "name": "n"}])
    shown = pa.schema([pa.field("status", pa.string())])
    fields = shown.serialize().to_pybytes()
    workspace.manifest.commit("stages", "r", [{"run": "r", "position": 0, "stage": "s", "fields": fields}])
    decisions = pa.schema([*DECISION, pa.field("s", pa.struct(list(shown)))])
    pq.write_table(decisions.empty_table(), workspace.store.path("none"))
    found = {
        row["field"]: row for row in workspace.sql("SELECT * FROM statistics WHERE source IS NULL", "r").to_pylist()
    }
    signed = found["signed"]
    assert (signed["documents"], signed["nulls"], signed["min"], signed["p75"], signed["max"]) == (6, 1, -1e300, 0, 2.5)
    assert signed["p25"] == pytest.approx(-3, rel=ACCURACY)
    endless = found["endless"]
    assert (endless["documents"], endless["nans"], endless["p01"], endless["max"]) == (4, 1, -math.inf, math.inf)
    assert endless["p50"] == pytest.approx(1, rel=ACCURACY)
    assert math.isnan(endless["mean"])
    assert (found["absent"]["documents"], found["absent"]["nulls"], found["absent"]["p50"]) == (0, 1, None)
    assert (found["half"]["mean"], found["half"]["stddev"], found["half"]["p99"]) == (7, None, 7)
    bounds = workspace.sql("SELECT * FROM distributions WHERE source IS NULL AND field = 'signed'", "r").to_pylist()
    assert [row["bin"] for row in bounds] == sorted(row["bin"] for row in bounds)
    assert [row["bin_to"] for row in bounds][1:3] == [-3.0, -1.5]
    for row in bounds:
        assert row["bin_to"] - row["bin_from"] <= max(abs(row["bin_from"]), abs(row["bin_to"])) / 64
