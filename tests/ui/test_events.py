"""How runs go on, whoever runs them: by the heartbeat of a process that only the workspace knows."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipelines.running.attempts import HEARTBEATS
from pipelines.ui import events, runs
from pipelines.workspace import Workspace
from ui_server import serving

ADVANCED = {
    "name": "scoring", "units": 1, "total": 4, "under_way": 2, "documents": 120, "to_score": 1000, "exact": True,
    "kept": 0.5, "tokens": 10, "seconds": 3.0, "documents_per_second": 40.0, "tokens_per_second": 400.0,
    "seconds_left": 22.0, "working": ["n"], "compiling": False, "loading": False, "drains": None,
}  # fmt: skip


@pytest.fixture
def copied(numbers: Path, tmp_path: Path) -> Path:
    shutil.copytree(numbers, tmp_path / "ws", symlinks=True)
    return tmp_path / "ws"


def stream(port: int) -> Iterator[Any]:
    """What is told, as it comes."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("GET", "/api/events")
    response = connection.getresponse()
    assert response.getheader("content-type") == "text/event-stream; charset=utf-8"
    while True:
        line = response.readline()
        if line.startswith(b"data: "):
            yield json.loads(line[6:])


def beat(workspace: Workspace, attempt: str, **advanced: Any) -> None:
    phase = {"name": "scoring", "total": 4, "step": "score", "stage": "n", "family": "", "documents": 1000}
    facts = {"beat": time.monotonic(), "time": time.time(), "phase": phase, "advanced": ADVANCED | advanced}
    path = workspace.store.path(f"{HEARTBEATS}/{attempt}.json")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(facts))


def test_a_run_on_another_machine_is_watched_to_its_end(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "POLL_SECONDS", 0.05)
    workspace = Workspace(copied)
    run = workspace.sql("SELECT run FROM runs WHERE labels = 'loose'").column(0)[0].as_py()
    with serving(copied) as client:
        told = stream(client.port)
        first = next(told)["runs"]
        assert [row["state"] for row in first] == ["done", "done"]
        attempt = {"attempt": "far", "run": run, "executor": "ray", "host": "another", "pid": 7, "process": "1 x"}
        beat(workspace, "far")
        workspace.manifest.commit("attempts", "far", [{**attempt, "number": 99, "started_at": datetime.now(UTC)}])
        going = next(row for row in next(told)["runs"] if row["run"] == run)
        assert (going["state"], going["ended"]) == ("running", None)
        progress = going["progress"]
        assert (progress["phase"], progress["stage"], progress["unit"]) == ("scoring", "n", "documents")
        assert (progress["done"], progress["total"], progress["rate"]) == (120, 1000, 40.0)
        assert (progress["tokens_rate"], progress["kept_share"], progress["seconds_left"]) == (400.0, 0.5, 22.0)
        assert (progress["host"], progress["pid"]) == ("another", 7)
        beat(workspace, "far", documents=None, to_score=None, units=3)
        progress = next(row for row in next(told)["runs"] if row["run"] == run)["progress"]
        assert (progress["unit"], progress["done"], progress["total"]) == ("units", 3, 4)
        end = {"attempt": "far", "run": run, "outcome": "done", "seconds": 4.0, "ended_at": datetime.now(UTC)}
        workspace.manifest.commit("ends", "far", [end])
        ended = next(row for row in next(told)["runs"] if row["run"] == run)
        assert (ended["state"], ended["progress"]) == ("done", None)


def test_a_heartbeat_that_stands_still_is_nobody_s(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace = Workspace(copied)
    heartbeats = runs.Heartbeats()
    attempt = {"attempt": "far", "host": "another", "pid": 7, "process": "1 x", "started_at": datetime.now(UTC)}
    assert heartbeats.of(workspace.manifest, attempt) == {}, "one that begins has said nothing yet"
    beat(workspace, "far")
    assert heartbeats.of(workspace.manifest, attempt)
    monkeypatch.setattr(runs, "STALE_SECONDS", 0.0)
    assert heartbeats.of(workspace.manifest, attempt) is None
    beat(workspace, "far")
    monkeypatch.setattr(runs, "STALE_SECONDS", 45.0)
    assert heartbeats.of(workspace.manifest, attempt), "it moves again"


def test_what_another_version_says_otherwise_is_left_out(copied: Path) -> None:
    facts = {"phase": "scoring", "advanced": [1], "time": time.time()}
    told = runs._progress(facts, {"host": "h", "pid": 1})
    assert (told["phase"], told["done"], told["total"]) == (None, 0, None)


def test_runs_that_failed_or_were_stopped_say_so(copied: Path) -> None:
    workspace = Workspace(copied)
    run = workspace.sql("SELECT run FROM runs WHERE labels = 'loose'").column(0)[0].as_py()
    for path in (copied / "manifest/parts/datasets").glob(f"{run}*"):
        path.unlink()
    for number, (outcome, state) in enumerate((("failed", "failed"), ("interrupted", "stopped"))):
        name = f"again-{number}"
        attempt = {"attempt": name, "run": run, "host": "h", "pid": 1, "process": "", "number": 100 + number}
        workspace.manifest.commit("attempts", name, [{**attempt, "started_at": datetime.now(UTC)}])
        end = {"attempt": name, "run": run, "outcome": outcome, "seconds": 1.0, "ended_at": datetime.now(UTC)}
        workspace.manifest.commit("ends", name, [end])
        rows = runs.all_runs(Workspace(copied).manifest, runs.Heartbeats())
        assert next(row for row in rows if row["run"] == run)["state"] == state
