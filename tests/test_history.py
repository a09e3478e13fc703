"""What was tried before leaves no trace: decisions and dataset are a fresh workspace's, and scores are reused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.running.result import Result
from pipelines.workspace import Workspace

STRICT, LOOSE = 0.95, 0.5
"""Thresholds of the language gate; everything behind it sees more documents when it is loosened."""
pytestmark = pytest.mark.long


@pytest.fixture
def crawl(corpus: Path, tmp_path: Path) -> Path:
    """A copy of the corpus that may be changed."""
    return Path(shutil.copytree(corpus, tmp_path / "crawl"))


def run(root: Path, settings: dict[str, Any]) -> Result:
    result = Workspace(root).run(settings, executor="local", workers=2)
    assert result.outcome == "done", result.failures
    return result


def test_strict_then_loose_then_a_new_first_shard_equals_a_fresh_workspace(
    recipe: Callable[..., dict[str, Any]], crawl: Path, held: Any, tmp_path: Path
) -> None:
    old, fresh = tmp_path / "old", tmp_path / "fresh"
    strict, loose = recipe(crawl, language=STRICT), recipe(crawl, language=LOOSE)
    run(old, strict)
    run(old, loose)
    numbers = dict(_numbers(old))
    newest = pq.read_table(crawl / "a.parquet").slice(3, 40)
    texts = pa.array([f"{text} Or so they say." if text else text for text in newest.column("content").to_pylist()])
    pq.write_table(newest.set_column(0, "content", texts), crawl / "0-new.parquet")
    grown = run(old, loose)
    alone = run(fresh, loose)
    assert grown.run == alone.run
    assert held(old).decisions(grown.run) == held(fresh).decisions(grown.run)
    assert held(old).dataset(grown.run) == held(fresh).dataset(grown.run)
    for root in (old, fresh):
        held(root).balance(grown.run)
        assert held(root).doubled() == 0
    first = Workspace(old).sql(f"SELECT path FROM shards WHERE run = '{grown.run}' AND shard = 0").to_pylist()
    assert Path(first[0]["path"]).name == "0-new.parquet"
    assert numbers.items() <= dict(_numbers(old)).items()  # a new file renumbers nothing


def test_a_looser_threshold_scores_exactly_the_documents_never_scored_before(
    recipe: Callable[..., dict[str, Any]], undisturbed: Any, held: Any, tmp_path: Path
) -> None:
    before = run(tmp_path / "both", recipe(language=STRICT))
    had = held(tmp_path / "both").rows()
    loose = run(tmp_path / "both", recipe(language=LOOSE))
    alone, fresh = undisturbed
    needed = fresh.rows()
    # documents that only the strict run scored, for it dropped other keepers: a step's rows are the union of both runs
    seen = {"both": _scored(tmp_path / "both", "tutorial"), "alone": _scored(fresh.root, "tutorial")}
    assert seen["alone"] <= seen["both"]
    assert held(tmp_path / "both").doubled() == 0
    assert loose.steps["input"] == loose.steps["language"] == 0
    assert loose.steps["gopher"] == needed["gopher"] - had["gopher"] > 0
    assert loose.steps["minhash/sketch"] == needed["minhash/sketch"] - had["minhash/sketch"] > 0
    assert loose.steps["tutorial"] == len(seen["both"]) - had["tutorial"] > 0
    assert loose.steps == held(tmp_path / "both").rows() - had
    assert loose.run == alone != before.run
    assert held(tmp_path / "both").dataset(loose.run) == fresh.dataset(loose.run)


@pytest.mark.parametrize("other", [{"prob": 0.6}, {"verify": 0.9}, {"verify": 0.6}])
def test_a_stricter_gate_or_another_verify_scores_nothing(
    other: dict[str, float],
    recipe: Callable[..., dict[str, Any]],
    undisturbed: Any,
    held: Any,
    tmp_path: Path,
) -> None:
    """Beside a prob of 0.5 and a verify of 0.7."""
    root = Path(shutil.copytree(undisturbed[1].root, tmp_path / "ws", symlinks=True))
    rows, scores = held(root).rows(), held(root).scores()
    again = run(root, _with(recipe, **other))
    grown = held(root).rows() - rows
    if other == {"verify": 0.9}:  # documents that were duplicates no longer are, and reach the model
        assert set(grown) <= {"tutorial", "tutorial/embedding"}
    else:
        assert (again.scored, grown, held(root).scores()) == (0, {}, scores)


def _with(recipe: Callable[..., dict[str, Any]], **changes: float) -> dict[str, Any]:
    if "verify" not in changes:
        return recipe(**changes)
    settings = recipe()
    next(stage for stage in settings["stages"] if stage.get("dedup") == "minhash")["verify"] = changes["verify"]
    return settings


def _scored(root: Path, step: str) -> set[tuple[str, int]]:
    """(file fingerprint, row) of every document with a score of a step."""
    records = Workspace(root).manifest.where("scores", step=step).to_pylist()
    return {
        (record["file_fingerprint"], row)
        for record in records
        for row in pq.read_table(root / record["data"], columns=["row"]).column("row").to_pylist()
    }


def _numbers(root: Path) -> set[tuple[str, int]]:
    return {(row["path"], row["file_no"]) for row in Workspace(root).manifest.read("files").to_pylist()}
