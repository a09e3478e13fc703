"""Pieces of charts that need a model, or a run that is not finished, each by what it is made from."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pipelines.charts.reliability as reliability
from curation.scorers.attribution import Attribution
from pipelines.charts.attribution import _located
from pipelines.charts.report import report_data
from pipelines.charts.selection import project
from pipelines.workspace import Workspace


def test_a_map_is_the_two_directions_of_most_variance() -> None:
    chance = np.random.default_rng(3)
    flat = chance.normal(0, 1, (200, 2)) * [5.0, 2.0]
    turned = np.linalg.qr(chance.normal(0, 1, (8, 8)))[0][:2]
    places, explained = project(flat @ turned + 3.0)
    assert explained == pytest.approx([flat[:, 0].var() / flat.var(axis=0).sum(), 0], abs=0.2)
    assert sum(explained) == pytest.approx(1.0)
    distances = [np.linalg.norm(points[:50, None] - points[None, :50], axis=2) for points in (places, flat)]
    assert np.allclose(*distances)
    assert np.allclose(project((flat @ turned + 3.0)[:, ::1])[0], places)
    assert project(np.zeros((5, 3)))[1] == [0.0, 0.0]


def test_tokens_and_pieces_are_marked_in_the_source_behind_edits() -> None:
    text = "ä cat sat"
    edits = [{"start": 0, "end": 6, "replacement": ""}]  # of the source "gone: ä cat sat"
    losses = Attribution("loss", [("ä", 1.0), (" cat", 2.5), (" sat", 0.5)], in_order=True)
    marks = _located(text, edits, losses, "ppl")
    assert [(m.start, m.end, m.what, m.weight) for m in marks] == [
        (6, 8, "loss", 1.0), (8, 12, "loss", 2.5), (12, 16, "loss", 0.5)
    ]  # fmt: skip
    words = Attribution("logit", [("cat", 0.7), ("##at", 0.2), ("(bias)", -1.0)])
    assert [(m.start, m.end, m.what, m.weight) for m in _located(text, (), words, "head")] == [(3, 6, "moved", 0.7)]


def test_a_weak_to_strong_run_is_told_with_intervals(monkeypatch: Any, charted: Path) -> None:
    interval = {"value": 0.8, "low": 0.7, "high": 0.9}
    labels = {
        "of": 200, "labelled": 150, "accuracy": interval, "majority": 0.5, "ece_before": 0.2, "ece": 0.05,
        "labelled_rows": 100, "reliability": [[0.6, 0.5, 0.4], [0.9, 1.0, 0.6]],
        "risk_coverage": [[0.1, 0.0], [1, 0.2]],
        "risk_control": {"error": 0.05}, "automatic": 90,
    }  # fmt: skip
    gap = {"weak": interval, "student": interval, "ceiling": interval, "recovered": None, "identifiable": False}
    students = [
        {"name": "s", "kind": "head", "seeds": 3, "gap": {**gap, "reason": "too close"}, "no_gap_because": None}
    ]
    weak = {"run": "r", "name": "n", "classes": ["a", "b"], "labels": labels, "supervisors": [], "students": students}
    monkeypatch.setattr(reliability, "find_report", lambda manifest, run: weak)
    chart = reliability.reliability(Workspace(charted).manifest)
    assert [(b["rows"], b["accuracy"]) for b in chart["bins"]] == [(40, 0.5), (60, 1.0)]
    assert all(b["low"] < b["accuracy"] <= b["high"] for b in chart["bins"])  # type: ignore[operator]
    assert chart["coverage"][-1] == {"coverage": 1, "error": 0.2}
    [student] = chart["students"]
    assert (student["recovered"], student["identifiable"], student["because"]) == (None, False, "too close")


def test_a_run_that_goes_on_is_told_as_far_as_it_is(charted: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(charted, tmp_path / "ws", symlinks=True))
    shutil.rmtree(copy / "manifest" / "parts" / "datasets")
    decided = sorted((copy / "manifest" / "parts" / "decisions").iterdir())
    assert len(decided) > 1
    decided[0].unlink()
    whole, part = (report_data(Workspace(root).manifest, attributions=False) for root in (charted, copy))
    assert whole["documents"] > part["documents"] > 0
    assert part["state"] != "done"
    assert "not finished" in str(part["note"])
    assert "1 of 2 shards" in str(part["funnel"]["note"])
    assert part["funnel"]["rows"][0]["rows_in"] == part["documents"]
    json.dumps(part, allow_nan=False)
