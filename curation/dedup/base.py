"""What a dedup is: evidence per document, buckets of candidates, a similarity that decides, one keeper per cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
from pydantic import BaseModel

from curation.scorers.base import Context, Scorer, Settings

FIELDS = [
    pa.field("duplicate", pa.bool_()),
    pa.field("cluster_size", pa.int32()),
    pa.field("similarity", pa.float64()),
]
"""Columns of a dedup stage: false, 1 and null for a document that nothing resembles."""


class DedupSettings(Settings):
    survivor: Literal["longest", "first"] = "longest"
    """Which member of a cluster stays: the one with most bytes (ties: the first), or the first in input order."""


class Dedup(ABC):
    """Finds duplicates among all documents that reach the stage; drops all of a cluster but its keeper."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    Settings: ClassVar[type[BaseModel]] = DedupSettings
    reason: ClassVar[str]
    columns: tuple[str, ...] = ()
    members: ClassVar[int]
    """Each document of a bucket is compared with this many of those before it: all pairs would be quadratic."""

    def __init__(self, settings: BaseModel, context: Context) -> None:
        self.settings: Any = settings
        self.context = context

    @property
    def fields(self) -> list[pa.Field]:
        return FIELDS

    @abstractmethod
    def requires(self) -> dict[str, Scorer]:
        """`sketch`: a scorer with the columns `evidence` (binary of one fixed width) and `bytes` (int64)."""

    @property
    @abstractmethod
    def threshold(self) -> float:
        """Similarity from which two documents count as duplicates."""

    @property
    @abstractmethod
    def buckets_each(self) -> int:
        """Bucket keys of one document, k below."""

    @abstractmethod
    def buckets(self, evidence: np.ndarray) -> np.ndarray:
        """Evidence uint8 [n, width] to bucket keys uint64 [n, k]; documents that share one are compared."""

    @abstractmethod
    def similarity(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Similarity in [0, 1], float64 [n], of evidence uint8 [n, width] row by row."""
