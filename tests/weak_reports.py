"""Reports of weak-to-strong runs, as their files hold them."""

from __future__ import annotations

from typing import Any

INTERVAL = {"value": 0.8, "low": 0.75, "high": 0.85}
GAP: dict[str, Any] = {
    "weak": {"value": 0.6, "low": 0.5, "high": 0.7},
    "student": {"value": 0.7, "low": 0.65, "high": 0.75},
    "ceiling": INTERVAL,
    "recovered": {"value": 0.5, "low": 0.2, "high": 0.9},
    "identifiable": True,
    "reason": None,
}


def student(**changes: Any) -> dict[str, Any]:
    return {
        "name": "head",
        "seeds": 3,
        "gap": GAP,
        "no_gap_because": None,
        "errors": {},
        "accuracy": INTERVAL,
        **changes,
    }


def report(**changes: Any) -> dict[str, Any]:
    labels = {
        "by": "em",
        "labelled": 9,
        "of": 10,
        "automatic": 0,
        "temperature": [None],
        "conformal": None,
        "risk_control": None,
    }
    split = {"rows": {"weak": 1}, "gold": {"weak": 0}, "quarantined": 0, "blank": 2, "clusters_in_two_splits": 0}
    one = {"name": "<b>", "kind": "functions", "estimated_accuracy": 0.7, "estimated_error": 0.01}
    return {
        "name": "a & b",
        "run": "0123",
        "rows": 10,
        "gold": 0,
        "seeds": 1,
        "classes": ["no", "yes"],
        "left_out": [{"name": "supervisor 'x'", "message": "x: ValueError: <i>"}],
        "supervisors": [{**one, "dependence": 0.3, "most_dependent_on": "c"}],
        "agreement": {"supervisors": ["<b>"], "agreement": [[1]], "dependence": [[1]], "dependence_given_gold": False},
        "labels": labels,
        "splits": [split],
        "students": [],
        **changes,
    }
