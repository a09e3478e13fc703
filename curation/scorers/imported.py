"""A score that the data already has, as a stage's column."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa

from curation.scorers import base
from schemas.documents import EMPTY, NONFINITE, OK


class ImportedSettings(base.Settings):
    """Which column, and which way it points."""

    column: str
    """Mapped name of an input column of numbers or booleans: `input.columns: {rating: gpt4_rating}`, `column: rating`.
    """
    orientation: Literal["higher", "lower"] = "higher"
    """Which values are the better ones; an ensemble turns a score of which the lower ones are."""
    scale: base.Scale = "ordinal"
    """What the values are counted in."""


class Imported(base.Scorer):
    """A numeric column of the input, unchanged. Field: `score` float64.

    Integers beyond 2^53 are rounded to the nearest float64; true is 1. Documents whose value is null or NaN, which is
    how many writers spell null, are `empty`, those whose value is infinite `nonfinite`.
    """

    kind = "imported"
    Settings = ImportedSettings

    def __init__(self, settings: ImportedSettings, context: base.Context) -> None:
        super().__init__(settings, context)
        if settings.column in ("text", "id"):
            raise ValueError(f"column is '{settings.column}', and a score is neither a document's text nor its id")
        self.reads = self.numbers = (settings.column,)

    @property
    def contract(self) -> base.Contract:
        return base.Contract("score", 1 if self.settings.orientation == "higher" else -1, self.settings.scale)

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("score", pa.float64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        values = batch.column(self.settings.column).to_numpy(zero_copy_only=False)  # null becomes NaN
        finite = np.isfinite(values)
        columns = {"score": pa.array(values, mask=~finite)}
        if not finite.all():
            infinite = np.isinf(values)
            status = np.where(infinite, NONFINITE, np.where(finite, OK, EMPTY))
            columns["status"] = pa.array(status.tolist(), pa.string())
        return pa.record_batch(columns)
