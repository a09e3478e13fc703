"""The same input and recipe give the same bytes, whoever computes them and in whatever order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lengths import mostly_long

from pipelines.workspace import Workspace


@pytest.mark.parametrize(("executor", "workers"), mostly_long([("local", 3), ("ray", 2)]))
def test_executors_and_worker_counts_give_the_same_bytes(
    executor: str, workers: int, recipe: Callable[..., dict[str, Any]], undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    run, reference = undisturbed
    result = Workspace(tmp_path).run(recipe(), executor=executor, workers=workers)
    assert (result.run, result.outcome, result.failures) == (run, "done", [])
    assert held(tmp_path).everything(run) == reference.everything(run)


def test_the_corpus_has_what_the_claims_are_about(undisturbed: Any) -> None:
    run, reference = undisturbed
    shards = reference.workspace.sql("SELECT path, rows, kept, dropped, errored FROM shards").to_pylist()
    assert len({shard["path"] for shard in shards}) == 7
    assert len(shards) > 7
    assert len({shard["rows"] for shard in shards}) >= 7
    assert sum(shard["errored"] for shard in shards) == 1
    funnel = {row["stage"]: row["dropped"] for row in reference.workspace.funnel().to_pylist()}
    assert all(dropped > 0 for dropped in funnel.values()), funnel
    assert len(reference.dataset(run)) > 2  # the card, and more than one part


def test_every_row_of_every_shard_is_accounted_for(undisturbed: Any) -> None:
    run, reference = undisturbed
    reference.balance(run)
    assert reference.doubled() == 0


def test_a_finished_run_run_again_scores_nothing_and_starts_no_executor(
    recipe: Callable[..., dict[str, Any]], undisturbed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, reference = undisturbed

    def never(*_: Any) -> None:
        raise AssertionError("an executor was started")

    monkeypatch.setattr("workers.local.LocalExecutor.__init__", never)
    before = reference.everything(run), reference.rows(), _files(reference.root)
    result = reference.workspace.run(recipe(), executor="local")
    assert (result.run, result.outcome, result.scored) == (run, "nothing-to-do", 0)
    assert (result.kept, result.rows) == (before[1]["input"] - result.dropped - result.errored, before[1]["input"])
    assert (reference.everything(run), reference.rows(), _files(reference.root)) == before


def _files(root: Path) -> dict[str, int]:
    return {
        str(path): path.stat().st_mtime_ns for path in root.rglob("*") if path.is_file() and "seen" not in path.parts
    }
