"""Several input columns as one text."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from schemas.documents import TEXT


def joined(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.Array:
    """The columns of each row as one text, a line each, those that are empty left out."""
    text = batch.column(columns[0])
    for name in columns[1:]:
        more = batch.column(name)
        both = pc.binary_join_element_wise(text, more, pa.scalar("\n", TEXT))
        text = pc.if_else(pc.equal(more, ""), text, pc.if_else(pc.equal(text, ""), more, both))
    return text
