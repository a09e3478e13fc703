"""`dedup: exact`: documents whose normalised text is the same, by a 128-bit digest."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.dedup.base import Dedup, DedupSettings
from curation.scorers.base import Scorer, Settings


class ExactSettings(DedupSettings):
    survivor: Literal["longest", "first"] = "first"


class Exact(Dedup):
    """Same text after lower-casing and with every run of white space as one space (`curation.text.normalize`)."""

    kind = "exact"
    Settings = ExactSettings
    reason = "exact_duplicate"
    members = 1
    threshold = 1.0
    buckets_each = 1

    def requires(self) -> dict[str, Scorer]:
        return {"sketch": Digest(Settings(), self.context)}

    def buckets(self, evidence: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(evidence[:, :8]).view(np.uint64)

    def similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first == second).all(axis=1).astype(np.float64)  # type: ignore[no-any-return]


class Digest(Scorer):
    """128-bit digest of the normalised text."""

    kind = "digest"

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("evidence", pa.binary(16)), pa.field("bytes", pa.int64())]

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        from curation.text.normalize import normalized_digest

        text = batch.column("text")
        return pa.RecordBatch.from_arrays(
            [normalized_digest(text), pc.binary_length(text).cast(pa.int64())], schema=pa.schema(self.fields)
        )
