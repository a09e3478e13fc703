"""Write one file of the dataset: kept documents of neighbouring shards, edited text, chosen columns."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import failpoints, parquet
from curation.flow.commit import once
from curation.flow.documents import rows_at
from curation.flow.faults import fault_of, faults_of, faulty
from curation.flow.units import ShardWork, Work, WriteWork
from curation.selection.base import COPIES
from curation.sources import AnyShard, Bundle
from curation.sources.texts import binary, repaired, stringlike
from schemas.documents import TEXT
from schemas.manifest import SHARD

GROUP_BYTES = 32 * 1024 * 1024
"""A row group ends at `row_group_rows` documents or this many bytes, whichever comes first."""
CHUNK_ROWS = 1024
"""Rows that are copied together on their way to a row group; Parquet's own writer looks at page sizes as often."""


def write_part(task: WriteWork) -> dict[str, Any]:
    """Commit the `written` record of one output file and return it."""
    failpoints.hit("in-write")
    return once(task.work, "written", f"{task.work.run}-{task.part:05d}", lambda: _written(task))


def _written(task: WriteWork) -> tuple[dict[str, Any], list[str]]:
    work = task.work
    data = f"datasets/.staging-{work.run}/part-{task.part:05d}-{work.mark()}.parquet"
    schema = output_schema(work)
    rows = 0

    def produce(path: Any) -> None:
        nonlocal rows
        with parquet.writer(path, schema, compression_level=3) as writer:
            for table in _groups(_kept(task, schema), work.row_group_rows):
                writer.write_table(table, row_group_size=table.num_rows)
                rows += table.num_rows
                del table

    written = work.store.add(data, produce)
    record = {
        "run": work.run,
        "part": task.part,
        "data": written.name,
        "rows": rows,
        "bytes": written.bytes,
        "content": written.content,
    }
    return record, [written.name]


def output_schema(work: Work) -> pa.Schema:
    """Source columns in their own type, what stages measured in theirs, each under its name in the dataset."""
    stages = {stage.id: {item.name: item.type for item in (*stage.shown, *stage.bulky)} for stage in work.stages}
    fields = []
    for column in work.output_columns:
        measured = column.origin is None
        kind = stages[column.stage][column.field] if measured else work.writing.field(column.origin).type
        fields.append(pa.field(column.name, pa.string() if not measured and kind == TEXT else kind))
    return pa.schema(fields)


def _kept(task: WriteWork, schema: pa.Schema) -> Iterator[pa.Table]:
    for shard_work, decisions in zip(task.shards, task.decisions, strict=True):
        try:
            yield from _kept_of(shard_work, decisions, schema)
        except Exception as failure:
            if isinstance(shard_work.shard, Bundle) and faulty(failure) is None:
                for alone in shard_work.apart():  # raises what is at fault by itself
                    for _ in _kept_of(alone, decisions, schema):
                        pass
            raise


def _kept_of(shard_work: ShardWork, decisions: str, schema: pa.Schema) -> Iterator[pa.Table]:
    work = shard_work.work
    repeating = [stage.id for stage in work.stages if any(item.name == COPIES for item in stage.fields)]
    structs = list(dict.fromkeys([*(column.stage for column in work.output_columns if column.stage), *repeating]))
    with work.store.reading(decisions) as opened:
        several = [SHARD] if work.bundled else []
        table = parquet.read(opened, columns=["row", "outcome", *several, *structs])
    table = table.filter(pc.equal(table.column("outcome"), "kept"))
    if several:
        indices = [member.index for member in shard_work.shard.members]
        table = table.filter(pc.is_in(table.column(SHARD), pa.array(indices, pa.int32())))
    table = table.combine_chunks()
    rows = rows_in(shard_work.shard, table)
    copies = np.ones(len(rows), dtype=np.int64)
    for name in repeating:
        copies *= pc.fill_null(pc.struct_field(table.column(name), COPIES), 1).to_numpy()
    if len(rows):
        yield from _documents(shard_work, schema, table, rows, copies)


def rows_in(shard: AnyShard, decided: pa.Table) -> np.ndarray:
    """Rows of a table of decisions, counted in the shard or bundle."""
    rows: np.ndarray = decided.column("row").to_numpy()
    if isinstance(shard, Bundle):
        return shard.rows_of(decided.column(SHARD).to_numpy(), rows)
    return rows - shard.row_start


