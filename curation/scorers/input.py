"""The first step of every run: whether a row is a document, its id and its length. Nobody writes it in a recipe."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation.sources.column_types import TOO_LARGE
from curation.sources.texts import names
from schemas import documents

ID = pa.field("id", pa.string())
SHOWN = (pa.field("bytes", pa.int64()), pa.field("replaced", pa.int64()))
"""What gates and SQL see as `input`; the id is a column of its own there. `replaced`: characters of the text that are
U+FFFD because the source has half a surrogate pair in their place."""
SHOWN_OF_ANSWERS = (*SHOWN, pa.field("answer_bytes", pa.int64()))
"""The same where rows hold answers: bytes of the (last) answer."""
VERSION = 2
"""2: integers beyond 64 bits are ids of their own; NaN and the like elsewhere in a line no longer spoil it."""
NULL = "null_text"
BLANK = "empty_text"
INVALID = "invalid_utf8"
_BLANK = r"^[\s\p{Z}\x{85}]*$"


def examine(
    text: pa.Array,
    ids: pa.Array | None,
    invalid: np.ndarray,
    faults: dict[int, str],
    answers: pa.Array | None = None,
    replaced: dict[int, int] | None = None,
) -> pa.RecordBatch:
    """Columns id, bytes, replaced, with `answers` answer_bytes, then status, message for documents as they were read.

    `text` is `schemas.documents.TEXT` with null for missing or invalid values, `invalid` bool [n], `faults` by row what
    made a line or a conversation unreadable, `replaced` by row how many characters were. A row without text is `empty`,
    one that is too large to be read `too_long` (dropped both, with a reason), an unreadable one `error`.
    """
    rows = len(text)
    null = np.asarray(pc.is_null(text)).astype(bool)
    blank = np.asarray(pc.fill_null(pc.match_substring_regex(text, _BLANK), False)).astype(bool)
    bad = invalid.copy()
    bad[list(faults)] = True
    message = np.full(rows, None, dtype=object)
    message[null] = NULL
    message[blank] = BLANK
    message[invalid] = INVALID
    for row, fault in faults.items():
        message[row] = fault
    status = np.where(bad, documents.ERROR, np.where(null | blank, documents.EMPTY, documents.OK)).astype(object)
    status[message == TOO_LARGE] = documents.TOO_LONG
    counts = np.zeros(rows, dtype=np.int64)
    counts[list(replaced or {})] = list((replaced or {}).values())
    sizes = [pc.fill_null(pc.binary_length(part).cast(pa.int64()), 0) for part in (text, answers) if part is not None]
    shown = SHOWN if answers is None else SHOWN_OF_ANSWERS
    return pa.RecordBatch.from_arrays(
        [
            pa.nulls(rows, pa.string()) if ids is None else names(ids),
            sizes[0],
            pa.array(counts),
            *sizes[1:],
            pa.array(status.tolist(), type=documents.STATUS),
            pa.array(message.tolist(), type=pa.string()),
        ],
        schema=pa.schema([ID, *shown, pa.field("status", documents.STATUS), pa.field("message", pa.string())]),
    )
