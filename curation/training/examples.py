"""Labelled texts, and what kind of labels they have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Task = Literal["binary", "ordinal", "regression", "pairwise"]
MOST_LEVELS = 10
"""Distinct whole numbers up to which labels are grades; fastText sorts other numbers into half as many bins."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """Labelled texts. Of pairs, `target` is the probability that the first is the better one."""

    text: pa.LargeStringArray
    target: Floats
    other: pa.LargeStringArray | None = None
    annotators: Floats | None = None
    """[n, annotators]: their own labels, for the ceiling; NaN where one gave none."""

    def take(self, rows: NDArray[np.int64]) -> Examples:
        indices = pa.array(rows)
        return Examples(
            self.text.take(indices),
            self.target[rows],
            None if self.other is None else self.other.take(indices),
            None if self.annotators is None else self.annotators[rows],
        )


def task_of(target: Floats, pairs: bool = False) -> Task:
    """What kind of labels these are: pairs, two values (0 and 1), grades (a few whole numbers), or numbers."""
    values = np.unique(target)
    if pairs:
        return "pairwise"
    if set(values.tolist()) <= {0.0, 1.0}:
        return "binary"
    return "ordinal" if len(values) <= MOST_LEVELS and (values == np.round(values)).all() else "regression"
