"""What a weak-to-strong run would do: its id and its units of work. Reads no row, opens no model."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curation.manifest.parts import Manifest
from curation.plan import fingerprint
from curation.weak_to_strong.supervisors.base import Fixed
from pipelines.weak_to_strong.data import Found, find
from pipelines.weak_to_strong.spec import Loaded
from schemas.errors import CurationError, Finding, command

VERSION = 2
"""Of all that happens between supervisors' answers and labels. Another one is another run."""
CHUNK = 65_536
"""Rows of one unit of a supervisor that learns nothing."""
PORTION = 8_192
"""Rows whose embeddings, or a language model's answers, are one unit."""
REPORT = "report.json"
FULL = -1
"""In place of a fold: a supervisor that learns from all of its rows, and labels all others."""


@dataclass(frozen=True)
class Resolved:
    loaded: Loaded
    found: Found
    run: str


@dataclass(frozen=True)
class Units:
    """Units of one kind and name."""

    kind: str
    name: str
    what: str
    units: int
    done: int


def resolve(loaded: Loaded, manifest: Manifest) -> Resolved:
    """The run that a specification and its input make. Raises CurationError about the input."""
    found = find(loaded, manifest)
    members = [
        [one.kind, one.name, one.version, one.settings.model_dump(mode="json"), one.identity()]
        for one in loaded.members
    ]
    spec = loaded.spec.model_dump(mode="json", exclude={"input"})
    return Resolved(loaded, found, fingerprint([VERSION, spec, loaded.mapping, members, found.identity])[:16])


def found(manifest: Manifest, run: str | None) -> dict[str, Any]:
    """The report of a finished run: the latest, or one by id, prefix or name. Raises C032 for none, or several."""
    rows = manifest.read("weak_results").sort_by("created_at").to_pylist()
    chosen = [row for row in rows if run is None or row["name"] == run][-1:]
    chosen = chosen or [row for row in rows if row["run"].startswith(str(run))]
    if len({row["run"] for row in chosen}) != 1:
        what = "no finished weak-to-strong run" if not chosen else f"several runs that begin with '{run}'"
        listed = command('sql "SELECT run, name FROM weak_to_strong"', manifest.store.root)
        raise CurationError(Finding("C032", what, f"list them: {listed}"))
    path = manifest.store.path(chosen[0]["path"]) / REPORT
    if not path.is_file():
        raise CurationError(Finding("C032", f"{path} is gone", "run the specification again in a new workspace"))
    return read_report(path)


def read_report(path: Path) -> dict[str, Any]:
    """The report of a finished run. Raises C049 where it is damaged."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as failure:
        hint = "remove its folder, and run the specification again in a new workspace"
        raise CurationError(Finding("C049", f"{path} is damaged: {failure}", hint)) from None


def units(resolved: Resolved, manifest: Manifest) -> list[Units]:
    """How many units there are of each supervisor and student, and how many this run has committed or found done."""
    loaded, rows = resolved.loaded, resolved.found.rows
    seeds, folds = loaded.spec.seeds, loaded.spec.combine.folds
    records = manifest.where("weak_units", run=resolved.run)
    pairs = zip(records.column("kind").to_pylist(), records.column("name").to_pylist(), strict=True)
    done = Counter(pairs)
    views = dict.fromkeys(one.view for one in loaded.members if one.view is not None)
    portions = (f"{rows:,} rows, {PORTION:,} at a time", -(-rows // PORTION))
    made = [("features", view.name, *portions) for view in views]
    for one in loaded.supervisors:
        if isinstance(one, Fixed):
            size = PORTION if one.heavy else CHUNK
            made.append(("supervisor", one.name, f"{rows:,} rows, {size:,} at a time", -(-rows // size)))
        else:
            made.append(("supervisor", one.name, f"{seeds} seeds × ({folds} folds and all)", seeds * (folds + 1)))
    made.append(("labels", "", f"{seeds} seeds", seeds))
    gold = loaded.spec.task.gold is not None
    for student in loaded.students:
        own = min(student.settings.seeds or seeds, seeds)
        what = f"{own} seeds, student and ceiling" if gold else f"{own} seeds"
        made.append(("student", student.name, what, own * (2 if gold else 1)))
    return [Units(kind, name, what, count, done[(kind, name)]) for kind, name, what, count in made]
