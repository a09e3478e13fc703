"""Runs of a workspace as they stand now: finished, failed, stopped, or going on in some process on some machine."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from datetime import datetime
from typing import Any

import pyarrow as pa

from curation.manifest.parts import Manifest
from curation.manifest.runs import choose_run, labelled_runs
from pipelines.running.attempts import alive, heartbeat, is_recent
from pipelines.running.join import STALE_SECONDS
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding, command

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,199}")
"""Of runs, labels and datasets. Records are files, so that nothing else may come near their names."""
KINDS = ("runs", "attempts", "ends", "asked", "datasets", "decisions")
"""Of parts that say how runs stand."""


class Heartbeats:
    """What attempts say of themselves; one that stands still for `STALE_SECONDS` is nobody's any more."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Any, float]] = {}

    def of(self, manifest: Manifest, attempt: dict[str, Any]) -> dict[str, Any] | None:
        """What an attempt without an end last said, {} where that is nothing; None where it is not at work."""
        lives = alive(attempt)
        if lives is False:
            return None
        facts = heartbeat(manifest.store, attempt["attempt"])
        if lives:
            return facts or {}
        if facts is None:  # as it begins, or of an earlier version
            return {} if time.time() - attempt["started_at"].timestamp() < STALE_SECONDS else None
        now = time.monotonic()
        before = self._seen.get(attempt["attempt"])
        if before is None or before[0] != facts:
            self._seen[attempt["attempt"]] = before = facts, now
        return facts if is_recent(facts) and now - before[1] < STALE_SECONDS else None


def all_runs(manifest: Manifest, heartbeats: Heartbeats) -> list[dict[str, Any]]:
    """A row a run, the one that was begun last first."""
    attempts: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in manifest.read("attempts").to_pylist():
        attempts[row["run"]].append(row)
    end_of_attempt = {row["attempt"]: row for row in manifest.read("ends").to_pylist()}
    labels: defaultdict[str, list[str]] = defaultdict(list)
    for label, run in labelled_runs(manifest).items():
        labels[run].append(label)
    datasets = {row["run"]: row for row in manifest.read("datasets").to_pylist()}
    counts = _counts(manifest)
    rows = [
        _row(
            manifest, heartbeats, record, attempts[record["run"]], end_of_attempt, datasets.get(record["run"]),
            labels[record["run"]], counts.get(record["run"]),
        )
        for record in manifest.read("runs").to_pylist()
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["started"] or "", row["run"]), reverse=True)


def weak_runs(manifest: Manifest) -> list[dict[str, Any]]:
    """Runs of `curate weak-to-strong`."""
    done = set(manifest.read("weak_results").column("run").to_pylist())
    rows = [
        {
            "run": row["run"],
            "name": row["name"],
            "state": "done" if row["run"] in done else "stopped",
            "created": iso(row["created_at"]),
            "documents": row["rows"],
        }
        for row in manifest.read("weak_runs").to_pylist()
    ]
    return sorted(rows, key=lambda row: row["created"] or "", reverse=True)


def find_run(workspace: Workspace, name: str) -> str:
    """Id of the run that is meant by an id, a label, a dataset's name, the beginning of an id, or `latest`. Raises C032
    where there is none."""
    if not _NAME.fullmatch(name):
        raise CurationError(Finding("C032", "no run has such a name", "letters, digits, dots, _ and -"))
    chosen = choose_run(workspace.manifest, name)
    if chosen is None:
        start = command("run RECIPE", workspace.store.root)
        raise CurationError(Finding("C032", "nothing was run here yet", f"start one: {start}"))
    return chosen


def one_run(workspace: Workspace, name: str, heartbeats: Heartbeats) -> dict[str, Any]:
    """A run with its stages, the columns that they give each document, and its recipe."""
    manifest = workspace.manifest
    run = find_run(workspace, name)
    row = next(row for row in all_runs(manifest, heartbeats) if row["run"] == run)
    record = manifest.where("runs", run=run).to_pylist()[0]
    steps = manifest.where("scorers", run=run).to_pylist()
    ranked = {step["step"]: step["score"] for step in steps}
    stages = [
        {
            "stage": stage["stage"],
            "kind": stage["kind"],
            "family": stage["family"],
            "gate": stage["keep"],
            "score": ranked.get(stage["stage"]),
            "fields": [
                {"field": item.name, "type": str(item.type), "numeric": _is_number(item.type)}
                for item in pa.ipc.read_schema(pa.py_buffer(stage["fields"]))
            ],
        }
        for stage in manifest.where("stages", run=run).sort_by("position").to_pylist()
    ]
    sources = manifest.where("shards", run=run).column("source").unique().to_pylist()
    audits = {row["audit"] for row in manifest.where("audits", run=run).to_pylist()}
    return {
        **row,
        "stages": stages,
        "sources": sorted(source for source in sources if source),
        "audits": sorted(audits),
        "recipe": record["recipe"],
        "recipe_path": record["recipe_path"],
        "sample": record["sample"],
    }


