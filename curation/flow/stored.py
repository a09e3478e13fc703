"""What the score store already holds for one shard."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curation import parquet
from curation.plan import Step
from curation.sources import AnyShard, Bundle
from curation.store import Store


@dataclass(frozen=True)
class StoredColumns:
    """A step's stored columns for n rows, without an index for those that are not stored."""

    index: NDArray[np.int64]
    """[n]: where in `data` each row is, -1 for nowhere."""
    data: pa.StructArray

    @property
    def have(self) -> NDArray[np.bool_]:
        """[n]: which rows are stored."""
        return self.index >= 0

    @property
    def struct(self) -> pa.StructArray:
        """All n rows, null where nothing is stored."""
        n = len(self.index)
        if len(self.data) == n and bool((self.index == np.arange(n)).all()):
            return self.data
        return self.rows(np.arange(n))

    def rows(self, rows: NDArray[np.int64]) -> pa.StructArray:
        """Some of the rows, null where nothing is stored."""
        index = self.index[rows]
        return self.data.take(pa.array(index, mask=index < 0))

    def part(self, rows: NDArray[np.int64]) -> StoredColumns:
        """The same of some of the rows, with a copy of what is stored of them."""
        index = self.index[rows]
        present = index >= 0
        return StoredColumns(np.where(present, np.cumsum(present) - 1, -1), self.data.take(pa.array(index[present])))

    def fill(self, rows: NDArray[np.int64], struct: pa.StructArray) -> StoredColumns:
        """The same with newly computed rows put in at `rows`, where nothing was stored.

        Columns that `data` was read without are null in it.
        """
        index = self.index.copy()
        index[rows] = len(self.data) + np.arange(len(rows))
        return StoredColumns(index, pa.concat_arrays([_widened(self.data, struct.type), struct]))


Parts = dict[str, tuple[int, ...]]
"""Score parts of one step, relative to the workspace, in the order of their commits' names; each with the numbers of
the members of a bundle of which it may hold rows, of a shard by itself (0,)."""
FILE = "file fingerprint"
"""Column of a score part of several files: whose row it is, by the file's fingerprint."""
_NONE = np.zeros(0, dtype=np.int64)


def load_stored(
    store: Store, parts: Parts, step: Step, shard: AnyShard, columns: list[str] | None = None
) -> StoredColumns:
    """Read the parts of one step for the rows of a shard; of a row scored twice, the first.

    Scores are the same bits whoever computed them, so the order of `parts` decides nothing but which copy is read.
    """
    schema = step.columns if columns is None else pa.schema([step.columns.field(name) for name in columns])
    index = np.full(shard.rows, -1, dtype=np.int64)
    tables: list[pa.Table] = []
    base = 0
    for name, numbers in parts.items():
        with store.reading(name) as source, parquet.opened(source) as file:
            shared = FILE in file.schema_arrow.names
            table = file.read(columns=["row", *([FILE] if shared else []), *schema.names], use_threads=False)
        row = table.column("row").to_numpy()
        whose = _by_file(table.column(FILE)) if shared else {}
        start = 0
        taken = []
        for number in numbers:
            member = shard.members[number]
            of_file = whose.get(member.fingerprint, _NONE) if shared else np.arange(len(row))
            position = row[of_file] - member.row_start
            inside = (position >= 0) & (position < member.rows)  # the others are of another cut of the same file
            of_file, position = of_file[inside], position[inside] + start_of(shard, number)
            fresh = index[position] < 0
            index[position[fresh]] = base + start + np.flatnonzero(fresh)
            taken.append(of_file)
            start += len(of_file)
        chosen = taken[0] if len(taken) == 1 else np.concatenate(taken)
        table = table.select(schema.names)
        if len(chosen) != len(row) or not np.array_equal(chosen, np.arange(len(row))):
            table = table.take(pa.array(chosen))
        tables.append(table)
        base += table.num_rows
    if not tables:
        return StoredColumns(index, empty_struct(schema, 0))
    table = pa.concat_tables(tables).cast(schema)
    return StoredColumns(
        index, pa.StructArray.from_arrays([_one(column) for column in table.columns], fields=list(schema))
    )


def _by_file(files: pa.ChunkedArray) -> dict[str, NDArray[np.int64]]:
    """By fingerprint, where the rows of each file are. Two files that are copies have one fingerprint."""
    runs = pc.run_end_encode(files.cast(pa.string()).combine_chunks())
    ends = runs.run_ends.to_pylist()
    of_file: dict[str, NDArray[np.int64]] = {}
    for name, start, end in zip(runs.values.to_pylist(), [0, *ends], ends, strict=False):
        rows = np.arange(start, end)
        of_file[name] = np.concatenate([of_file[name], rows]) if name in of_file else rows
    return of_file


def start_of(shard: AnyShard, number: int) -> int:
    """The first row of a member, counted in the bundle; 0 of a shard by itself."""
    return int(shard.starts[number]) if isinstance(shard, Bundle) else 0


def empty_struct(schema: pa.Schema, rows: int) -> pa.StructArray:
    return pa.nulls(rows, pa.struct(list(schema)))


def as_struct(batch: pa.RecordBatch, schema: pa.Schema) -> pa.StructArray:
    return pa.StructArray.from_arrays([batch.column(name) for name in schema.names], fields=list(schema))


def field(struct: pa.StructArray, name: str) -> pa.Array:
    """A child with the parent's nulls, whatever the slice."""
    return pc.struct_field(struct, name)


def binary_matrix(column: pa.Array) -> NDArray[np.uint8]:
    """Fixed-size binaries as uint8 [n, width]."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    width = column.type.byte_width
    if not len(column):
        return np.zeros((0, width), dtype=np.uint8)
    data = np.frombuffer(column.buffers()[1], dtype=np.uint8)
    return data[column.offset * width : (column.offset + len(column)) * width].reshape(-1, width)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks)


def _widened(struct: pa.StructArray, kind: pa.StructType) -> pa.StructArray:
    if struct.type == kind:
        return struct
    columns = [
        field(struct, item.name) if struct.type.get_field_index(item.name) >= 0 else pa.nulls(len(struct), item.type)
        for item in kind
    ]
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=struct.is_null())
