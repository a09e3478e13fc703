"""The Python API: ten lines from a recipe to rows, samples, retries, and a run's state at every moment."""

from __future__ import annotations

import doctest
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

import pipelines
from pipelines import Workspace
from pipelines.running.events import Notice
from schemas.errors import CurationError

Light = Callable[..., dict[str, Any]]


@pytest.mark.long
def test_the_lines_of_the_package_run_as_they_stand(
    light: Light, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("recipe.yaml").write_text(yaml.safe_dump(light(), sort_keys=False))
    names: dict[str, Any] = {"Workspace": Workspace}
    lines = doctest.DocTestParser().get_examples(pipelines.__doc__ or "")
    assert len(lines) in range(3, 11)
    for line in lines:
        exec(compile(line.source, "docstring", "single"), names)
    assert Workspace("ws").sql("SELECT status FROM runs").to_pylist() == [{"status": "done"}]


@pytest.mark.long
def test_ten_lines_from_a_dict_to_rows_and_reasons(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(corpus.parent)  # paths in a dict are relative to where Python runs
    workspace = Workspace(tmp_path / "ws")
    recipe = {
        "name": "manual",
        "input": {"path": corpus.name, "columns": {"text": "content", "id": "url"}},
        "stages": [{"scorer": "language", "keep": "language.lang = 'en'"}, {"dedup": "exact"}],
        "errors": {"documents": 1},
    }
    assert workspace.plan(recipe).to_score >= 289
    result = workspace.run(recipe, executor="local")
    assert (result.outcome, result.rows) == ("done", 289)
    assert result.folder is not None
    assert sum(pq.read_metadata(part).num_rows for part in result.folder.glob("data/*.parquet")) == result.kept
    funnel = workspace.sql("SELECT stage, rows_out FROM funnel")
    assert isinstance(funnel, pa.Table)
    assert funnel.to_pylist()[-1] == {"stage": "exact", "rows_out": result.kept}
    [document] = workspace.show(dropped_by="language", count=1)
    [explanation] = workspace.explain(f"{document['path']}#{document['row']}")
    assert explanation.as_dict()["dropped_by"] == "language"
    monkeypatch.chdir("/")
    assert workspace.retry(executor="local").outcome == "nothing-to-do"


# --- samples ---------------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_sample_is_exactly_n_rows_a_run_of_its_own_and_its_scores_are_reused(
    light: Light, finished: Any, held: Any, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "ws")
    sample = workspace.run(light(), executor="local", workers=2, sample=60)
    assert (sample.rows, sample.outcome) == (60, "done")
    assert sample.run != finished[0]
    assert sample.folder == tmp_path / "ws/datasets/manual-sample" / sample.run
    assert workspace.sql("SELECT count(*) AS n, count(DISTINCT doc_id) AS ids FROM documents").to_pylist() == [
        {"n": 60, "ids": 60}
    ]
    held(tmp_path / "ws").balance(sample.run)
    assert held(tmp_path / "ws").rows()["input"] == 60
    whole = workspace.run(light(), executor="local", workers=2)
    assert (whole.run, whole.steps["input"]) == (finished[0], 289 - 60)
    assert held(tmp_path / "ws").doubled() == 0
    assert held(tmp_path / "ws").decisions(whole.run) == finished[1].decisions(whole.run)
    assert held(tmp_path / "ws").dataset(whole.run) == finished[1].dataset(whole.run)
    assert workspace.retry(sample.run, executor="local").outcome == "nothing-to-do"
    found = {row["run"]: row["sample"] for row in workspace.sql("SELECT run, sample FROM runs").to_pylist()}
    assert found == {sample.run: 60, whole.run: None}


def test_a_sample_larger_than_the_input_is_all_of_it(light: Light, tmp_path: Path) -> None:
    settings = light()
    settings["stages"] = [{"dedup": "exact"}]
    settings["output"] = {}
    result = Workspace(tmp_path).run(settings, executor="local", workers=1, sample=10_000)
    assert (result.outcome, result.rows) == ("done", 289)


# --- retry and state -------------------------------------------------------------------------------------------------


@pytest.mark.long
def test_a_failed_run_is_retried_once_its_file_is_mended(
    light: Light, corpus: Path, finished: Any, held: Any, tmp_path: Path
) -> None:
    crawl = Path(shutil.copytree(corpus, tmp_path / "crawl"))
    good = (crawl / "g.parquet").read_bytes()
    (crawl / "g.parquet").write_bytes(good[: len(good) // 2])
    workspace = Workspace(tmp_path / "ws")
    failed = workspace.run(light(crawl), executor="local", workers=2)
    assert (failed.outcome, [failure.code for _, failure in failed.failures]) == ("failed", ["R001"])
    assert str(crawl / "g.parquet") in failed.failures[0][1].message
    [error] = workspace.sql("SELECT * FROM errors").to_pylist()
    assert (error["kind"], error["path"], error["code"]) == ("shard", str(crawl / "g.parquet"), "R001")
    [state] = workspace.status().to_pylist()
    assert (state["run"], state["status"], state["dataset"]) == (failed.run, "failed", None)
    assert held(tmp_path / "ws").rows()["input"] > 0  # the others are scored

    still = workspace.retry(executor="local", workers=2)
    assert (still.run, still.outcome, still.scored) == (failed.run, "failed", 0)
    assert workspace.sql("SELECT count(*) AS n FROM errors").to_pylist() == [{"n": 1}]

    (crawl / "g.parquet").write_bytes(good)
    done = workspace.retry(failed.run, executor="local", workers=2)
    assert done.outcome == "done", done.failures
    assert done.steps["input"] == pq.read_metadata(crawl / "g.parquet").num_rows
    assert (done.rows, done.kept) == (
        289,
        held(finished[1].root).workspace.sql("SELECT kept FROM runs").to_pylist()[0]["kept"],
    )
    assert [row["message"] for row in workspace.sql("SELECT message FROM errors").to_pylist()] == [
        "line is not valid JSON"
    ]
    states = {row["run"]: row["status"] for row in workspace.status().to_pylist()}
    assert states == {failed.run: "failed", done.run: "done"}


@pytest.mark.long
def test_a_skipped_shard_is_in_the_errors_of_the_run_that_left_it_out(
    light: Light, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    settings = light(on_bad_shard="skip")
    settings["input"]["path"] = [str(corpus), str(tmp_path / "broken.parquet")]
    workspace = Workspace(tmp_path / "ws")
    result = workspace.run(settings, executor="local", workers=2)
    assert (result.outcome, result.rows) == ("done", 289)
    errors = workspace.sql("SELECT kind, path, code FROM errors ORDER BY kind").to_pylist()
    assert [(row["kind"], Path(row["path"]).name, row["code"]) for row in errors] == [
        ("document", "b.jsonl", None),
        ("shard", "broken.parquet", "R001"),
    ]


@pytest.mark.long
def test_an_empty_workspace_has_no_runs_to_list_or_retry(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    for act in (workspace.status, workspace.retry, workspace.gc, lambda: workspace.sql("SELECT 1")):
        with pytest.raises(CurationError) as failure:
            act()
        assert failure.value.findings[0].code == "C030"
    workspace.create()
    assert workspace.status().num_rows == 0
    assert workspace.funnel().num_rows == 0
    assert list(workspace.show()) == []
    for act in (workspace.retry, lambda: workspace.explain("x")):
        with pytest.raises(CurationError) as failure:
            act()
        assert failure.value.findings[0].code == "C032"


def test_an_executor_that_there_is_not_is_refused_before_anything_is_scored(light: Light, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="no executor 'spark'") as failure:
        Workspace(tmp_path).run(light(), executor="spark")
    assert failure.value.findings[0].code == "C035"
    assert not (tmp_path / "scores").exists()


@pytest.mark.long
def test_two_workspaces_that_are_one_folder_see_the_same(finished: Any, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(finished[1].root)
    here, there = Workspace(finished[1].root), Workspace(str(tmp_path / "link"))
    query = "SELECT * FROM documents ORDER BY doc_id"
    assert here.sql(query).equals(there.sql(query))


def test_a_run_that_had_nothing_to_do_is_the_latest_again_and_bears_its_label(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "one"}\n{"text": "two"}\n')
    recipes = [{"name": name, "input": {"path": str(tmp_path / "a.jsonl")}} for name in ("one", "two")]
    workspace = Workspace(tmp_path / "ws")
    first = workspace.run(recipes[0], executor="local", label="kept")
    workspace.run(recipes[1], executor="local")
    names = "SELECT name FROM runs JOIN (SELECT DISTINCT run FROM documents) USING (run)"
    assert workspace.sql(names).to_pylist() == [{"name": "two"}]
    again = workspace.run(recipes[0], executor="local")
    assert (again.run, again.outcome) == (first.run, "nothing-to-do")
    assert workspace.sql(names).to_pylist() == [{"name": "one"}]
    workspace.run(recipes[1], executor="local", label="kept")
    assert [row["name"] for row in workspace.status().to_pylist() if row["labels"] == "kept"] == ["two"]
    assert len(list(workspace.show(run="kept"))) == 2
    told: list[Any] = []
    workspace.run(recipes[1], executor="local", label="one", report=told.append)
    workspace.run(recipes[0], executor="local", report=told.append)
    second = workspace.status().filter(pc.field("name") == "two")["run"][0].as_py()
    notices = [event.text for event in told if isinstance(event, Notice) and "--run one" in event.text]
    assert notices == [
        f"'one' is a dataset's name, too: from now on `--run one` is run {second}, which has it for a label",
        f"`--run one` is run {second}, which has it for a label",
    ]
    for label in ("latest", "a b", "../x"):
        with pytest.raises(CurationError, match="C004"):
            workspace.run(recipes[0], label=label)
