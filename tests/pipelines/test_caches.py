"""In one process: what changed on disk is read again, or the run says so; and no clock says what is the latest."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.flow.objects import _verified
from curation.manifest import parts
from curation.models.locate import sha256
from pipelines.running.events import Event, PhaseStarted
from pipelines.workspace import Workspace

WORDS = [f"word{n} and more of number {n} in a longer line" for n in range(40)]


def rows(path: Path, *columns: str) -> list[dict[str, Any]]:
    return Workspace(path / "ws").sql(f"SELECT {', '.join(columns)} FROM documents ORDER BY doc_id").to_pylist()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    table = pa.table({"text": WORDS, "url": [f"https://site{n}.org/" for n in range(40)], "n": list(range(40))})
    pq.write_table(table, tmp_path / "in.parquet")
    return tmp_path


def recipe(place: Path, *stages: dict[str, Any]) -> dict[str, Any]:
    columns = {"url": "url"}
    return {"name": "c", "input": {"path": str(place / "in.parquet"), "columns": columns}, "stages": list(stages)}


def run(place: Path, settings: dict[str, Any], **options: Any) -> Any:
    return Workspace(place / "ws").run(settings, executor="local", workers=2, **options)


def in_place(path: Path, content: str) -> None:
    """Same path, size and modification time: what `cp -p` of an older copy leaves."""
    stat = path.stat()
    assert len(content) == stat.st_size
    path.write_text(content)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def domains(path: Path, content: str) -> dict[str, Any]:
    path.write_text(content)
    return {"scorer": "url", "id": "s", "domains": str(path)}


def takedown(path: Path, content: str) -> dict[str, Any]:
    listed = path.with_suffix(".csv")
    listed.write_text("url\n" + "".join(f"https://{line}/\n" for line in content.split()))
    return {"scorer": "takedown", "id": "s", "keep": "true", "urls": str(listed)}


def target(path: Path, content: str) -> dict[str, Any]:
    seeds = path.with_suffix(".jsonl")
    seeds.write_text(
        "".join(f'{{"text": "word{line[4]} and more of {n}"}}\n' for line in content.split() for n in range(9))
    )
    return {"scorer": "dsir", "id": "s", "target": str(seeds), "sample": 40, "buckets": 1000}


@pytest.mark.long
@pytest.mark.parametrize("stage", [domains, takedown, target])
def test_a_file_that_changed_in_one_process_gives_what_a_new_process_would(
    place: Path, stage: Callable[[Path, str], dict[str, Any]]
) -> None:
    results = []
    for content in ("site1.org", "site2.org"):
        settings = recipe(place, stage(place / "list.txt", content))
        result = run(place, settings)
        assert result.outcome == "done", result.failures
        results.append(rows(place, "s"))
        fresh = Path(shutil.copytree(place, place.parent / f"{place.name}-{content}", ignore=lambda *_: ["ws"]))
        _verified.cache_clear()
        run(fresh, settings)
        assert rows(fresh, "s") == results[-1]
    assert results[0] != results[1]


@pytest.mark.parametrize("times", ["other times", "times of before"])
def test_a_hash_follows_the_file(tmp_path: Path, times: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from curation.models import locate

    monkeypatch.setattr(locate, "SETTLING_NS", -(10**12))  # hashes are kept at once
    path = tmp_path / "weights"
    path.write_text("one")
    first = sha256(path)
    assert sha256(path) == first
    time.sleep(0.02)
    (in_place if times == "times of before" else Path.write_text)(path, "two")
    assert sha256(path) != first


def test_a_list_that_changes_while_the_run_is_under_way_is_committed_under_no_fingerprint(place: Path) -> None:
    settings = recipe(place, domains(place / "list.txt", "site1.org"))

    def change(event: Event) -> None:
        if isinstance(event, PhaseStarted):
            (place / "list.txt").write_text("site2.org")

    result = run(place, settings, report=change)
    assert (result.outcome, result.failures[0][1].code) == ("failed", "R017")
    again = run(place, settings)
    assert again.outcome == "done"
    assert [row["pass"] for row in rows(place, "s.pass")].index(False) == 2


# --- the latest -----------------------------------------------------------------------------------------------------


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the clock of the records so many days back."""

    def back(days: float) -> None:
        there = parts.datetime

        class Earlier(datetime):
            @classmethod
            def now(cls, tz: Any = None) -> Any:
                return there.now(tz) - timedelta(days=days)

        monkeypatch.setattr(parts, "datetime", Earlier)

    return back


@pytest.mark.long
def test_the_latest_run_is_the_one_begun_last_whatever_the_clock_says(place: Path, clock: Any) -> None:
    first = run(place, recipe(place, {"scorer": "url"}))
    clock(3)
    second = run(place, recipe(place, {"scorer": "url", "keep": "url.scheme = 'https'"}))
    workspace = Workspace(place / "ws")
    assert workspace.sql("SELECT DISTINCT stage FROM drops").num_rows == 0
    [shown] = workspace.sql("SELECT count(*) AS n FROM funnel").to_pylist()
    assert shown == workspace.sql("SELECT count(*) AS n FROM funnel", second.run).to_pylist()[0]
    from curation.manifest.runs import choose_run

    assert (choose_run(workspace.manifest, None), choose_run(workspace.manifest, "c")) == (second.run, second.run)
    assert [row["run"] for row in workspace.sql("FROM attempts").to_pylist()] == [first.run, second.run]
    assert [row["run"] for row in workspace.sql("SELECT run FROM datasets").to_pylist()] == [first.run, second.run]


def test_the_last_attempts_outcome_is_the_runs(place: Path, clock: Any) -> None:
    settings = recipe(place, {"scorer": "url"})
    content = (place / "in.parquet").read_bytes()
    settings["input"]["path"] = str(place / "*.parquet")
    shutil.copy(place / "in.parquet", place / "other.parquet")
    spoiled = lambda event: isinstance(event, PhaseStarted) and (place / "other.parquet").write_bytes(content[:99])  # noqa: E731
    failed = run(place, settings, report=spoiled)
    assert failed.outcome == "failed"
    clock(3)
    shutil.copy(place / "in.parquet", place / "other.parquet")
    done = run(place, settings)
    assert (done.run, done.outcome) == (failed.run, "done")
    assert Workspace(place / "ws").sql("SELECT * FROM errors").num_rows == 0


def test_workspaces_from_before_attempts_were_numbered_are_read(place: Path) -> None:
    first = run(place, recipe(place, {"scorer": "url"}))
    for path in (place / "ws" / "manifest" / "parts" / "attempts").glob("*.parquet"):
        table = pq.read_table(path, partitioning=None).drop_columns(["number"])
        path.unlink()
        pq.write_table(table, path)
    workspace = Workspace(place / "ws")
    assert workspace.sql("SELECT run FROM attempts").to_pylist() == [{"run": first.run}]
    second = run(place, recipe(place, {"scorer": "url", "keep": "url.scheme = 'https'"}))
    numbers = Workspace(place / "ws").manifest.read("attempts").column("number").to_pylist()
    assert sorted(numbers, key=lambda number: number or 0) == [None, 2]
    from curation.manifest.runs import choose_run

    assert choose_run(Workspace(place / "ws").manifest, None) == second.run
