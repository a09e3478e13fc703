"""Labels go into the audit that there is: unsure ones and undone ones count as none, and none is lost."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pipelines.results.labels import answers, labels_of
from pipelines.workspace import Workspace
from ui_server import serving

LABELLER = """
import sys
from curation.manifest.parts import Manifest
from curation.store import open_store
from pipelines.results.labels import give, undo
manifest = Manifest(open_store(sys.argv[1]))
for doc in map(int, sys.argv[3:]):
    give(manifest, sys.argv[2], [(doc, doc % 2 == 0, None)])
    give(manifest, sys.argv[2], [(doc, None, "unsure")])
    undo(manifest, sys.argv[2], doc)
"""


@pytest.fixture(scope="module")
def audited(numbers: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    import shutil

    copy = tmp_path_factory.mktemp("audited") / "ws"
    shutil.copytree(numbers, copy, symlinks=True)
    return copy


def test_labelling_moves_precision_and_undo_moves_it_back(audited: Path, capsys: Any) -> None:
    with serving(audited) as client:
        nothing = client.get("/api/runs/strict/audit")
        assert (nothing["audit"], nothing["sampled"], nothing["next"]) == (None, 0, [])
        begun = client.post("/api/runs/strict/audit", {"rows": 60})
        assert (begun["sampled"], begun["labelled"], begun["left"], begun["precision"]) == (60, 0, 60, None)
        first, second, third = begun["next"][:3]
        state = client.post("/api/runs/strict/labels", {"doc": first, "label": "good"})
        assert (state["labelled"], state["left"], first in state["next"]) == (1, 59, False)
        state = client.post("/api/runs/strict/labels", {"doc": second, "label": "bad", "note": "thin"})
        before = client.post("/api/runs/strict/labels", {"doc": third, "label": "unsure"})
        assert (before["labelled"], before["unsure"], before["left"]) == (2, 1, 57)
        assert before["precision"] == state["precision"]
        assert [row["good"] for row in before["by_stratum"]] == [row["good"] for row in state["by_stratum"]]
        changed = client.post("/api/runs/strict/labels", {"doc": first, "label": "bad"})
        assert changed["labelled"] == 2
        undone = client.post("/api/runs/strict/labels/undo", {})
        assert undone["undone"] == {"doc": first, "label": "bad"}
        assert {**undone["audit"], "note": None} == {**before, "note": None}
        assert client.post("/api/runs/strict/labels/undo", {"doc": second})["undone"]["label"] == "bad"
        assert client.post("/api/runs/strict/labels/undo", {})["undone"] == {"doc": third, "label": "unsure"}
        assert client.post("/api/runs/strict/labels/undo", {})["undone"] == {"doc": first, "label": "good"}
        empty = client.post("/api/runs/strict/labels/undo", {})
        assert (empty["undone"], empty["audit"]["left"]) == (None, 60)
        for doc, label in ((first, "good"), (second, "unsure")):
            client.post("/api/runs/strict/labels", {"doc": doc, "label": label})
        [labelled] = client.get(f"/api/runs/strict/documents/{first}")["labels"]
        assert labelled["good"] is True
    _other_tools_agree(audited, first, second, capsys)


def _other_tools_agree(audited: Path, good: str, unsure: str, capsys: Any) -> None:
    from pipelines.cli.main import _main

    workspace = Workspace(audited)
    rows = workspace.sql(
        "SELECT doc_id::VARCHAR AS doc, good, unsure FROM audits WHERE labelled_at IS NOT NULL", "strict"
    )
    expected = [{"doc": good, "good": True, "unsure": False}, {"doc": unsure, "good": None, "unsure": True}]
    assert sorted(rows.to_pylist(), key=lambda row: row["doc"]) == sorted(expected, key=lambda row: row["doc"])
    assert _main(["audit", "report", "-w", str(audited), "--run", "strict"]) == 0
    told = capsys.readouterr().err
    assert "1 of 60 sampled documents have a label" in told
    assert "1 were looked at and left as unsure" in told
    asked: list[str] = []
    workspace.audit_label(lambda document, left: asked.append(str(document["doc_id"])) or "quit", run="strict")
    assert not {good, unsure} & set(asked)


def test_versions_that_know_no_marks_read_the_labels_as_they_were_given(audited: Path) -> None:
    manifest = Workspace(audited).manifest
    assert all(row["good"] is not None for row in manifest.read("audit_labels").to_pylist())


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"doc": "1", "label": "great"}, 400, "C004"),
        ({"doc": "x", "label": "good"}, 404, "C032"),
        ({"doc": "99999", "label": "good"}, 400, "C041"),
        ({"doc": "1", "label": "good", "note": "x" * 2000}, 400, "C004"),
        ({"label": "good"}, 404, "C032"),
    ],
)
def test_what_is_no_label_is_refused(body: Any, status: int, code: str, client: Any) -> None:
    assert client.refused("POST", "/api/runs/loose/labels", body) == (status, code)


def test_a_sheet_may_say_unsure(audited: Path, tmp_path: Path) -> None:
    workspace = Workspace(audited)
    sample = workspace.audit_sample(rows=60, into=tmp_path / "a.csv", run="loose")
    lines = (tmp_path / "a.csv").read_text("utf-8-sig").split("\n")
    place = lines[0].split(",").index("label")
    cells = [line.split(",", place + 1) for line in lines[1:3]]
    for cell, word in zip(cells, ("Unsure", "good"), strict=True):
        cell[place] = word
    (tmp_path / "b.csv").write_text("\n".join([lines[0], *(",".join(cell) for cell in cells)]) + "\n")
    assert workspace.audit_read(tmp_path / "b.csv").new == 2
    assert workspace.audit_read(tmp_path / "b.csv").same == 2
    report = workspace.audit_report("loose", sample.audit)
    assert (report.unsure, sum(stratum.labelled for stratum in report.sample.strata)) == (1, 1)


def test_two_who_label_at_once_lose_nothing(audited: Path) -> None:
    workspace = Workspace(audited)
    run = workspace.sql("SELECT run FROM runs WHERE labels = 'loose'").column(0)[0].as_py()
    before = len(answers(workspace.manifest, run))
    halves = [list(range(1000, 1015)), list(range(2000, 2015))]
    command = [sys.executable, "-c", LABELLER, str(audited), run]
    processes = [subprocess.Popen([*command, *map(str, half)]) for half in halves]
    assert [process.wait(120) for process in processes] == [0, 0]
    labels = labels_of(workspace.manifest, run)
    assert {doc: labels[doc].good for half in halves for doc in half} == {
        doc: doc % 2 == 0 for half in halves for doc in half
    }
    assert len(answers(workspace.manifest, run)) == before + 30


def test_each_answer_is_undone_once_however_many_undo_at_once(audited: Path) -> None:
    with serving(audited) as client, ThreadPoolExecutor(8) as several:
        [first, second] = client.post("/api/runs/strict/audit", {"rows": 60})["next"][:2]
        given = [(doc, label) for _ in range(4) for doc, label in ((first, "good"), (second, "bad"))]
        before = client.get("/api/runs/strict/audit")["labelled"]
        list(several.map(lambda one: client.post("/api/runs/strict/labels", {"doc": one[0], "label": one[1]}), given))
        undone = list(several.map(lambda _: client.post("/api/runs/strict/labels/undo", {})["undone"], range(8)))
        assert None not in undone
        assert client.get("/api/runs/strict/audit")["labelled"] == before
