"""Labels or probabilities that the data has already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.weak_to_strong.supervisors.base import Fixed, TaskRows, Votes
from curation.weak_to_strong.task import codes
from schemas.weak_to_strong import Imported


class ImportedSupervisor(Fixed):
    """A column of classes, or of probabilities; null abstains, NaN is a fault.

    Probabilities of all classes are divided by their sum; of two classes one says both. Raises ValueError where a
    class has none.
    """

    kind = "imported"

    def __init__(self, name: str, settings: Imported, classes: tuple[str, ...], base: Path) -> None:
        super().__init__(name, settings, classes, base)
        given = settings.probabilities or {}
        unknown = [label for label in given if label not in classes]
        if unknown:
            raise ValueError(f"probabilities of {unknown[0]!r}, which is no class")
        if given and len(given) < len(classes) and (len(classes), len(given)) != (2, 1):
            missing = next(label for label in classes if label not in given)
            raise ValueError(f"no column has the probability of {missing!r}")
        self.reads = tuple(given.values()) if given else (str(settings.column),)

    def vote(self, rows: TaskRows) -> Votes:
        if self.settings.column is not None:
            votes = codes(rows.column(self.settings.column), self.classes)
            return Votes(votes[:, None])
        given = self.settings.probabilities
        columns = {label: rows.column(name) for label, name in given.items()}
        abstains = np.zeros(len(rows), bool)
        for column in columns.values():
            abstains |= column.is_null().to_numpy(zero_copy_only=False)
        p = np.zeros((len(rows), len(self.classes)))
        for index, label in enumerate(self.classes):
            if label in columns:
                numbers = pc.fill_null(columns[label].cast(pa.float64(), safe=False), 0.0)
                p[:, index] = numbers.to_numpy(zero_copy_only=False)
        if len(given) < len(self.classes):
            index = next(index for index, label in enumerate(self.classes) if label not in columns)
            p[:, index] = 1 - p[:, 1 - index]
        outside = ((p < 0) | (p > 1)).any(axis=1) & ~abstains
        if outside.any():
            raise ValueError(f"{int(outside.sum()):,} rows have a probability outside 0 … 1")
        total = p.sum(axis=1)
        abstains |= total == 0
        with np.errstate(invalid="ignore", divide="ignore"):
            return Votes.of(p / total[:, None], abstains)
