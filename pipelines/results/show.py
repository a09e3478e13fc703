"""Documents with their text: read from the source again, by file and row, never stored a second time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from schemas.errors import CurationError, Finding

if TYPE_CHECKING:
    from curation.flow.units import ShardWork
    from curation.manifest.parts import Manifest

SHOWN = pa.schema(
    [
        pa.field("doc_id", pa.int64()),
        pa.field("id", pa.string()),
        pa.field("path", pa.string()),
        pa.field("row", pa.int64()),
        pa.field("outcome", pa.string()),
        pa.field("dropped_by", pa.string()),
        pa.field("reason", pa.string()),
        pa.field("score", pa.float64()),
        pa.field("threshold", pa.float64()),
        pa.field("text", pa.string()),
        pa.field("edited", pa.string()),
    ]
)
"""What `show` yields of each document."""


def show(
    manifest: Manifest, *, dropped_by: str | None, kept: bool | None, count: int, run: str | None
) -> Iterator[dict[str, Any]]:
    """`count` documents spread over the run by hash, in input order: the same ones each time.

    Each has doc_id, id, path, row, outcome, dropped_by, reason, score, threshold, text (as in the source) and
    `edited` (as later stages and the output have it; None where nothing was edited).
    """
    from curation.manifest.runs import choose_run
    from curation.manifest.views import connect

    chosen = choose_run(manifest, run)
    conditions, values = ["true"], {}
    if kept is not None:
        conditions.append("kept" if kept else "NOT kept")
    with connect(manifest, chosen, query="documents") as connection:
        if dropped_by is not None:
            stages = [
                row[0]
                for row in connection.execute("SELECT stage FROM stages WHERE run = $run", {"run": chosen}).fetchall()
            ]
            if dropped_by not in stages:
                raise CurationError(
                    Finding("C032", f"run {chosen} has no stage '{dropped_by}'", f"stages: {', '.join(stages)}")
                )
            conditions.append("dropped_by = $stage")
            values["stage"] = dropped_by
        selected = connection.execute(
            f"""SELECT * FROM (SELECT doc_id, id, path, row, outcome, dropped_by, reason, score, threshold
                FROM documents WHERE {" AND ".join(conditions)} ORDER BY hash(path, row), doc_id LIMIT {int(count)})
                ORDER BY path, row""",
            values,
        )
        names = [column[0] for column in selected.description]
        rows = [dict(zip(names, row, strict=True)) for row in selected.fetchall()]
    found_texts = texts(manifest, str(chosen), rows)
    for row in rows:
        text, edited = found_texts[(row["path"], row["row"])]
        yield {**row, "text": text, "edited": edited}


def texts(
    manifest: Manifest, run: str, rows: list[dict[str, Any]]
) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    """Text and edited text by (path, row)."""
    from curation.flow.score_index import Shards
    from pipelines.planning.resolve import resolve_recorded

    if not rows:
        return {}
    plan = resolve_recorded(manifest, run)
    wanted: defaultdict[int, list[int]] = defaultdict(list)
    there = {shard.path for shard in plan.shards}
    for row in rows:
        if row["path"] not in there:
            raise CurationError(
                Finding(
                    "R002", f"{row['path']} is gone since run {run}", "its text can no longer be shown", row["path"]
                )
            )
        for shard in plan.shards:
            if shard.path == row["path"] and shard.row_start <= row["row"] < shard.row_end:
                wanted[shard.index].append(row["row"])
    texts_by_row: dict[tuple[str, int], tuple[str | None, str | None]] = {}
    shards = Shards.recorded(manifest, plan).of(plan.shards[number] for number in wanted)
    for shard_work in shards:
        texts_by_row.update(_shard_texts(shard_work, np.array(wanted[shard_work.shard.index])))
    return texts_by_row


def _shard_texts(shard_work: ShardWork, places: np.ndarray) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    from curation.flow.documents import rows_at, wanted_columns

    work, shard = shard_work.work, shard_work.shard
    rows = np.unique(places - shard.row_start)
    texts_by_row: dict[tuple[str, int], tuple[str | None, str | None]] = {}
    for documents in rows_at(shard_work, rows, len(work.stages), wanted_columns(work, ["text"])):
        edited = pa.nulls(len(documents.rows), pa.large_string())
        if documents.edits is not None:
            changed = pc.fill_null(pc.greater(pc.list_value_length(documents.edits), 0), False)
            edited = pc.if_else(changed, documents.text, edited)
        keys = [(shard.path, int(row) + shard.row_start) for row in documents.rows]
        texts_by_row.update(zip(keys, zip(documents.source.to_pylist(), edited.to_pylist(), strict=True), strict=True))
    return texts_by_row
