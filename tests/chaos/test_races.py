"""Late attempts, two runs at once, and SQL while a run writes: nobody harms anybody."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from threading import Event
from typing import Any

import holding
import pyarrow.parquet as pq
import pytest

from curation import failpoints
from curation.flow.perform import score_here
from curation.flow.score import score_shard
from curation.flow.units import ScoreWork
from curation.manifest.views import VIEWS
from pipelines.planning.resolve import resolve
from pipelines.running.fit import fit
from pipelines.running.run import _Invocation
from pipelines.workspace import Workspace
from workers.local import LocalExecutor

DRIVE = Path(__file__).with_name("drive.py")


def first_unit(root: Path, settings: dict[str, Any]) -> ScoreWork:
    """The first shard's first unit of a run that is announced and has scored nothing."""
    workspace = Workspace(root)
    workspace.create()
    loaded = workspace.check(settings)
    resolved = resolve(loaded, workspace.manifest)
    for item in resolved.unfitted:
        fit(resolved, item, workspace.store, LocalExecutor, lambda event: None)
    plan = resolve(loaded, Workspace(root).manifest).plan
    invocation = _Invocation(plan, workspace.store, lambda: LocalExecutor(1), lambda event: None)
    invocation._announce()
    return ScoreWork(invocation._shards()[0], 0)


def as_attempt(unit: ScoreWork, attempt: str) -> ScoreWork:
    return replace(unit, shard_work=replace(unit.shard_work, work=replace(unit.work, attempt=attempt)))


def score_files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in (root / "scores").rglob("*") if path.is_file()}


@pytest.mark.long
def test_an_attempt_that_commits_after_another_won_is_discarded(
    recipe: Callable[..., dict[str, Any]], undisturbed: Any, held: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "ws"
    unit = first_unit(root, recipe())
    written, go = Event(), Event()

    def hit(point: str) -> None:
        if point == "after-data" and not written.is_set():
            written.set()
            assert go.wait(240)

    monkeypatch.setattr(failpoints, "hit", hit)
    with ThreadPoolExecutor(1) as pool:
        late = pool.submit(score_shard, as_attempt(unit, "20990101T000000-late"), score_here)
        try:
            assert written.wait(240)  # its files are there, and it is about to commit
            files = score_files(root)
            winner = score_shard(as_attempt(unit, "20990101T000000-fast"), score_here)
            assert winner.committed
            assert len(score_files(root)) == 2 * len(files)
        finally:
            go.set()
        assert not late.result().committed
    named = {row["data"] for row in Workspace(root).manifest.read("scores").to_pylist()}
    assert score_files(root) == named
    assert all("fast" in name for name in named)
    assert held(root).doubled() == 0
    result = Workspace(root).run(recipe(), executor="local", workers=2)
    assert held(root).everything(result.run) == undisturbed[1].everything(undisturbed[0])


def test_a_unit_that_is_repeated_after_its_commit_scores_nothing(
    recipe: Callable[..., dict[str, Any]], held: Any, tmp_path: Path
) -> None:
    unit = first_unit(tmp_path, recipe())
    assert score_shard(unit, score_here).committed
    files = {name: (tmp_path / name).stat().st_mtime_ns for name in score_files(tmp_path)}

    def never(*_: Any) -> Any:
        raise AssertionError("scored again")

    again = score_shard(unit, never)
    assert (again.rows, again.committed) == (0, False)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in score_files(tmp_path)} == files
    assert held(tmp_path).doubled() == 0


def test_a_late_attempt_with_more_documents_keeps_those_that_nobody_has(
    recipe: Callable[..., dict[str, Any]], held: Any, tmp_path: Path
) -> None:
    strict, loose = (first_unit(tmp_path, recipe(language=threshold)) for threshold in (0.95, 0.5))
    assert strict.part.key == loose.part.key
    score_shard(strict, score_here)
    had = held(tmp_path).rows()
    assert score_shard(loose, score_here).committed  # planned before the other committed
    grown = held(tmp_path).rows() - had
    assert grown["input"] == grown["language"] == 0 < grown["gopher"]
    assert held(tmp_path).doubled() == 0


