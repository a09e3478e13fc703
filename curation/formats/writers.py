"""JSON lines to files: as they are, or as Parquet."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.json as paj

from curation import parquet

GROUP_ROWS, GROUP_BYTES = 8192, 32 * 1024 * 1024
"""A row group of Parquet ends at whichever comes first, so that it depends on the lines alone and not on how they
come."""


class Writer(Protocol):
    def write(self, lines: Iterable[bytes]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    def __init__(self, path: Path) -> None:
        self.file = open(path, "wb")  # noqa: SIM115  closed by `close`

    def write(self, lines: Iterable[bytes]) -> None:
        self.file.writelines(line + b"\n" for line in lines)

    def close(self) -> None:
        self.file.close()


class Parquet:
    """Objects that have the schema's keys, or some of them. A list of `pa.json_()` is a list of texts in the lines."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.schema = schema
        self.file = parquet.writer(path, schema)
        self.waiting: list[bytes] = []
        self.bytes = 0

    def write(self, lines: Iterable[bytes]) -> None:
        for line in lines:
            self.waiting.append(line)
            self.bytes += len(line)
            if len(self.waiting) == GROUP_ROWS or self.bytes >= GROUP_BYTES:
                self._flush()

    def close(self) -> None:
        if self.waiting:
            self._flush()
        self.file.close()

    def _flush(self) -> None:
        text = b"\n".join(self.waiting)
        stored = pa.schema([pa.field(item.name, _storage(item.type)) for item in self.schema])
        # one block, since a line must not be longer than a block
        reading = paj.ReadOptions(use_threads=False, block_size=len(text) + 1)
        parsing = paj.ParseOptions(explicit_schema=stored, unexpected_field_behavior="error")
        table = paj.read_json(io.BytesIO(text), reading, parsing).combine_chunks()
        columns = [_typed(table.column(item.name).chunk(0), item.type) for item in self.schema]
        self.file.write_table(pa.table(columns, schema=self.schema), row_group_size=len(self.waiting))
        self.waiting, self.bytes = [], 0


def _storage(kind: pa.DataType) -> pa.DataType:
    """The reader of JSON knows no extension types."""
    rich = pa.types.is_list(kind) and isinstance(kind.value_type, pa.JsonType)
    return pa.list_(kind.value_type.storage_type) if rich else kind


def _typed(column: pa.Array, kind: pa.DataType) -> pa.Array:
    if column.type == kind:
        return column
    return pa.ListArray.from_arrays(column.offsets, pa.ExtensionArray.from_storage(kind.value_type, column.values))
