"""The page over a workspace that lies in a bucket: runs, documents, thresholds, labels and what goes on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from object_store import new_bucket
from pipelines.workspace import Workspace
from ui_server import recipe, serving


def test_a_bucket_is_served_like_a_folder(environment: Callable[[int], None], tmp_path: Path) -> None:
    rows = [{"text": f"Text {n} of some words.", "n": n, "m": n * 7 % 100, "key": str(n)} for n in range(80)]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    url = f"{new_bucket()}/ws"
    workspace = Workspace(url)
    result = workspace.run(recipe(tmp_path, 20), executor="local", workers=1)
    assert result.outcome == "done"
    with serving(url) as client:
        assert client.get("/api/workspace")["root"] == url
        [run] = client.get("/api/runs")
        assert (run["state"], run["kept"]) == ("done", result.kept)
        told = client.post("/api/runs/latest/gates", {"gates": {"n": "n.score >= 40"}, "examples": 2})
        assert told["kept"] == workspace.what_if("n.score >= 40").kept
        assert len(told["examples"]["lost"]) == 2
        page = client.get("/api/runs/latest/documents?outcome=kept&n=3")
        assert page["total"] == result.kept
        assert page["documents"][0]["pieces"][0]["text"].startswith("Text")
        state = client.post("/api/runs/latest/audit", {"rows": 20})
        client.post("/api/runs/latest/labels", {"doc": state["next"][0], "label": "good"})
        assert client.post("/api/runs/latest/labels/undo", {})["undone"]["label"] == "good"
        assert client.post("/api/sql", {"query": "SELECT count(*) FROM documents"})["rows"] == [[80]]


pytestmark = pytest.mark.timeout(300)
