"""Write one file of the dataset: kept documents of neighbouring shards, edited text, chosen columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation import failpoints
from curation.flow.score import last_transform
from curation.flow.work import ShardWork, Work, WriteWork
from curation.manifest.parts import now
from curation.sources import read_batches
from curation.sources.texts import valid_text
from curation.store import digest
from curation.text.edits import apply_edits
from schemas.documents import TEXT

GROUP_BYTES = 128 * 1024 * 1024
"""A row group ends at `row_group_rows` documents or this many bytes, whichever comes first."""


def write_part(task: WriteWork) -> dict[str, Any]:
    """Commit the `written` record of one output file and return it."""
    failpoints.hit("in-write")
    work = task.work
    store = work.store
    key = f"{work.run}-{task.part:05d}"
    earlier = work.earlier("written", key)
    if earlier is not None:
        return earlier
    data = f"datasets/.staging-{work.run}/part-{task.part:05d}-{work.mark()}.parquet"
    schema = output_schema(work)
    rows = 0

    def produce(path: Any) -> None:
        nonlocal rows
        with pq.ParquetWriter(path, schema, compression="zstd", compression_level=3) as writer:
            for table in _groups(_kept(task, schema), work.row_group_rows, schema):
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows

    store.write(data, produce)
    failpoints.hit("after-data")
    record = {
        "run": work.run,
        "part": task.part,
        "attempt": work.attempt,
        "data": data,
        "rows": rows,
        "bytes": store.path(data).stat().st_size,
        "content": digest(store.path(data)),
        "created_at": now(),
    }
    return work.settle("written", key, record, [data])


def output_schema(work: Work) -> pa.Schema:
    """Mapped names and source columns as they are, `stage.column` gathered into one struct for each stage."""
    fields: dict[str, pa.Field] = {}
    for name in work.output_columns:
        stage, chosen = _split(work, name)
        if stage is None:
            kind = work.writing.field(work.mapping.get(name, name)).type
            fields[name] = pa.field(name, pa.string() if kind == TEXT else kind)
        else:
            known = {item.name: item for item in stage.fields}
            parts = [known[item] for item in ([chosen] if chosen else list(known))]
            earlier = list(fields[stage.id].type) if stage.id in fields else []
            fields[stage.id] = pa.field(stage.id, pa.struct([*earlier, *parts]))
    return pa.schema(list(fields.values()))


def _split(work: Work, name: str) -> tuple[Any, str | None]:
    head, _, tail = name.partition(".")
    if name in work.mapping or name in work.writing.names:
        return None, None
    return next(stage for stage in work.stages if stage.id == head), tail or None


def _kept(task: WriteWork, schema: pa.Schema) -> Iterator[pa.Table]:
    work = task.work
    structs = [name for name in schema.names if name not in work.mapping and name not in work.writing.names]
    for at, decisions in zip(task.shards, task.decisions, strict=True):
        table = pq.read_table(
            work.store.path(decisions), columns=["row", "outcome", *structs], partitioning=None, use_threads=False
        )
        table = table.filter(pc.equal(table.column("outcome"), "kept")).combine_chunks()
        rows = table.column("row").to_numpy() - at.shard.row_start
        if len(rows):
            yield from _documents(at, schema, table, rows)


def _documents(at: ShardWork, schema: pa.Schema, decided: pa.Table, rows: np.ndarray) -> Iterator[pa.Table]:
    work = at.work
    transform = last_transform(work.stages)
    edits = None
    if transform is not None:
        edits = pc.struct_field(at.known(transform.steps[-1], ["edits"]).struct, "edits")
    keep = np.zeros(at.shard.rows, dtype=bool)
    keep[rows] = True
    source = work.mapping["text"]
    wanted = work.writing
    for batch in read_batches(at.shard, wanted, lambda start, count: bool(keep[start : start + count].any())):
        span = np.flatnonzero(keep[batch.start : batch.start + batch.columns.num_rows])
        if not len(span):
            continue
        taken = pa.array(span)
        columns: dict[str, pa.Array] = {}
        place = pa.array(np.searchsorted(rows, span + batch.start))
        for item in schema:
            origin = work.mapping.get(item.name, item.name)
            if item.name not in work.mapping and item.name not in wanted.names:
                struct = decided.column(item.name).take(place).combine_chunks()
                columns[item.name] = pa.StructArray.from_arrays(
                    [pc.struct_field(struct, child.name) for child in item.type], fields=list(item.type)
                )
            elif origin == source:
                text, _ = valid_text(batch.columns.column(origin).take(taken))
                if edits is not None:
                    text = apply_edits(text, edits.take(pa.array(span + batch.start)))
                columns[item.name] = text.cast(item.type)
            else:
                columns[item.name] = batch.columns.column(origin).take(taken).cast(item.type)
        yield pa.table([columns[item.name] for item in schema], schema=schema)


def _groups(tables: Iterator[pa.Table], limit: int, schema: pa.Schema) -> Iterator[pa.Table]:
    """Tables of exactly `limit` rows but the last, or fewer where they would pass GROUP_BYTES."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        while table.num_rows:
            per_row = max(1, table.nbytes // table.num_rows)
            room = max(1, min(limit - rows, (GROUP_BYTES - size) // per_row))
            head, table = table.slice(0, room), table.slice(room)
            waiting.append(head)
            rows += head.num_rows
            size += head.num_rows * per_row
            if rows >= limit or size + per_row > GROUP_BYTES:
                yield pa.concat_tables(waiting)
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting)
