"""What a gate is made of, what it says about documents, and why one cannot be used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from schemas.errors import CurationError, Finding

PASSED = -1
"""In `Verdicts.failed`: every conjunct is true."""
UNKNOWN = -2
"""In `Verdicts.failed`: no conjunct is false, and at least one is NULL. The document is dropped."""
ERRORED = -3
"""In `Verdicts.failed`: the gate could not be computed for this document."""

Span = tuple[int, int]
"""Start and end, in characters of the gate's text."""


class GateError(CurationError):
    """A gate that cannot be used. `spans[i]` says where in its text `findings[i]` is, where that is known."""

    def __init__(self, findings: Sequence[Finding], spans: Sequence[Span | None]) -> None:
        super().__init__(*findings)
        self.spans = tuple(spans)

    def __reduce__(self) -> tuple[Any, ...]:
        return (type(self), (self.findings, self.spans))


@dataclass(frozen=True)
class Conjunct:
    """One of the conditions that a gate joins with AND."""

    sql: str
    """As the user wrote it."""
    expression: str
    """As DuckDB writes it."""
    columns: tuple[str, ...]
    """`stage.column` names that it reads, in order of appearance."""
    column: str | None = None
    """Of a comparison of one column with one constant: the column."""
    op: str | None = None
    """The comparison, as if the column stood on the left."""
    constant: float | str | bool | None = None
    """What the column is compared with."""
    upper: float | None = None
    """Of a column between two constants, the greater; `constant` is the lesser, and `op` is `between`."""
    bare: bool = False
    """True when the whole condition is one column: `gopher.pass`."""

    def is_verdict_of(self, stage: str) -> bool:
        """Whether the whole condition is that stage's own verdict: `gopher.pass`."""
        return self.bare and self.columns[0].casefold() == f"{stage}.pass".casefold()

    @property
    def threshold(self) -> float | None:
        """The constant, when it is a number, also one in quotes."""
        try:
            return None if self.constant is None or isinstance(self.constant, bool) else float(self.constant)
        except ValueError:
            return None


@dataclass(frozen=True)
class Verdicts:
    """What a gate says about n documents."""

    passed: np.ndarray
    """bool[n]"""
    failed: np.ndarray
    """int16[n]: index of the first conjunct that is false, or PASSED, UNKNOWN, ERRORED."""
    errored: np.ndarray
    """bool[n]"""
    error: str | None
    """What kind of error it was; names the gate, never a value."""
    drops: pa.RecordBatch
    """`DROPS`, a row for each dropped document, ascending by `row`."""


DROPS = pa.schema(
    [
        pa.field("row", pa.int64(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("details", pa.string()),
    ]
)
"""`row`: position in the batch. `score` and `threshold`: of a numeric column compared with a number, else null.
`details`: JSON of the columns that the failing conjunct reads (all that the gate reads, for `unknown`)."""
