"""What a dedup is: evidence per document, buckets of candidates, a similarity that decides, one keeper per cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, field_validator

from curation.scorers.base import Context, Scorer, Settings

FIELDS = [
    pa.field("duplicate", pa.bool_()),
    pa.field("cluster_size", pa.int32()),
    pa.field("similarity", pa.float64()),
]
"""Columns of a dedup stage: false, 1 and null for a document that nothing resembles."""
TEXT_ALONE = ["text"]
_SOMETHING = r"[^\s\p{Z}\x{85}]"
"""In a text that is not blank: found at its first letter, where it would take a copy of the text to trim it."""


class DedupSettings(Settings):
    columns: list[str] = Field(default=TEXT_ALONE, min_length=1, exclude_if=lambda given: given == TEXT_ALONE)
    """Input columns that make the document here: [instruction], or the pair [instruction, output]. Rows in which all of
    them are blank are nobody's duplicates."""
    survivor: Literal["longest", "first"] = "longest"
    """Which member of a cluster stays: the one with most bytes (ties: the first), or the first in input order."""

    @field_validator("columns")
    @classmethod
    def _distinct(cls, columns: list[str]) -> list[str]:
        if len(set(columns)) < len(columns):
            raise ValueError("a column is named twice")
        return columns


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
        """`sketch`: a scorer with the columns `evidence` (binary of one fixed width; null for what resembles nothing)
        and `bytes` (int64)."""

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


class Sketch(Scorer):
    """What a dedup compares of each document: evidence made of some input columns."""

    def __init__(self, settings: BaseModel, context: Context, columns: list[str]) -> None:
        super().__init__(settings, context)
        self.reads = tuple(columns)  # type: ignore[misc]

    @abstractmethod
    def evidence(self, columns: list[pa.Array]) -> dict[str, pa.Array]:
        """The fields but `bytes`, from the columns in `reads`."""

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch.column(name) for name in self.reads]
        made = self.evidence(columns)
        some = pa.repeat(False, batch.num_rows)
        size = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
        for column in columns:
            some = pc.or_(some, pc.match_substring_regex(column, _SOMETHING))
            size = pc.add(size, pc.binary_length(column))
        if not pc.all(some).as_py():
            made["evidence"] = pc.if_else(some, made["evidence"], None)
        return pa.RecordBatch.from_pydict({**made, "bytes": size}, schema=pa.schema(self.fields))
