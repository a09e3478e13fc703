"""What a weak-to-strong run came to, and the report of one that is finished."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curation.flow import Failure
from curation.manifest.parts import Manifest
from curation.manifest.runs import LATEST, labelled_runs
from curation.store import Store
from schemas.errors import CurationError, Finding, command

REPORT = "report.json"


@dataclass
class Result:
    """What an invocation came to."""

    run: str
    name: str
    outcome: str = "failed"
    """done, nothing-to-do, failed or interrupted."""
    failures: list[tuple[str, Failure]] = field(default_factory=list)
    """Of supervisors and students that were left out, by name, and of what stopped the run."""
    folder: Path | str | None = None
    """Labels, students and report: a path, or on an object store a URL."""
    report: dict[str, Any] | None = None
    seconds: float = 0.0

    @property
    def failed(self) -> bool:
        """Whether something was left out, or all of it."""
        return self.outcome == "failed" or bool(self.failures)


def finished(run: str, manifest: Manifest) -> Result | None:
    """The result of a run whose dataset is there, or None."""
    record = manifest.get("weak_results", run)
    if record is None:
        return None
    row = record.to_pylist()[0]
    folder = manifest.store.location(row["path"])
    report = _read_report(manifest.store, row["path"])
    if report is None:
        raise CurationError(Finding("C032", f"run {run} is recorded as done, but {folder} is gone"))
    failures = [(member["name"], Failure("R003", member["message"])) for member in report["left_out"]]
    return Result(run, row["name"], "nothing-to-do", failures, folder, report)


def find_report(manifest: Manifest, run: str | None) -> dict[str, Any]:
    """The report of a finished run: the latest, or one by id, label, name, prefix. Raises C032 for none, or several."""
    rows = manifest.read("weak_results").sort_by("created_at").to_pylist()
    labelled = labelled_runs(manifest).get(str(run))
    chosen = [row for row in rows if labelled is not None and row["run"] == labelled][-1:]
    chosen = chosen or [row for row in rows if run in (None, LATEST) or row["name"] == run][-1:]
    chosen = chosen or [row for row in rows if row["run"].startswith(str(run))]
    if len({row["run"] for row in chosen}) != 1:
        what = "no finished weak-to-strong run" if not chosen else f"several runs that begin with '{run}'"
        listed = command('sql "SELECT run, name FROM weak_to_strong"', manifest.store.root)
        raise CurationError(Finding("C032", what, f"list them: {listed}"))
    report = _read_report(manifest.store, chosen[0]["path"])
    if report is None:
        path = manifest.store.uri(f"{chosen[0]['path']}/{REPORT}")
        raise CurationError(Finding("C032", f"{path} is gone", "run the specification again in a new workspace"))
    return report


def _read_report(store: Store, folder: str) -> dict[str, Any] | None:
    """None where it is gone. Raises C049 where it is damaged."""
    name = f"{folder}/{REPORT}"
    try:
        return dict(json.loads(store.read(name).decode()))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except ValueError as failure:
        hint = "remove its folder, and run the specification again in a new workspace"
        raise CurationError(Finding("C049", f"{store.uri(name)} is damaged: {failure}", hint)) from None
