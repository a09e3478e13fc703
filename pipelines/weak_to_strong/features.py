"""Embeddings of all rows, of each encoder that a supervisor or student stands on: a unit for a portion of the rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curation.plan import fingerprint
from curation.weak_to_strong.features import View
from curation.weak_to_strong.students.base import Student
from curation.weak_to_strong.supervisors.base import Inputs, Supervisor
from pipelines.weak_to_strong.data import Data
from pipelines.weak_to_strong.phases import Run
from pipelines.weak_to_strong.plan import PORTION, VERSION
from pipelines.weak_to_strong.units import Unit, UnitOutput, hashed

Features = Mapping[View, NDArray[np.float16]]


def embed(run: Run, members: Iterable[Supervisor | Student], features: Features) -> Features:
    """`features` with those added that the members need beside them."""
    wanted: dict[View, list[str]] = {}
    for member in members:
        if member.view is not None and member.view not in features and run.phases.takes(member):
            wanted.setdefault(member.view, []).append(member.title)
    features = dict(features)
    for view, titles in wanted.items():
        units = [_unit(run, view, tuple(titles), start) for start in range(0, len(run.data), PORTION)]
        records = run.phases.perform(f"embedding with {view.name}", units)
        stored = [record for record in records if record is not None]
        if len(stored) == len(records):
            features[view] = np.concatenate([run.units.tensors(record)["vectors"] for record in stored])
    return features


def inputs_of(member: Supervisor | Student, rows: NDArray[np.int64], data: Data, features: Features) -> Inputs:
    """Rows as a member sees them."""
    return features[member.view][rows] if member.view is not None else data.rows.text.take(pa.array(rows))


def _unit(run: Run, view: View, members: tuple[str, ...], start: int) -> Unit:
    text = run.data.rows.text.slice(start, PORTION)
    key = fingerprint(["features", VERSION, view.identity(), hashed(run.data.keys[start : start + PORTION])])

    def make() -> UnitOutput:
        return UnitOutput(run.units.put_tensors({"vectors": view.vectors(text)}))

    return Unit("features", view.name, key, make, run.units, part=str(start), members=members, heavy=True)
