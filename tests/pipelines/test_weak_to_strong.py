"""`curate weak-to-strong`: labels, students and what may be said of them, on written reviews whose truth is known."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from reviews import FUNCTIONS, reviews, specification, write
from weak_runs import FASTTEXT, HEAD, IMPORTED, run, table, three

from curation.manifest.runs import choose_run
from curation.weak_to_strong.labels import answers
from pipelines import recipes
from pipelines.weak_to_strong.report import errors
from pipelines.workspace import Workspace
from schemas.errors import CurationError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weak")
    write(folder / "reviews.parquet", reviews(600))
    return folder


@pytest.fixture(scope="module")
def done(folder: Path) -> tuple[Workspace, Any]:
    """A run with three kinds of supervisors and a head, finished."""
    workspace = Workspace(folder / "ws")
    result = workspace.weak_to_strong(three(folder))
    assert result.outcome == "done", result.failures
    assert not result.failed
    return workspace, result


# --- what a run gives ------------------------------------------------------------------------------------------------


def test_labels_are_one_row_a_document_with_all_that_was_said(done: tuple[Workspace, Any], folder: Path) -> None:
    _, result = done
    labels = table(result)
    source = pq.read_table(folder / "reviews.parquet")
    assert labels["text"].to_pylist() == source["text"].to_pylist()
    assert labels["doc_id"].to_pylist() == list(range(600))
    soft = np.array(labels["soft_label"].to_pylist())
    np.testing.assert_allclose(soft.sum(axis=1), 1, rtol=1e-6)
    hard = labels["hard_label"].cast(pa.string()).to_pylist()
    assert hard == [("negative", "positive")[k] for k in soft.argmax(axis=1)]
    np.testing.assert_allclose(labels["confidence"].to_numpy(), soft.max(axis=1))
    votes = labels["votes"].to_pylist()
    assert set(votes[0]) == {"rules.good", "rules.bad", "rules.stars", "fasttext", "p"}
    said = [[vote for vote in row.values() if vote is not None] for row in votes]
    expected = [np.mean([vote == h for vote in row]) for row, h in zip(said, hard, strict=True)]
    np.testing.assert_allclose(labels["agreement"].to_numpy(), expected, rtol=1e-6)
    assert set(labels["probabilities"][0].as_py()) == {"fasttext", "p"}
    assert all(h in s for h, s in zip(hard, labels["conformal_set"].to_pylist(), strict=True) if len(s) == 1)
    assert set(labels["split"].cast(pa.string()).to_pylist()) == set(specification(folder)["splits"])
    automatic = labels["automatic"].to_numpy()
    assert automatic.any()
    assert (np.array(hard) == np.array(source["label"].to_pylist()))[automatic].mean() >= 0.85


def test_no_supervisor_labels_what_it_was_trained_on(folder: Path, tmp_path: Path) -> None:
    """Without folds fastText abstains on exactly the rows that it learned from; with them it votes on all."""
    path = folder / "reviews.parquet"
    crossed = table(run(path, tmp_path / "ws", supervisors=[FASTTEXT], seeds=1))
    held = table(run(path, tmp_path / "ws", supervisors=[{**FASTTEXT, "rows": 50}], seeds=1, combine={"folds": 0}))
    assert crossed["votes"].combine_chunks().field("fasttext").null_count == 0
    silent = held.filter(pa.array([row["fasttext"] is None for row in held["votes"].to_pylist()]))
    assert len(silent) == 50
    assert set(silent["split"].cast(pa.string()).to_pylist()) == {"weak"}
    assert silent["abstain"].to_pylist() == [True] * 50
    assert silent["conformal_set"].null_count == silent["confidence"].null_count == 50


def test_the_report_measures_weak_student_and_ceiling_on_the_test_rows(done: tuple[Workspace, Any]) -> None:
    _, result = done
    report = result.report
    assert report == json.loads((result.folder / "report.json").read_text())
    [student] = report["students"]
    gap = student["gap"]
    assert gap["seeds"] == 3
    assert gap["weak"] == report["labels"]["accuracy"]
    assert gap["student"]["value"] == student["accuracy"]["value"] > report["labels"]["majority"]
    assert gap["identifiable"] == (gap["recovered"] is not None) == (gap["reason"] is None)
    assert all(split["clusters_in_two_splits"] == 0 for split in report["splits"])
    assert all(sum(split["rows"].values()) == 600 for split in report["splits"])
    labels = table(result)
    test = np.array(labels["split"].cast(pa.string()).to_pylist()) == "test"
    truth = np.array(pq.read_table(labels["path"][0].as_py())["label"].to_pylist())
    right = (np.array(labels["hard_label"].cast(pa.string()).to_pylist()) == truth)[test].mean()
    measured = json.loads(done[0].manifest.where("weak_labels", run=result.run).sort_by("seed")["facts"][0].as_py())
    assert measured["measured"]["accuracy"] == right


def test_the_page_needs_nothing_from_elsewhere(done: tuple[Workspace, Any]) -> None:
    page = (done[1].folder / "report.html").read_text()
    assert not re.search(r"<script|<link|<img|@import|url\(|https?:", page)
    for part in ("What the students gained", "Risk and coverage", "Dependence", "Agreement", "Reliability"):
        assert part in page


@pytest.mark.long
def test_everything_is_in_views(done: tuple[Workspace, Any]) -> None:
    workspace, result = done
    labels = workspace.sql("SELECT seed, count(*) AS n, count(DISTINCT doc_id) AS d FROM labels GROUP BY 1 ORDER BY 1")
    assert labels.to_pylist() == [{"seed": seed, "n": 600, "d": 600} for seed in range(3)]
    [row] = workspace.sql(
        "SELECT path, votes->>'$.fasttext' AS vote FROM labels WHERE seed = 0 AND row = 7"
    ).to_pylist()
    assert row == {"path": table(result)["path"][7].as_py(), "vote": table(result)["votes"][7].as_py()["fasttext"]}
    found = workspace.sql("SELECT supervisor, status, votes, accuracy FROM supervisors WHERE seed = 1").to_pylist()
    assert [one["supervisor"] for one in found] == ["fasttext", "p", "rules.bad", "rules.good", "rules.stars"]
    assert all(one["status"] == "ok" and one["accuracy"] > 0.6 for one in found)
    [row] = workspace.sql("SELECT name, student, seeds, weak, ceiling, gold FROM weak_to_strong").to_pylist()
    gap = result.report["students"][0]["gap"]
    values = {"weak": gap["weak"]["value"], "ceiling": gap["ceiling"]["value"]}
    assert row == {"name": "reviews", "student": "head", "seeds": 3, "gold": 600, **values}


@pytest.mark.long
def test_the_student_is_a_scorer_at_once(done: tuple[Workspace, Any], folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "new.parquet", reviews(60, seed=9))
    recipe = {
        "name": "use",
        "input": {"path": str(tmp_path / "new.parquet")},
        "stages": [{"scorer": "embedding-head", "id": "s", "head": f"path:{done[1].folder}/students/head"}],
    }
    workspace = Workspace(tmp_path / "ws")
    assert workspace.run(recipe, executor="local").outcome == "done"
    prob = workspace.sql("SELECT s.prob AS p FROM documents ORDER BY row")["p"].to_numpy()
    good = np.array(pq.read_table(tmp_path / "new.parquet")["label"].to_pylist()) == "positive"
    assert ((prob > 0.5) == good).mean() > 0.7
    assert "head: path:head" in (done[1].folder / "students/head/README.md").read_text()


def test_a_finished_run_is_a_no_op_and_a_changed_student_costs_no_supervisor(
    done: tuple[Workspace, Any], folder: Path
) -> None:
    workspace, result = done
    spec = three(folder)
    again = workspace.weak_to_strong(spec, label="first")
    assert workspace.weak_to_strong_report("first") == result.report
    assert [row["labels"] for row in workspace.status().to_pylist() if row["run"] == result.run] == ["first"]
    assert choose_run(workspace.manifest, None) is None, "it is no run of a recipe"
    with pytest.raises(CurationError, match="C004"):
        workspace.weak_to_strong(spec, label="latest")
    assert (again.outcome, again.folder, again.report) == ("nothing-to-do", result.folder, result.report)
    before = set(workspace.manifest.keys("weak_units"))
    changed = workspace.weak_to_strong({**spec, "students": [{**HEAD, "l2": 2.0}]})
    assert changed.outcome == "done"
    fresh = [workspace.manifest.get("weak_units", key).to_pylist()[0] for key in workspace.manifest.keys("weak_units")]  # type: ignore[union-attr]
    assert {one["kind"] for one in fresh if one["unit"] not in before} == {"student"}


# --- what may not be said --------------------------------------------------------------------------------------------


@pytest.mark.long
def test_without_gold_no_gap_is_told_and_accuracies_are_estimates(tmp_path: Path, curate: Callable[..., Any]) -> None:
    path = write(tmp_path / "reviews.parquet", reviews(500, noise=0.3).drop_columns(["label"]))
    spec = specification(path, supervisors=[FUNCTIONS, IMPORTED], students=[HEAD], combine={"by": "em"})
    del spec["task"]["gold"]
    del spec["input"]["columns"]["gold"]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    ended = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "estimated accuracies only: rules.good 0." in ended.stderr
    assert "gap recovered" not in ended.stderr
    report = Workspace(tmp_path / "ws").weak_to_strong_report()
    [student] = report["students"]
    assert student["gap"] is None
    assert "accuracy" not in student
    assert student["agrees_with_weak"]["value"] > 0.5
    assert "accuracy" not in report["labels"]
    assert all("accuracy" not in one and one["estimated_accuracy"] > 0.5 for one in report["supervisors"])
    assert report["labels"]["automatic"] == 0
    assert report["splits"][0]["rows"]["transfer"] == 500
    assert "gap recovered" not in (Path(ended.stdout.strip()) / "README.md").read_text().replace(
        "| gap recovered |", ""
    )


@pytest.mark.long
def test_a_ceiling_that_is_not_above_weak_is_not_identifiable_and_no_failure(
    folder: Path, tmp_path: Path, curate: Callable[..., Any]
) -> None:
    """The weak labels are the truth: no ceiling is above them."""
    spec = specification(
        folder / "reviews.parquet",
        supervisors=[{"supervisor": "imported", "column": "gold"}],
        students=[HEAD],
        seeds=3,
    )
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    ended = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "gap recovered: not identifiable: the ceiling is" in ended.stderr
    [row] = (
        Workspace(tmp_path / "ws").sql("SELECT identifiable, recovered, weak, reason FROM weak_to_strong").to_pylist()
    )
    assert (row["identifiable"], row["recovered"], row["weak"]) == (False, None, 1.0)
    assert row["reason"].startswith("the ceiling is")


def test_copied_errors_are_counted_beside_those_that_the_ceiling_makes() -> None:
    gold, weak = np.array([0, 0, 1, 1, 1, 0]), np.array([1, 1, 0, 1, 1, 0])
    student, ceiling = np.array([1, 1, 1, 1, 0, 0]), np.array([1, 0, 1, 1, 1, 0])
    found = errors([weak], [student], [ceiling], [gold])
    assert found["weak_wrong"] == 0.5
    assert found["student_repeats_where_weak_is_wrong"] == pytest.approx(2 / 3)
    assert found["ceiling_repeats_where_weak_is_wrong"] == pytest.approx(1 / 3)
    assert found["student_agrees_where_weak_is_right"] == pytest.approx(2 / 3)


def test_where_all_abstain_the_answer_is_the_commonest_label() -> None:
    assert answers(np.array([-1, 1, 1, 0, -1], np.int8)).tolist() == [1, 1, 1, 0, 1]


def test_gc_keeps_what_units_name_and_sweeps_the_rest(done: tuple[Workspace, Any], tmp_path: Path) -> None:
    shutil.copytree(done[0].store.root, tmp_path / "ws", symlinks=True)
    left = tmp_path / "ws/weak_to_strong/units/left.safetensors"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    usage = Workspace(tmp_path / "ws").gc()
    assert usage.swept_files == 1
    assert not left.exists()


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_check_and_plan_write_nothing(folder: Path, tmp_path: Path, curate: Callable[..., Any]) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(specification(folder / "reviews.parquet", students=[HEAD])))
    checked = curate("weak-to-strong", "check", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "")
    assert "2 supervisors, 1 student, no findings" in checked.stderr
    planned = curate("weak-to-strong", "plan", "spec.yaml", "-w", "ws", "-f", "jsonl", cwd=tmp_path)
    rows = [json.loads(line) for line in planned.stdout.splitlines()]
    assert {row["name"]: row["units"] for row in rows if row["kind"] in ("supervisor", "student")} == {
        "rules": 1,
        "fasttext": 2 * 3,
        "head": 2 * 2,
    }
    assert not (tmp_path / "ws").exists()


@pytest.mark.long
def test_the_report_is_found_by_name_and_by_prefix(done: tuple[Workspace, Any], curate: Callable[..., Any]) -> None:
    workspace, result = done
    printed = curate("weak-to-strong", "report", "-w", workspace.store.root, "--run", result.run[:6], "-f", "json")
    assert json.loads(printed.stdout) == result.report
    text = curate("weak-to-strong", "report", "-w", workspace.store.root).stdout
    assert "weak labels: accuracy" in text
    with pytest.raises(CurationError, match="no finished"):
        workspace.weak_to_strong_report("nothing")


@pytest.mark.long
def test_the_shipped_specification_runs_as_it_stands(tmp_path: Path) -> None:
    partly = reviews(400, noise=0.3).to_pydict()
    partly["label"] = [label if place % 4 else None for place, label in enumerate(partly["label"])]
    write(tmp_path / "reviews" / "part.parquet", pa.table(partly))
    [name] = recipes.specifications()
    (tmp_path / "spec.yaml").write_text(recipes.read(name))
    result = Workspace(tmp_path / "ws").weak_to_strong(tmp_path / "spec.yaml")
    assert result.outcome == "done", result.failures
    assert result.report is not None
    assert result.report["students"][0]["gap"]["seeds"] == 5
    assert name in recipes.table()["recipe"].to_pylist()