@pytest.mark.long
def test_two_invocations_of_one_run_at_once(
    recipe: Callable[..., dict[str, Any]], undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    run, reference = undisturbed
    other = start(tmp_path, recipe())
    result = Workspace(tmp_path / "ws").run(recipe(), executor="local", workers=2, force=True)
    theirs, trace = other.communicate(timeout=240)
    assert (result.run, result.failures) == (run, [])
    assert (other.returncode, json.loads(theirs)["failures"]) == (0, []), trace
    assert held(tmp_path / "ws").dataset(run) == reference.dataset(run)
    assert held(tmp_path / "ws").decisions(run) == reference.decisions(run)
    assert distinct_scores(tmp_path / "ws") == distinct_scores(reference.root)
    held(tmp_path / "ws").balance(run)


@pytest.mark.long
def test_two_runs_in_one_workspace_at_once_equal_their_fresh_workspaces(
    recipe: Callable[..., dict[str, Any]], undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    strict = recipe(language=0.9, prob=0.4)
    alone = Workspace(tmp_path / "alone").run(strict, executor="local", workers=2)
    other = start(tmp_path, recipe())
    mine = Workspace(tmp_path / "ws").run(strict, executor="local", workers=1)
    theirs, trace = other.communicate(timeout=240)
    assert (mine.run, mine.outcome, mine.failures) == (alone.run, "done", [])
    assert (other.returncode, json.loads(theirs)["run"]) == (0, undisturbed[0]), trace
    both = held(tmp_path / "ws")
    for run, fresh in ((alone.run, held(tmp_path / "alone")), undisturbed):
        assert both.dataset(run) == fresh.dataset(run)
        assert both.decisions(run) == fresh.decisions(run)
        both.balance(run)


@pytest.mark.long
def test_sql_from_another_process_while_a_run_writes(recipe: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    hold = tmp_path / "hold"
    hold.touch()
    other = start(tmp_path, recipe(), holding.__file__, "in-decide", "5", str(hold), "drive")
    seen: list[tuple[int, ...]] = []
    try:
        while other.poll() is None:
            if (tmp_path / "ws" / "workspace.json").exists():
                half = holding.reached(hold).exists()
                seen.append(look(tmp_path / "ws"))
                if half:  # of the decisions were there
                    hold.unlink(missing_ok=True)
    finally:
        other.kill()
        out, err = other.communicate()
    assert other.returncode == 0, (out, err)
    seen.append(look(tmp_path / "ws"))
    assert len(set(seen)) > 2  # it did change meanwhile
    documents = [counts[VIEWS.index("documents")] for counts in seen]
    assert any(0 < count < documents[-1] for count in documents)
    for before, after in pairwise(seen):
        back = [name for name, one, two in zip(VIEWS, before, after, strict=True) if one > two]
        assert not back or back == ["scores_histogram"], (back, before, after)  # bins that were apart may merge


def look(root: Path) -> tuple[int, ...]:
    """Rows of every view, by one SELECT."""
    workspace = Workspace(root)
    if not workspace.manifest.keys("attempts"):
        return (0,) * len(VIEWS)
    counts = workspace.sql("SELECT " + ", ".join(f"(SELECT count(*) FROM {name}) AS {name}" for name in VIEWS))
    return tuple(counts.to_pylist()[0].values())


def start(folder: Path, settings: dict[str, Any], *command: str) -> Any:
    """The same workspace, another process."""
    (folder / "recipe.json").write_text(json.dumps(settings))
    words = [sys.executable, *(command or [str(DRIVE)]), str(folder / "ws"), str(folder / "recipe.json"), "local", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(DRIVE.parent), str(DRIVE.parents[2])])}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def distinct_scores(root: Path) -> set[tuple[str, str, int]]:
    """(step fingerprint, file fingerprint, row) of every score."""
    return {
        (record["fingerprint"], record["file_fingerprint"], row)
        for record in Workspace(root).manifest.read("scores").to_pylist()
        for row in pq.read_table(root / record["data"], columns=["row"]).column("row").to_pylist()
    }
