"""What a dedup is: evidence per document, buckets of candidates, a similarity that decides, one keeper per cluster."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, Field, field_validator

from curation.dedup.survivor import BySource, Survivor, columns_of, rules
from curation.scorers.base import Context, Scorer, Settings

FIELDS = [
    pa.field("duplicate", pa.bool_()),
    pa.field("cluster_size", pa.int32()),
    pa.field("similarity", pa.float64()),
    pa.field("containment", pa.float64()),
    pa.field("loss", pa.float64()),
]
"""Columns of a dedup stage: false, 1 and null for a document that nothing resembles. `containment` and `loss` are of
documents that are duplicates: the share of their word 3-grams that stand in the twin, and the share that stand in no
document of the cluster that stays."""
Connect = Literal["keeper", "components"]
KEEPER: Connect = "keeper"
TEXT_ALONE = ["text"]
_SOMETHING = r"[^\s\p{Z}\x{85}]"
"""In a text that is not blank: found at its first letter, where it would take a copy of the text to trim it."""


class DedupSettings(Settings):
    columns: list[str] = Field(default=TEXT_ALONE, min_length=1, exclude_if=lambda given: given == TEXT_ALONE)
    """Input columns that make the document here: [instruction], or the pair [instruction, output]. Rows in which all of
    them are blank are nobody's duplicates."""
    survivor: Survivor = "longest"
    """Which member of a cluster is the best: `longest`, the one with most bytes; `first`, the first in input order;
    `{by: stage.column}`, the one with the best score; `{source: [a, b]}`, the one from the source named first. Of a
    list of these each breaks the ties of the one before it, and input order those of the last."""
    connect: Connect = Field(default=KEEPER, exclude_if=lambda given: given == KEEPER)
    """`keeper`: a document is dropped only where it is itself near to one that stays. `components`: all of a cluster
    but the best, also where only a chain of others leads to it."""

    @field_validator("columns")
    @classmethod
    def _distinct(cls, columns: list[str]) -> list[str]:
        if len(set(columns)) < len(columns):
            raise ValueError("a column is named twice")
        return columns


class Dedup(ABC):
    """Finds duplicates among all documents that reach the stage; drops those that are near to one that stays."""

    kind: ClassVar[str]
    version: ClassVar[int] = 2
    Settings: ClassVar[type[BaseModel]] = DedupSettings
    reason: ClassVar[str]
    members: ClassVar[int]
    """Each document of a bucket is compared with this many of those before it: all pairs would be quadratic."""

    def __init__(self, settings: BaseModel, context: Context) -> None:
        self.settings: Any = settings
        self.context = context

    @property
    def fields(self) -> list[pa.Field]:
        return FIELDS

    @property
    def columns(self) -> tuple[str, ...]:
        """Dotted columns of earlier stages by which survivors are chosen, numbers all."""
        return columns_of(self.settings.survivor)

    @property
    def by_source(self) -> bool:
        """Whether documents' sources decide which survive."""
        return any(isinstance(rule, BySource) for rule in rules(self.settings.survivor))

    @property
    def contains(self) -> float:
        """The share of a document's word 3-grams that its twin must hold for it to be dropped; 0 for any."""
        return 0.0

    @property
    def ngram(self) -> int:
        """Words of the n-grams that are compared."""
        return 1

    @property
    def truly(self) -> bool:
        """Whether similarity is that of the texts' n-grams themselves rather than of the evidence."""
        return False

    @property
    def margin(self) -> float:
        """How far a true similarity of `threshold` may be estimated too low."""
        return 0.0

    @property
    def equal(self) -> bool:
        """Whether documents are near only where all that is compared of them is the same: it needs no second look."""
        return False

    @abstractmethod
    def requires(self) -> dict[str, Scorer]:
        """`sketch`: a scorer with the columns `evidence` (binary of one fixed width; null for what resembles nothing)
        and `bytes` (int64)."""

    def identity(self) -> dict[str, Any]:
        """Whatever beside settings and documents decides what is dropped, such as a file's hash."""
        return {}

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
        self.reads = tuple(columns)

    @abstractmethod
    def evidence(self, columns: list[pa.Array]) -> dict[str, pa.Array]:
        """The fields but `bytes`, from the columns in `reads`."""

    def score(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        columns = [batch.column(name) for name in self.reads]
        outputs = self.evidence(columns)
        has_text = pa.repeat(False, batch.num_rows)
        size = pa.repeat(pa.scalar(0, pa.int64()), batch.num_rows)
        for column in columns:
            has_text = pc.or_(has_text, pc.match_substring_regex(column, _SOMETHING))
            size = pc.add(size, pc.binary_length(column))
        if not pc.all(has_text).as_py():
            outputs["evidence"] = pc.if_else(has_text, outputs["evidence"], None)
        return pa.RecordBatch.from_pydict({**outputs, "bytes": size}, schema=pa.schema(self.fields))
