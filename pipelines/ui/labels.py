"""Labels by hand, into the audit that `curate audit` keeps: what is left, and what the labels say so far."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.results import audit
from pipelines.results.labels import GOOD, LABELS, Given, give, labels_of, undo
from pipelines.ui.charts import document_number
from pipelines.ui.runs import find_run
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

NEXT = 20
"""Documents without a label that are named."""
MOST_NOTE = 1_000
MOST_SAMPLED = 100_000
ROWS = 200
"""Documents of a sample, as `curate audit sample` draws it."""


def state(workspace: Workspace, names: Mapping[str, str], asked: Mapping[str, str]) -> dict[str, Any]:
    """How far the labelling of a run's latest sample is, precision and recall. `audit` is null where nothing was
    sampled yet."""
    return _state(workspace, find_run(workspace, names["run"]))


def draw(workspace: Workspace, name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """{rows?, seed?}: draw a sample to be labelled, as `curate audit sample` does; the state."""
    run, rows, seed = find_run(workspace, name), asked.get("rows", ROWS), asked.get("seed", 0)
    if any(not isinstance(item, int) or isinstance(item, bool) or item < 0 for item in (rows, seed)):
        raise CurationError(Finding("C004", "expected rows and seed, whole numbers"))
    if rows > MOST_SAMPLED or seed >= 2**32:
        raise CurationError(Finding("C004", f"rows: {MOST_SAMPLED:,} at most; seed: below 2**32"))
    audit.sample(workspace.manifest, run, rows, seed, None)
    return _state(workspace, run)


def label(workspace: Workspace, name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """{doc, label: good|bad|unsure, note?}: keep a label; the state. Raises C004 for a label that is none, C041 for a
    document that was not sampled."""
    run, word, note = find_run(workspace, name), asked.get("label"), asked.get("note")
    if not isinstance(word, str) or word not in GOOD:
        raise CurationError(Finding("C004", "there is no such label", f"labels: {', '.join(GOOD)}"))
    if note is not None and (not isinstance(note, str) or len(note) > MOST_NOTE or not _is_text(note)):
        raise CurationError(Finding("C004", f"note: expected a text of {MOST_NOTE:,} characters at most"))
    doc = document_number(str(asked.get("doc", "")))
    if doc not in {row["doc_id"] for row in workspace.manifest.where("audits", run=run).to_pylist()}:
        hint = "labels of other documents would say nothing about the recipe: they are no random ones"
        raise CurationError(Finding("C041", f"document {doc} was not sampled for an audit of run {run}", hint))
    give(workspace.manifest, run, [(doc, GOOD[word], note or None)])
    return _state(workspace, run)


def take_back(workspace: Workspace, name: str, asked: dict[str, Any]) -> dict[str, Any]:
    """{doc?}: undo the last label of the run, or of one document; what was undone, and the state."""
    run = find_run(workspace, name)
    doc = document_number(str(asked["doc"])) if asked.get("doc") is not None else None
    undone = undo(workspace.manifest, run, doc)
    told = None if undone is None else {"doc": str(undone.doc_id), "label": _word(undone)}
    return {"undone": told, "audit": _state(workspace, run)}


def _state(workspace: Workspace, run: str) -> dict[str, Any]:
    manifest = workspace.manifest
    if not manifest.where("audits", run=run).num_rows:
        empty: dict[str, Any] = {"sampled": 0, "labelled": 0, "unsure": 0, "left": 0, "precision": None, "recall": None}
        return {"audit": None, "run": run, **empty, "by_stratum": [], "measures": [], "next": [], "note": None}
    report = audit.report(manifest, run)
    strata = report.sample.strata
    labels = labels_of(manifest, run)
    records = manifest.where("audits", run=run, audit=report.sample.audit).sort_by("place").to_pylist()
    left = [str(record["doc_id"]) for record in records if record["doc_id"] not in labels]
    measures = report.table().to_pylist()
    shares = {row["measure"]: _share(row) for row in measures if row["stage"] is None}
    return {
        "audit": report.sample.audit,
        "run": run,
        "sampled": sum(stratum.sampled for stratum in strata),
        "labelled": sum(stratum.labelled for stratum in strata),
        "unsure": report.unsure,
        "left": len(left),
        "precision": shares.get("precision"),
        "recall": shares.get("recall"),
        "measures": measures,
        "by_stratum": [
            {
                "name": stratum.name,
                "stage": stratum.stage,
                "reason": stratum.reason,
                "documents": stratum.size,
                "sampled": stratum.sampled,
                "labelled": stratum.labelled,
                "good": stratum.good,
            }
            for stratum in strata
        ],
        "next": left[:NEXT],
        "note": "; ".join(report.lines()[1:]),
    }


def _share(row: dict[str, Any]) -> dict[str, Any] | None:
    """An estimate with its interval; null where no label says anything yet."""
    if not row["labelled"]:
        return None
    return {"value": row["estimate"], "low": row["low"], "high": row["high"]}


def _word(given: Given) -> str:
    if given.kind != LABELS:
        return "unsure"
    return "good" if given.good else "bad"


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True
