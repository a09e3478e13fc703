"""What `plan` says is what the run then does, and it does nothing itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipelines.cli.main import _main
from pipelines.planning.estimate import PlanReport
from pipelines.running.result import Result
from pipelines.workspace import Workspace

Light = Callable[..., dict[str, Any]]


def run(workspace: Workspace, settings: dict[str, Any], **options: Any) -> Result:
    result = workspace.run(settings, executor="local", workers=2, **options)
    assert result.outcome == "done", result.failures
    return result


def scored(report: PlanReport, result: Result) -> None:
    """Assert that the run scored what was said: exactly at the first step that lacked something, else within bounds."""
    first = True
    for stage in report.stages:
        actual = result.steps[stage.step]
        assert stage.to_score <= actual <= stage.at_most, stage
        if stage.at_most and first:
            assert stage.to_score == stage.at_most == actual, stage
            first = False
    assert report.run == result.run
    assert report.rows == result.rows


@pytest.mark.long
def test_a_cold_plan_a_looser_one_and_a_stricter_one_hold(light: Light, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    cold = workspace.plan(light(language=0.9))
    assert not (tmp_path / "ws").exists()
    assert (cold.finished, cold.rows, cold.stages[0].to_score, cold.stages[0].stored) == (False, 289, 289, 0)
    assert cold.stages[0].why == "never scored with these settings"
    scored(cold, run(workspace, light(language=0.9)))

    looser = workspace.plan(light(language=0.5))
    by_step = {stage.step: stage for stage in looser.stages}
    assert by_step["input"].to_score == by_step["language"].to_score == 0
    assert by_step["input"].stored == by_step["language"].stored + 20 == 289  # nulls, blanks and a bad line end there
    assert by_step["gopher"].to_score > 0
    assert by_step["gopher"].why == "documents not scored before"
    assert by_step["gopher"].seconds is not None
    scored(looser, run(workspace, light(language=0.5)))

    stricter = workspace.plan(light(language=0.7))
    assert [(stage.to_score, stage.at_most) for stage in stricter.stages] == [(0, 0)] * len(stricter.stages)
    assert stricter.to_score == 0
    result = run(workspace, light(language=0.7))
    assert (result.scored, sum(result.steps.values())) == (0, 0)

    again = workspace.plan(light(language=0.7))
    assert again.finished
    assert again.to_score == 0


@pytest.mark.long
def test_a_plan_behind_a_barrier_is_within_its_bounds(light: Light, tmp_path: Path) -> None:
    def settings(prob: float) -> dict[str, Any]:
        made = light(language=prob)
        made["stages"] = [
            made["stages"][0],
            {"dedup": "exact"},
            {"scorer": "rules", "id": "gopher", "profile": "gopher-quality@datatrove"},
        ]
        return made

    workspace = Workspace(tmp_path)
    run(workspace, settings(0.9))
    looser = workspace.plan(settings(0.5))
    by_step = {stage.step: stage for stage in looser.stages}
    assert by_step["exact/sketch"].to_score == by_step["exact/sketch"].at_most > 0
    assert by_step["gopher"].at_most > by_step["gopher"].to_score  # which ones the dedup lets through is not known
    scored(looser, run(workspace, settings(0.5)))


def test_a_plan_of_a_sample_counts_its_documents(light: Light, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    report = workspace.plan(light(), sample=50)
    assert (report.rows, report.stages[0].to_score) == (50, 50)
    scored(report, run(workspace, light(), sample=50))
    assert workspace.plan(light()).stages[0].to_score == 239


def test_a_stage_that_reads_no_text_is_timed_too(tmp_path: Path) -> None:
    rows = [{"q": f"What is {n}?", "a": "the same again" if n % 3 else f"number {n}", "grade": n} for n in range(30)]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    columns = {"instruction": "q", "output": "a", "grade": "grade"}
    settings = {
        "name": "timed",
        "input": {"path": str(tmp_path / "pairs.jsonl"), "columns": columns},
        "stages": [{"scorer": "imported", "id": "grade", "column": "grade"}, {"dedup": "exact", "columns": ["output"]}],
    }
    timed = Workspace(tmp_path / "ws").plan(settings, time=True)
    seconds = {stage.step: stage.seconds for stage in timed.stages if stage.step != "input"}
    assert seconds.keys() == {"grade", "exact/sketch"}
    assert all(seconds.values())


def test_a_timed_plan_estimates_every_step_and_writes_nothing(light: Light, tmp_path: Path) -> None:
    report = Workspace(tmp_path / "ws").plan(light(), time=True)
    assert not (tmp_path / "ws").exists()
    count = int(report.timed_on.removesuffix(" documents of the input, timed just now"))
    assert 100 < count <= 128  # those among 128 that have a text
    timed = {stage.step: stage.seconds for stage in report.stages}
    assert all(timed[step] > 0 for step in ("language", "gopher", "remove_lines", "exact/sketch", "minhash/sketch"))
    assert sum(seconds or 0 for seconds in timed.values()) < 60
    cost = report.cost
    assert cost is not None
    assert cost.seconds is not None
    assert 0 < cost.seconds[0] < cost.seconds[1] < 120
    assert cost.unknown == ("exact", "minhash", "top")  # whose time is not that of a few documents
    assert cost.workers >= 1
    assert 10**8 < cost.memory < 10**10
    assert 10**4 < cost.disk < 10**8
    lines = report.cost_lines()
    assert "on this machine" in lines[0]
    assert lines[1].startswith("not in it: exact, minhash, top, ")
    assert len(repr(report)) < 200


def test_a_plan_leaves_an_existing_workspace_as_it_was(finished: Any, light: Light) -> None:
    def state() -> dict[str, int]:
        root = finished[1].root
        return {
            str(path): path.stat().st_mtime_ns
            for path in root.rglob("*")
            if path.is_file() and "seen" not in path.parts
        }

    before = state()
    finished[1].workspace.plan(light(language=0.2), time=True)
    finished[1].workspace.check(light(language=0.2))
    assert state() == before


def test_a_shard_that_cannot_be_read_is_named_before_the_run(light: Light, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 and then nothing")
    settings = light()
    settings["input"]["path"] = [str(corpus), str(tmp_path / "broken.parquet")]
    report = Workspace(tmp_path / "ws").plan(settings)
    assert [path for path, _ in report.bad_shards] == [str(tmp_path / "broken.parquet")]
    assert report.rows == 289


@pytest.mark.long
def test_a_stage_that_must_be_fitted_first_is_said_and_the_run_has_no_name_yet(
    recipe: Light, undisturbed: Any, tmp_path: Path
) -> None:
    before = Workspace(tmp_path / "ws").plan(recipe())
    assert (before.to_fit, before.run) == (["tutorial"], None)
    after = undisturbed[1].workspace.plan(recipe())
    assert (after.to_fit, after.run, after.finished) == ([], undisturbed[0], True)
    assert {stage.runs_in for stage in after.stages if stage.step.startswith("tutorial")} == {
        "model actors 1..auto",
        "shard tasks",
    }


@pytest.mark.parametrize("state", ["cold", "finished"])
def test_the_command_says_the_same(
    state: str, light: Light, finished: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(light(), sort_keys=False))
    space = tmp_path / "ws" if state == "cold" else finished[1].root
    assert _main(["plan", str(tmp_path / "recipe.yaml"), "-w", str(space), "-f", "json"]) == 0
    said = capsys.readouterr()
    rows = json.loads(said.out)["rows"]
    report = Workspace(space).plan(tmp_path / "recipe.yaml")
    assert [(row["stage"], row["to score"], row["at most"]) for row in rows] == [
        (stage.step, stage.to_score, stage.at_most) for stage in report.stages
    ]
    if state == "cold":
        assert "289 documents, " in said.err
        assert "no estimate" in said.err
        assert not space.exists()
    else:
        assert f"run {finished[0]} is finished" in said.err
