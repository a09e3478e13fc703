"""What a weak-to-strong run would do: its id and its units of work. Reads no row, opens no model."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from curation.manifest.parts import Manifest
from curation.plan import fingerprint
from curation.weak_to_strong.supervisors.base import Fixed
from pipelines.weak_to_strong.data import InputFiles, find_files
from pipelines.weak_to_strong.spec import Loaded

VERSION = 2
"""Of all that happens between supervisors' answers and labels. Another one is another run."""
CHUNK = 65_536
"""Rows of one unit of a supervisor that learns nothing."""
PORTION = 8_192
"""Rows whose embeddings, or a language model's answers, are one unit."""
FULL = -1
"""In place of a fold: a supervisor that learns from all of its rows, and labels all others."""


@dataclass(frozen=True)
class Resolved:
    """A specification, its input, and the id of the run that they make."""

    loaded: Loaded
    input: InputFiles
    run: str


@dataclass(frozen=True)
class PlannedUnits:
    """Units of one kind and name."""

    kind: str
    name: str
    what: str
    units: int
    done: int


def resolve(loaded: Loaded, manifest: Manifest) -> Resolved:
    """The run that a specification and its input make. Raises CurationError about the input."""
    files = find_files(loaded, manifest)
    members = [
        [one.kind, one.name, one.version, one.settings.model_dump(mode="json"), one.identity()]
        for one in loaded.members
    ]
    spec = loaded.spec.model_dump(mode="json", exclude={"input", "workspace"})
    return Resolved(loaded, files, fingerprint([VERSION, spec, loaded.mapping, members, files.identity])[:16])


def planned_units(resolved: Resolved, manifest: Manifest) -> list[PlannedUnits]:
    """How many units there are of each supervisor and student, and how many this run has committed or found done."""
    loaded, rows = resolved.loaded, resolved.input.rows
    seeds, folds = loaded.spec.seeds, loaded.spec.combine.folds
    records = manifest.where("weak_units", run=resolved.run)
    pairs = zip(records.column("kind").to_pylist(), records.column("name").to_pylist(), strict=True)
    done = Counter(pairs)
    views = dict.fromkeys(one.view for one in loaded.members if one.view is not None)
    portions = (f"{rows:,} rows, {PORTION:,} at a time", -(-rows // PORTION))
    planned = [("features", view.name, *portions) for view in views]
    for one in loaded.supervisors:
        if isinstance(one, Fixed):
            size = PORTION if one.heavy else CHUNK
            planned.append(("supervisor", one.name, f"{rows:,} rows, {size:,} at a time", -(-rows // size)))
        else:
            planned.append(("supervisor", one.name, f"{seeds} seeds × ({folds} folds and all)", seeds * (folds + 1)))
    planned.append(("labels", "", f"{seeds} seeds", seeds))
    gold = loaded.spec.task.gold is not None
    for student in loaded.students:
        own = min(student.settings.seeds or seeds, seeds)
        what = f"{own} seeds, student and ceiling" if gold else f"{own} seeds"
        planned.append(("student", student.name, what, own * (2 if gold else 1)))
    return [PlannedUnits(kind, name, what, count, done[(kind, name)]) for kind, name, what, count in planned]
