"""Parquet files, ours and the user's: a path is data, never a pattern or a column, and pages carry checksums.

pyarrow's own functions take a folder `key=value` above a file for a column of it, and neither write nor compare page
checksums unless they are told to. Whoever reads or writes Parquet does it through here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem


def read(
    source: Any, columns: list[str] | None = None, filters: Any = None, use_threads: bool = False, **options: Any
) -> pa.Table:
    """A whole file, or some of its columns and of its row groups (`filters`).

    `source` is a local path, or anything that pyarrow reads from. Raises pa.ArrowException or OSError for a file that
    cannot be read, or whose page checksums are wrong.
    """
    return pq.read_table(
        source,
        columns=columns,
        filters=filters,
        use_threads=use_threads,
        filesystem=_local(source),
        partitioning=None,
        page_checksum_verification=True,
        **options,
    )


def opened(source: Any, **options: Any) -> pq.ParquetFile:
    """A file to be read in pieces; a context manager. Raises as `read`."""
    return pq.ParquetFile(source, filesystem=_local(source), page_checksum_verification=True, **options)


def schema_of(source: Any) -> pa.Schema:
    """The columns of a file. Raises as `read`."""
    return pq.read_schema(source, filesystem=_local(source))


def write(table: pa.Table, sink: Any, **settings: Any) -> None:
    """Write a table as one file, pages with checksums. `settings` as of `pyarrow.parquet.ParquetWriter`."""
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True, filesystem=_local(sink), **settings)


def writer(sink: Any, schema: pa.Schema, **settings: Any) -> pq.ParquetWriter:
    """A file to be written in pieces; a context manager. `settings` as of `write`."""
    return pq.ParquetWriter(
        sink, schema, compression="zstd", write_page_checksum=True, filesystem=_local(sink), **settings
    )


def _local(file: Any) -> LocalFileSystem | None:
    return LocalFileSystem() if isinstance(file, str | Path) else None
