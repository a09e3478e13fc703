"""Arrow types of what flows between stages: texts, edits, statuses, references to documents."""

from __future__ import annotations

import pyarrow as pa

TEXT = pa.large_string()
"""Every text field that a stage sees: valid UTF-8, never null."""

EDIT = pa.struct(
    [
        pa.field("field", pa.string(), nullable=False),
        pa.field("start", pa.uint32(), nullable=False),
        pa.field("end", pa.uint32(), nullable=False),
        pa.field("replacement", pa.string(), nullable=False),
    ]
)
EDITS = pa.list_(EDIT)
"""Edits of one document, ascending and disjoint: bytes [start, end) of `field` become `replacement`."""

STATUS = pa.string()
OK = "ok"
EMPTY = "empty"
"""Nothing to score: blank, or a value that the data does not have."""
TOO_LONG = "too_long"
"""More than the scorer reads, where a part of it would say nothing."""
TOO_SHORT = "too_short"
"""Less than a score can stand on."""
NO_TARGET = "no_target_tokens"
"""None of the tokens that were to be scored is left within the model's limit."""
NONFINITE = "nonfinite"
"""What came out is not a finite number."""
ERROR = "error"
STATUSES = (OK, EMPTY, TOO_LONG, TOO_SHORT, NO_TARGET, NONFINITE, ERROR)
"""What became of one document in one scorer."""
FAULTS = (NONFINITE, ERROR)
"""Those that count against the error budget; the others are facts about the document."""

INPUT = "input"
"""The pseudo-stage that drops what has no text, and counts what could not be read."""
