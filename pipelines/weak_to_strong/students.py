"""Students fitted on weak labels, and beside each its ceiling, fitted on gold: a unit for each seed and target."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curation.plan import fingerprint
from curation.weak_to_strong.label_model import ABSTAIN, likeliest
from curation.weak_to_strong.students.base import Student, TrainingSet
from pipelines.weak_to_strong.features import Features, inputs_of
from pipelines.weak_to_strong.labels import StoredLabels
from pipelines.weak_to_strong.phases import Run
from pipelines.weak_to_strong.plan import VERSION
from pipelines.weak_to_strong.splits import VALIDATION, Splits
from pipelines.weak_to_strong.units import Record, Unit, UnitOutput, UnitStore, member_identity, scratch

TARGETS = ("weak", "ceiling")
Key = tuple[str, int, str]
"""A student's name, a seed, a target."""


@dataclass(frozen=True)
class FittedStudents:
    """Students of all seeds and targets, as they are committed."""

    units: UnitStore
    records: Mapping[Key, Record]

    def __contains__(self, key: Key) -> bool:
        return key in self.records

    def facts(self, key: Key) -> dict[str, Any]:
        return dict(json.loads(self.records[key]["facts"]))

    def files(self, key: Key) -> list[str]:
        """Names in the store of what a scorer needs to run it."""
        return list(self.records[key]["files"])

    def answers(self, key: Key) -> NDArray[np.int8]:
        """Its class of each evaluation row; ABSTAIN where it cannot decide."""
        return likeliest(self.units.tensors(self.records[key])["p"])


def fit_students(run: Run, splits: Splits, labels: StoredLabels, features: Features) -> FittedStudents:
    """All students that do not fail."""
    wanted = [
        (student, seed, target)
        for student in run.loaded.students
        if run.phases.takes(student)
        for seed in seeds_of(run, student)
        for target in TARGETS
        if target == "weak" or splits.with_gold("transfer", seed).any()
    ]
    records = run.phases.perform("students", [_unit(run, splits, labels, features, *one) for one in wanted])
    return FittedStudents(
        run.units,
        {
            (student.name, seed, target): record
            for (student, seed, target), record in zip(wanted, records, strict=True)
            if record is not None and run.phases.takes(student)
        },
    )


def seeds_of(run: Run, student: Student) -> range:
    """The first of the run's seeds, as many as the student wants."""
    return run.seeds[: student.settings.seeds]


def _unit(
    run: Run, splits: Splits, labels: StoredLabels, features: Features, student: Student, seed: int, target: str
) -> Unit:
    who = [*member_identity(student), run.classes, run.data.identity]
    given = [labels.records[seed]["content"], splits.identity(seed), seed, target]
    key = fingerprint(["student", VERSION, *who, *given])

    def make() -> UnitOutput:
        training = _training_set(run, splits, labels, features, student, seed, target)
        with scratch() as folder:
            fitted = student.fit(training, folder / "model")
            if not np.isfinite(fitted.p).all():
                raise ValueError("it answered NaN or infinity")
            files = _stored(run.units, folder / "model") if seed == 0 and target == "weak" else ()
        rows = {"learned_from": len(training.inputs), "validation_rows": len(training.validation)}
        return UnitOutput(run.units.put_tensors({"p": fitted.p.astype(np.float32)}), {**fitted.facts, **rows}, files)

    return Unit(
        "student",
        student.name,
        key,
        make,
        run.units,
        seed=seed,
        part=target,
        members=(student.title,),
        heavy=student.heavy,
    )


def _stored(units: UnitStore, folder: Path) -> tuple[str, ...]:
    """Names of the published student's files in the store."""
    return tuple(
        units.put("models", f"-{path.name}", partial(shutil.copyfile, path)).name for path in sorted(folder.iterdir())
    )


def _training_set(
    run: Run, splits: Splits, labels: StoredLabels, features: Features, student: Student, seed: int, target: str
) -> TrainingSet:
    data = run.data
    soft, hard = labels.soft_and_hard(seed)
    labelled = hard != ABSTAIN
    if target == "ceiling":
        labelled = data.gold != ABSTAIN
        soft = np.eye(len(run.classes), dtype=np.float32)[np.maximum(data.gold, 0)]
    transfer, held_out = splits.rows("transfer", seed) & labelled, splits.validation(seed)
    most = student.settings.rows
    train = splits.sample(transfer & ~held_out, seed, most)
    fewer = None if most is None else max(1, most // (VALIDATION - 1))
    validation = splits.sample(transfer & held_out, seed, fewer)
    if not len(train):
        raise ValueError("no row of the transfer split has a label")
    return TrainingSet(
        inputs_of(student, train, data, features),
        soft[train],
        inputs_of(student, validation, data, features),
        soft[validation],
        inputs_of(student, splits.evaluation(seed), data, features),
        data.keys[train],
        seed,
    )
