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
TOO_LONG = "too_long"
TOO_SHORT = "too_short"
ERROR = "error"
STATUSES = (OK, EMPTY, TOO_LONG, TOO_SHORT, ERROR)
"""What became of one document in one scorer. `error` counts against the error budget; the others are facts about it."""

INPUT = "input"
"""The pseudo-stage that drops what has no text, and counts what could not be read."""
