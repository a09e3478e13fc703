"""`dedup: exact`: documents whose normalised text is the same, by a 128-bit digest."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from curation.dedup.base import Dedup, DedupSettings, Sketch
from curation.dedup.survivor import Survivor
from curation.scorers.base import Scorer, Settings


class ExactSettings(DedupSettings):
    survivor: Survivor = "first"


class Exact(Dedup):
    """Same text after lower-casing and with every run of white space as one space (`curation.text.normalize`); with
    several `columns`, the same in each."""

    kind = "exact"
    Settings = ExactSettings
    reason = "exact_duplicate"
    members = 1
    threshold = 1.0
    buckets_each = 1
    equal = True

    def requires(self) -> dict[str, Scorer]:
        return {"sketch": Digest(Settings(), self.context, self.settings.columns)}

    def buckets(self, evidence: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(evidence[:, :8]).view(np.uint64)

    def similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return (first == second).all(axis=1).astype(np.float64)  # type: ignore[no-any-return]


class Digest(Sketch):
    """128-bit digest of the normalised text; of several texts, of their digests, so that none runs into the next."""

    kind = "digest"

    @property
    def fields(self) -> list[pa.Field]:
        return [pa.field("evidence", pa.binary(16)), pa.field("bytes", pa.int64())]

    def evidence(self, columns: list[pa.Array]) -> dict[str, pa.Array]:
        from curation.text.normalize import joint_digest

        return {"evidence": joint_digest(columns)}
