"""Reading a shard as batches of the columns that somebody asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.sources import jsonl
from curation.sources.files import UNKNOWN, first_line, inspect, stamp
from curation.sources.shards import Shard
from curation.sources.texts import as_json, binary, nested
from curation.store import StoreError, is_url, remote
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding

BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 16_384
READINGS = 3
"""Times that a file on a store is read before what is wrong with its bytes is taken for the file's."""


@dataclass
class Batch:
    """Consecutive rows of a shard."""

    start: int
    """First row, counted in the shard."""
    columns: pa.RecordBatch
    faults: dict[int, str] = field(default_factory=dict)
    """By row of the batch, what made a document unreadable; its columns are null."""


def read_batches(
    shard: Shard, wanted: pa.Schema, needed: Callable[[int, int], bool] = lambda start, rows: True
) -> Iterator[Batch]:
    """Batches of a shard in row order, with exactly the columns `wanted`; one that the file lacks is null.

    Row groups for which `needed(first row, rows)` is false are not read. Batch limits depend on the shard alone.
    Raises CurationError R001 for a file that cannot be read, R002 for one that is not the file that was planned, and
    StoreError. What comes damaged from a store is read again; batches that were given already are not given twice.
    """
    verify_unchanged(shard)
    reader = _parquet if shard.format == "parquet" else _json_lines
    given = 0
    for last in (*[False] * (READINGS - 1), True) if is_url(shard.path) else (True,):
        try:
            for batch in islice(reader(shard, wanted, needed), given, None):
                given += 1
                yield batch
            break
        except StoreError:
            verify_unchanged(shard)
            raise
        except (pa.ArrowException, *jsonl.UNREADABLE) as failure:
            verify_unchanged(shard)
            if last:
                reason = first_line(failure)
                raise CurationError(
                    Finding("R001", f"{shard.path} cannot be read: {reason}", file=shard.path)
                ) from failure
    verify_unchanged(shard)


def verify_unchanged(shard: Shard) -> None:
    """Raise R002 unless the file still has the content that was planned. The stat decides; the hash, if that moved.

    A file of which that cannot be said is R001, on a store StoreError.
    """
    try:
        if stamp(shard.path) == (shard.size, shard.mtime_ns):
            return
        found = inspect(shard.path)
        reason = found.error if found.fingerprint == UNKNOWN else None
        same = found.fingerprint == shard.fingerprint
    except (FileNotFoundError, NotADirectoryError):
        reason, same = None, False
    except StoreError:
        raise
    except OSError as failure:
        reason, same = f"cannot be read: {failure.strerror or failure}", False
    if reason is not None:
        raise CurationError(Finding("R001", f"{shard.path} {reason}", "make it readable, then run again", shard.path))
    if not same:
        raise CurationError(
            Finding(
                "R002",
                f"{shard.path} changed after it was planned",
                "run again: the plan is made anew from the file as it is now",
                file=shard.path,
            )
        )


def _parquet(shard: Shard, wanted: pa.Schema, needed: Callable[[int, int], bool]) -> Iterator[Batch]:
    how: dict[str, Any] = {"source": shard.path, "buffer_size": 1 << 20}
    if is_url(shard.path):  # the columns of a row group in few, large requests
        how = {"source": pa.PythonFile(remote.Reader(shard.path, shard.size), mode="r"), "pre_buffer": True}
    with parquet.opened(**how) as file:
        present = [field.name for field in wanted if field.name in file.schema_arrow.names]
        mean = max(1, shard.bytes // max(1, shard.rows))
        size = max(64, min(BATCH_ROWS, BATCH_BYTES // mean))
        start = 0
        for offset, rows in enumerate(shard.group_rows):
            if needed(start, rows):
                place = start
                if not present:
                    yield Batch(start, _shape(None, wanted, rows))
                else:
                    group = [shard.group_start + offset]
                    for batch in file.iter_batches(batch_size=size, row_groups=group, columns=present):
                        yield Batch(place, _shape(batch, wanted, batch.num_rows))
                        place += batch.num_rows
            start += rows


def _json_lines(shard: Shard, wanted: pa.Schema, needed: Callable[[int, int], bool]) -> Iterator[Batch]:
    start = 0
    for lines in jsonl.read(shard.path, shard.format, BATCH_BYTES):
        if needed(start, len(lines)):
            columns, faults = jsonl.columns(lines, wanted)
            yield Batch(start, columns, faults)
        start += len(lines)


def _shape(batch: pa.RecordBatch | None, wanted: pa.Schema, rows: int) -> pa.RecordBatch:
    arrays = []
    for column in wanted:
        if batch is None or column.name not in batch.schema.names:
            arrays.append(pa.nulls(rows, column.type))
            continue
        array = batch.column(column.name)
        if pa.types.is_dictionary(array.type):
            array = array.cast(array.type.value_type)
        arrays.append(array if array.type == column.type else _cast(array, column.type))
    return pa.RecordBatch.from_arrays(arrays, schema=wanted)


def _cast(array: pa.Array, kind: pa.DataType) -> pa.Array:
    if kind == TEXT and binary(array.type):
        return array.cast(pa.large_binary()).view(kind)  # a cast would refuse the batch for one invalid document
    if kind == TEXT and nested(array.type):
        return as_json(array)
    # an integer beyond 2**53 loses its last digits where the column holds floats in another file
    return pc.cast(array, kind, safe=not pa.types.is_floating(kind))
