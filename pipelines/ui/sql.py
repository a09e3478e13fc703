"""The SQL box: the locked one of `curate sql`, with a bounded answer."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation.manifest.sql import stream_select
from curation.manifest.views import connect
from pipelines.ui.runs import find_run
from pipelines.ui.work import limits
from pipelines.workspace import Workspace
from schemas.errors import CurationError, Finding

MOST_ROWS = 10_000
MOST_BYTES = 4 * 2**20
"""Of a result as Arrow has it, cut between batches of rows."""
BATCH = 256
MOST_CHARACTERS = 20_000
"""Of one text."""


def query(workspace: Workspace, asked: dict[str, Any]) -> dict[str, Any]:
    """{query, run?, limit?} → {columns, rows, truncated, seconds}. Raises C033, C034, C057 as `curate sql` does."""
    text, run, limit = asked.get("query"), asked.get("run"), asked.get("limit", 1000)
    if not isinstance(text, str) or not isinstance(limit, int) or isinstance(limit, bool) or limit < 1:
        raise CurationError(Finding("C004", "expected query, a text, and limit, a whole number > 0"))
    limit = min(limit, MOST_ROWS)
    begun = time.monotonic()
    chosen = find_run(workspace, run) if isinstance(run, str) and run else None
    batches: list[pa.RecordBatch] = []
    rows = size = 0
    with connect(workspace.manifest, chosen, limits(), text) as connection:
        reader = stream_select(connection, text, BATCH, limits())
        for batch in reader:
            batches.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows > limit or size > MOST_BYTES:
                break
        schema = reader.schema
        reader.close()
    table = pa.Table.from_batches(batches, schema)
    columns = [{"name": item.name, "type": str(item.type)} for item in schema]
    shown = table.slice(0, limit)
    values = [[_cut(value) for value in _values(column)] for column in shown.columns]
    return {
        "columns": columns,
        "rows": [list(row) for row in zip(*values, strict=True)],
        "truncated": rows > limit or size > MOST_BYTES,
        "seconds": time.monotonic() - begun,
    }


def _values(column: pa.ChunkedArray) -> list[Any]:
    try:
        return column.to_pylist()  # type: ignore[no-any-return]
    except (OverflowError, ValueError):  # times that Python has no words for, infinity among them
        return pc.cast(column, pa.string()).to_pylist()  # type: ignore[no-any-return]


def _cut(value: Any) -> Any:
    return f"{value[:MOST_CHARACTERS]}…" if isinstance(value, str) and len(value) > MOST_CHARACTERS else value