def state_mark(manifest: Manifest) -> tuple[Any, ...]:
    """Another one whenever something about runs is new; no file is read for it."""
    return tuple(tuple(manifest.keys(kind)) if kind != "decisions" else len(manifest.keys(kind)) for kind in KINDS)


def iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()


def _row(
    manifest: Manifest,
    heartbeats: Heartbeats,
    record: dict[str, Any],
    attempts: list[dict[str, Any]],
    end_of_attempt: dict[str, dict[str, Any]],
    dataset: dict[str, Any] | None,
    labels: list[str],
    counts: dict[str, int] | None,
) -> dict[str, Any]:
    attempts = sorted(attempts, key=lambda row: (row["number"] or 0, row["started_at"], row["attempt"]))
    ends = [end_of_attempt[row["attempt"]] for row in attempts if row["attempt"] in end_of_attempt]
    state, progress = "done" if dataset is not None else "stopped", None
    for attempt in reversed(attempts):
        if attempt["attempt"] in end_of_attempt:
            continue
        facts = heartbeats.of(manifest, attempt)
        if facts is not None:
            state, progress = "running", _progress(facts, attempt)
            break
    if state == "stopped" and ends and ends[-1]["outcome"] == "failed" and attempts[-1]["attempt"] in end_of_attempt:
        state = "failed"
    ended = None if state == "running" else max((row["ended_at"] for row in ends if row["ended_at"]), default=None)
    return {
        "run": record["run"],
        "label": ", ".join(labels) or None,
        "labels": labels,
        "dataset": record["name"],
        "folder": dataset["path"] if dataset else None,
        "state": state,
        "started": iso(attempts[0]["started_at"] if attempts else record["created_at"]),
        "ended": iso(ended),
        "seconds": sum(row["seconds"] or 0.0 for row in ends) if ends else None,
        "sample": record["sample"],
        "documents": record["rows"],
        "decided": (counts or {}).get("rows", 0),
        "kept": counts["kept"] if counts else None,
        "dropped": counts["dropped"] if counts else None,
        "errored": counts["errored"] if counts else None,
        "progress": progress,
    }


def _progress(facts: dict[str, Any], attempt: dict[str, Any]) -> dict[str, Any]:
    """How far an attempt says it is. What another version says in other words is left out."""
    phase, advanced = (facts.get(name) if isinstance(facts.get(name), dict) else None for name in ("phase", "advanced"))
    phase, advanced = phase or {}, advanced or {}
    of_documents = advanced.get("documents") is not None and advanced.get("to_score") is not None
    return {
        "phase": phase.get("name"),
        "stage": phase.get("stage") or None,
        "unit": "documents" if of_documents else "units",
        "done": advanced.get("documents") if of_documents else advanced.get("units", 0),
        "total": advanced.get("to_score") if of_documents else advanced.get("total", phase.get("total")),
        "exact": advanced.get("exact"),
        "rate": advanced.get("documents_per_second"),
        "tokens_rate": advanced.get("tokens_per_second"),
        "kept_share": advanced.get("kept"),
        "seconds": advanced.get("seconds"),
        "seconds_left": advanced.get("seconds_left"),
        "compiling": bool(advanced.get("compiling")),
        "loading": bool(advanced.get("loading")),
        "host": attempt["host"],
        "pid": attempt["pid"],
        "heard": facts.get("time"),
    }


def _counts(manifest: Manifest) -> dict[str, dict[str, int]]:
    decisions = manifest.read("decisions")
    names = ("rows", "kept", "dropped", "errored")
    summed = decisions.group_by("run").aggregate([(name, "sum") for name in names])
    return {row["run"]: {name: row[f"{name}_sum"] for name in names} for row in summed.to_pylist()}


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))