def faults_of_others(task: WriteWork, failed: int) -> list[Exception]:
    """What else would have failed a part that the input `failed` has failed, so that all are known at once."""
    schema = output_schema(task.work)
    failures: list[Exception] = []
    pairs = zip(task.shards, task.decisions, strict=True)
    for shard_work, decisions in ((one, decided) for item, decided in pairs for one in item.apart()):
        try:
            if shard_work.shard.index != failed:
                for _ in _kept_of(shard_work, decisions, schema):
                    pass
        except Exception as failure:
            if faulty(failure) is not None:
                failures.append(failure)
    return failures


def _documents(
    shard_work: ShardWork, schema: pa.Schema, decided: pa.Table, rows: np.ndarray, copies: np.ndarray
) -> Iterator[pa.Table]:
    """The rows (int64 [n], in the shard) with what was decided about each, as often as `copies` says."""
    work = shard_work.work
    measured = {(column.stage, column.field) for column in work.output_columns if column.origin is None}
    bulky = {
        (stage.id, item.name): shard_work.stored(stage.steps[-1], [item.name])
        for stage in work.stages
        for item in stage.bulky
        if (stage.id, item.name) in measured
    }
    source = work.columns.mapping.get("text")
    for documents in faults_of(shard_work.shard, rows_at(shard_work, rows, len(work.stages), work.writing)):
        in_decided = np.searchsorted(rows, documents.rows)
        times = copies[in_decided]
        repeated = None if (times == 1).all() else pa.array(np.repeat(np.arange(len(times)), times))
        in_decided = np.repeat(in_decided, times)
        structs = {name: decided.column(name).take(pa.array(in_decided)).combine_chunks() for name, _ in measured}
        columns: list[pa.Array] = []
        for chosen, kind in zip(work.output_columns, schema.types, strict=True):
            origin = chosen.origin
            if origin is None:
                stored = bulky.get((chosen.stage, chosen.field))
                struct = structs[chosen.stage] if stored is None else stored.rows(rows[in_decided])
                columns.append(pc.struct_field(struct, chosen.field))
                continue
            with fault_of(shard_work.shard):
                column = documents.text if origin == source else documents.opened.batch.column(origin)
                if origin != source and stringlike(column.type):
                    column = repaired(column)
                column = column if repeated is None else column.take(repeated)
                columns.append(column.cast(kind))
        yield pa.table(columns, schema=schema)


def _groups(tables: Iterator[pa.Table], limit: int) -> Iterator[pa.Table]:
    """Tables of exactly `limit` rows but the last, or fewer where they would pass GROUP_BYTES.

    Where a group ends, how it is chunked, and so every byte of the file, depends on the documents alone and not on how
    they were batched. Chunks are copied as they fill, so that no batch is kept alive: a group is in memory once.
    """
    chunks: list[pa.Table] = []
    pending: list[pa.Table] = []
    rows = size = held = 0
    for table in tables:
        ends = np.cumsum(_sizes(table))
        start = 0
        while start < table.num_rows:
            before = ends[start - 1] if start else 0
            fitting = int(np.searchsorted(ends, before + GROUP_BYTES - size, side="right")) - start
            if not rows:
                fitting = max(1, fitting)  # one document alone may be larger than a group
            count = min(limit - rows, fitting, table.num_rows - start, CHUNK_ROWS - held)
            if count:
                pending.append(table.slice(start, count))
                size += int(ends[start + count - 1] - before)
                rows, held, start = rows + count, held + count, start + count
            full = rows >= limit or count == 0
            if held and (full or held == CHUNK_ROWS):
                chunks.append(pa.concat_tables(pending).combine_chunks())
                pending, held = [], 0
            if full:
                yield pa.concat_tables(chunks)
                chunks, rows, size = [], 0, 0
    if pending:
        chunks.append(pa.concat_tables(pending).combine_chunks())
    if chunks:
        yield pa.concat_tables(chunks)


def _sizes(table: pa.Table) -> np.ndarray:
    """Bytes of each row (int64 [n]): strings and binaries as long as they are, any other value as 8."""
    sizes = np.full(table.num_rows, 8, dtype=np.int64)
    for column in table.columns:
        if stringlike(column.type) or binary(column.type):
            sizes += pc.fill_null(pc.binary_length(column), 0).to_numpy().astype(np.int64)
        else:
            sizes += 8
    return sizes
