"""Weak-to-strong runs: whether labels are as often right as they are sure, and what students recovered of the gap."""

from __future__ import annotations

from typing import Any

from curation.manifest.parts import Manifest
from pipelines.charts.run import OpenRun
from pipelines.weak_to_strong.result import find_report
from schemas.charts import Estimate, Reliability, ReliabilityBin, StudentGap, SupervisorRow

TAIL = 0.025


def used(run: OpenRun) -> list[Reliability]:
    """Of the weak-to-strong runs whose students the run scores with."""
    steps = {row["fingerprint"] for row in run.stages} | {record["fingerprint"] for record in run.fingerprints}
    addresses = [row["address"] for row in run.manifest.read("models").to_pylist() if row["fingerprint"] in steps]
    weak = dict.fromkeys(row["run"] for row in run.manifest.read("weak_results").to_pylist())
    return [reliability(run.manifest, name) for name in weak if any(f"/{name}/" in f"{a}/" for a in addresses)]


def reliability(manifest: Manifest, run: str | None = None) -> Reliability:
    """Of a finished weak-to-strong run, by id, prefix or name; the latest by default. Raises CurationError C032 for
    none, C049 where its report is damaged."""
    report = find_report(manifest, run)
    labels = report["labels"]
    risk = labels.get("risk_control") or {}
    return {
        "kind": "reliability",
        "note": None if labels.get("accuracy") else "There is no gold to test on: accuracies are estimates.",
        "run": report["run"],
        "name": report["name"],
        "classes": report["classes"],
        "rows": labels["of"],
        "labelled": labels["labelled"],
        "accuracy": _estimate(labels.get("accuracy")),
        "majority": labels.get("majority"),
        "ece_before": labels.get("ece_before"),
        "ece": labels.get("ece"),
        "bins": [_bin(row, labels.get("labelled_rows") or 0) for row in labels.get("reliability") or ()],
        "coverage": [{"coverage": share, "error": error} for share, error in labels.get("risk_coverage") or ()],
        "error_target": risk.get("error"),
        "automatic": labels.get("automatic"),
        "supervisors": [_supervisor(row) for row in report["supervisors"]],
        "students": [_student(row) for row in report["students"]],
    }


def _bin(row: list[float], labelled: int) -> ReliabilityBin:
    from curation.statistics.intervals import lower_bound, upper_bound  # scipy, which few pages need

    confidence, accuracy, share = row
    rows = round(share * labelled)
    right = round(accuracy * rows)
    low, high = (lower_bound(right, rows, TAIL), float(upper_bound(right, rows, TAIL))) if rows else (None, None)
    return {"rows": rows, "confidence": confidence, "accuracy": accuracy, "low": low, "high": high}


def _supervisor(row: dict[str, Any]) -> SupervisorRow:
    return {
        "name": row["name"],
        "supervisor_kind": row["kind"],
        "accuracy": _estimate(row.get("accuracy")),
        "estimated_accuracy": row.get("estimated_accuracy"),
        "votes": row.get("votes"),
        "dependence": row.get("dependence"),
    }


def _student(row: dict[str, Any]) -> StudentGap:
    gap = row["gap"] or {}
    return {
        "student": row["name"],
        "student_kind": row["kind"],
        "seeds": row["seeds"],
        "weak": _estimate(gap.get("weak")),
        "accuracy": _estimate(gap.get("student") or row.get("accuracy")),
        "ceiling": _estimate(gap.get("ceiling")),
        "recovered": _estimate(gap.get("recovered")),
        "identifiable": bool(gap.get("identifiable")),
        "because": row.get("no_gap_because") or gap.get("reason"),
    }


def _estimate(interval: dict[str, Any] | None) -> Estimate | None:
    if interval is None:
        return None
    return {"value": interval.get("value"), "low": interval.get("low"), "high": interval.get("high")}
