"""What the score store already holds for one shard."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.plan import Step


@dataclass
class Known:
    """A step's stored columns, aligned to `rows` rows: `have` says where there is one."""

    have: np.ndarray
    struct: pa.StructArray


def load_known(
    root: Path, files: list[str], step: Step, row_start: int, rows: int, columns: list[str] | None = None
) -> Known:
    """Read the parts of one step for rows [row_start, row_start + rows) of a file; of a row scored twice, the first.

    Scores are the same bits whoever computed them, so the order of `files` decides nothing but which copy is read.
    """
    schema = step.columns if columns is None else pa.schema([step.columns.field(name) for name in columns])
    place = np.full(rows, -1, dtype=np.int64)
    tables: list[pa.Table] = []
    base = 0
    for name in files:
        with pq.ParquetFile(root / name) as file:
            table = file.read(columns=["row", *schema.names], use_threads=False)
        at = table.column("row").to_numpy() - row_start
        inside = (at >= 0) & (at < rows)
        if not inside.all():  # a part of another cut of the same file
            table, at = table.filter(pa.array(inside)), at[inside]
        new = place[at] < 0
        place[at[new]] = base + np.flatnonzero(new)
        tables.append(table.select(schema.names))
        base += table.num_rows
    have = place >= 0
    if not tables:
        return Known(have, empty_struct(schema, rows))
    table = pa.concat_tables(tables).cast(schema)
    struct = pa.StructArray.from_arrays([_one(column) for column in table.columns], fields=list(schema))
    if len(struct) == rows and bool(have.all()) and bool((place == np.arange(rows)).all()):
        return Known(have, struct)
    return Known(have, struct.take(pa.array(place, mask=~have)))


def empty_struct(schema: pa.Schema, rows: int) -> pa.StructArray:
    return pa.nulls(rows, pa.struct(list(schema)))


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def fill(known: Known, at: np.ndarray, struct: pa.StructArray) -> Known:
    """The same with newly computed rows put in at positions `at` (int64, where nothing was known)."""
    rows = len(known.have)
    index = np.arange(rows, dtype=np.int64)
    index[at] = rows + np.arange(len(at))
    have = known.have.copy()
    have[at] = True
    both = pa.concat_arrays([known.struct, struct])
    return Known(have, both.take(pa.array(index, mask=~have)))


def as_struct(batch: pa.RecordBatch, schema: pa.Schema) -> pa.StructArray:
    return pa.StructArray.from_arrays([batch.column(name) for name in schema.names], fields=list(schema))


def field(struct: pa.StructArray, name: str) -> pa.Array:
    """A child with the parent's nulls, whatever the slice."""
    return pc.struct_field(struct, name)
