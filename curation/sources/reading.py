"""Reading a shard as batches of the columns that somebody asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curation import parquet
from curation.sources import csv_rows, jsonl, text_files
from curation.sources.column_types import TOO_LARGE
from curation.sources.files import chunk_print, chunks, first_line, has_fingerprint, stamp
from curation.sources.json_texts import as_json
from curation.sources.shapes import fitted, light_slices, plain, weight
from curation.sources.shards import Shard
from curation.sources.texts import binary, nested, stringlike
from curation.store import StoreError, is_url, remote
from schemas.documents import TEXT
from schemas.errors import CurationError, Finding

BATCH_BYTES = 8 * 1024 * 1024
BATCH_ROWS = 16_384
READINGS = 3
"""Times that a file on a store is read before what is wrong with its bytes is taken for the file's."""
STEP_ROWS = 256
"""Most rows that are decoded at once: what they weigh is known afterwards, and those behind may be heavier."""
PROBE_ROWS, MOST_PROBED = 4, 64
"""Rows that are decoded to learn it: so many at once, and in all."""
PROBE_GROWTH = 16
MOST_GROUPS = 1024
"""Row groups that are read together."""


@dataclass
class Batch:
    """Consecutive rows of a shard."""

    start: int
    """First row, counted in the shard."""
    columns: pa.RecordBatch
    faults: dict[int, str] = field(default_factory=dict)
    """By row of the batch, what made a document unreadable; its columns are null."""
    replaced: dict[int, int] = field(default_factory=dict)
    """By row of the batch, characters of its text that are U+FFFD because they are half a surrogate pair."""


def read_batches(
    shard: Shard, wanted: pa.Schema, needed: Callable[[int, int], bool] = lambda start, rows: True
) -> Iterator[Batch]:
    """Batches of a shard in row order, with exactly the columns `wanted`; one that the file lacks is null.

    Row groups for which `needed(first row, rows)` is false are not read. Batch limits depend on the shard alone.
    Raises CurationError R001 for a file that cannot be read, R002 for one that is not the file that was planned, and
    StoreError. What comes damaged from a store is read again; batches that were given already are not given twice.
    """
    verify_unchanged(shard)
    reader = _parquet if shard.format == "parquet" else _lines
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
        current = stamp(shard.path)
        if current == shard.stamp:
            return
        same = current.size == shard.size and has_fingerprint(shard.path, current, shard.format, shard.fingerprint)
    except (FileNotFoundError, NotADirectoryError):
        same = False
    except StoreError:
        raise
    except OSError as failure:
        what = f"{shard.path} cannot be read: {failure.strerror or failure}"
        raise CurationError(Finding("R001", what, "make it readable, then run again", shard.path)) from failure
    if not same:
        raise _changed(shard)


def _changed(shard: Shard) -> CurationError:
    return CurationError(
        Finding(
            "R002",
            f"{shard.path} changed after it was planned",
            "run again: the plan is made anew from the file as it is now",
            file=shard.path,
        )
    )


def _verify_group(shard: Shard, meta: Any, offset: int, columns: list[int]) -> None:
    """Raise R002 unless column chunks of a row group hold the bytes that were hashed when the file was first read.

    Not every file system moves a file's times with its content. What is hashed is parsed next, so it is read once.
    """
    width = meta.num_columns * 8
    due = shard.prints[offset * width : (offset + 1) * width]
    there = stamp(shard.path)
    for place, (start, stop) in zip(columns, chunks(meta, shard.group_start + offset, columns), strict=True):
        if chunk_print(shard.path, there, start, stop) != due[place * 8 : place * 8 + 8]:
            raise _changed(shard)


def _parquet(shard: Shard, wanted: pa.Schema, needed: Callable[[int, int], bool]) -> Iterator[Batch]:
    how: dict[str, Any] = {"source": shard.path, "buffer_size": 1 << 20}
    if is_url(shard.path):  # the columns of a row group in few, large requests
        how = {"source": pa.PythonFile(remote.Reader(shard.path, shard.size), mode="r"), "pre_buffer": True}
    with parquet.opened(**how) as file:
        meta = file.metadata
        there = set(file.schema_arrow.names)
        present = [field.name for field in wanted if field.name in there]
        if shard.prints and len(shard.prints) != meta.num_columns * 8 * len(shard.group_rows):
            raise _changed(shard)
        hashed = _leaves(file.schema, present) if shard.prints else []
        mean = max(1, shard.bytes // max(1, shard.rows))
        size = max(1, min(BATCH_ROWS, BATCH_BYTES // mean))
        step = 0
        for start, groups, rows in _neighbours(shard, size, needed):
            if not present:
                yield Batch(start, _shape(None, wanted, rows)[0])
                continue
            for group in groups if hashed else ():
                _verify_group(shard, meta, group - shard.group_start, hashed)
            if not step:
                step = min(size, STEP_ROWS)
                if not is_url(shard.path):  # of a file on a store nothing is fetched twice to learn what rows weigh
                    step = _probed(file, groups, present, rows, step)
            first_row = start
            for raw in _decoded(file, groups, present, size, step):
                for batch in light_slices(raw, 2 * BATCH_BYTES):
                    columns, faults = _shape(batch, wanted, batch.num_rows, shard.max_document_bytes)
                    yield Batch(first_row, columns, faults)
                    first_row += batch.num_rows


def _leaves(schema: Any, names: list[str]) -> list[int]:
    """Places of the physical columns behind some columns."""
    wanted = set(names)
    indices = []
    for index in range(len(schema)):
        steps = schema.column(index).path.split(".")  # a column's own name may have dots
        if any(".".join(steps[:end]) in wanted for end in range(1, len(steps) + 1)):
            indices.append(index)
    return indices


def _neighbours(shard: Shard, size: int, needed: Callable[[int, int], bool]) -> Iterator[tuple[int, list[int], int]]:
    """First row, numbers and rows of row groups that are needed, small neighbours together up to a batch."""
    start = first = count = 0
    groups: list[int] = []
    for offset, rows in enumerate(shard.group_rows):
        wants = needed(start, rows)
        if groups and (not wants or count + rows > size or len(groups) == MOST_GROUPS):
            yield first, groups, count
            groups, count = [], 0
        if wants:
            first = first if groups else start
            groups.append(shard.group_start + offset)
            count += rows
        start += rows
    if groups:
        yield first, groups, count


def _probed(file: Any, groups: list[int], columns: list[str], rows: int, size: int) -> int:
    """Rows to decode at once: `size`, or fewer where the first rows show that they take more memory than the file says.

    What a file says is the size of its pages: a text that stands in a thousand rows is stored once.
    """
    if min(size, rows) <= PROBE_ROWS:
        return size
    count = heavy = 0
    for batch in file.iter_batches(batch_size=PROBE_ROWS, row_groups=groups, columns=columns):
        count, heavy = count + batch.num_rows, heavy + sum(weight(column) for column in batch.columns)
        mean: int = 1 + heavy // max(1, count)
        if mean * PROBE_GROWTH * count > BATCH_BYTES:
            return max(1, min(size, BATCH_BYTES // mean))
        if count >= min(MOST_PROBED, size, rows):
            break
    return size


def _decoded(file: Any, groups: list[int], columns: list[str], size: int, step: int) -> Iterator[pa.RecordBatch]:
    """Row groups in batches of `size` rows, decoded `step` rows at a time; fewer rows where they have more bytes than
    they should."""
    done = 0
    while True:
        skip = done
        waiting: list[pa.RecordBatch] = []
        rows = heavy = 0
        for batch in file.iter_batches(batch_size=step, row_groups=groups, columns=columns):
            if skip >= batch.num_rows:
                skip -= batch.num_rows
                continue
            batch, skip = batch.slice(skip), 0
            waiting.append(batch)
            size_of = sum(weight(column) for column in batch.columns)
            rows, heavy = rows + batch.num_rows, heavy + size_of
            if rows >= size or heavy > 4 * BATCH_BYTES:
                yield _together(waiting)
                done, waiting, rows, heavy = done + rows, [], 0, 0
            if size_of > 4 * BATCH_BYTES and step > 1:
                step = max(1, step * BATCH_BYTES // size_of)
                break
        else:
            if waiting:
                yield _together(waiting)
            return


def _together(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.concat_batches(batches)


def _lines(shard: Shard, wanted: pa.Schema, needed: Callable[[int, int], bool]) -> Iterator[Batch]:
    path, named = shard.path, shard.fingerprint
    if not is_url(path) and not has_fingerprint(path, stamp(path), shard.format, named):
        raise _changed(shard)  # no time told it: not every file system moves a file's times with its content
    start = 0
    limit = shard.max_document_bytes
    if shard.format.partition(".")[0] in ("csv", "tsv"):
        for _, records in csv_rows.numbered(shard.path, shard.format, BATCH_BYTES, limit):
            if needed(start, len(records)):
                yield Batch(start, *csv_rows.columns(records, wanted))
            start += len(records)
        return
    if shard.format.partition(".")[0] in text_files.FORMATS.values():
        for documents in text_files.read(shard.path, shard.format, BATCH_BYTES, limit):
            if needed(start, len(documents)):
                yield Batch(start, *text_files.columns(documents, wanted))
            start += len(documents)
        return
    for lines in jsonl.read(shard.path, shard.format, BATCH_BYTES, limit):
        if needed(start, len(lines)):
            replaced: dict[int, int] = {}
            yield Batch(start, *jsonl.columns(lines, wanted, replaced), replaced)
        start += len(lines)


def _shape(
    batch: pa.RecordBatch | None, wanted: pa.Schema, rows: int, limit: int | None = None
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """The wanted columns, and by row what is too large to be read: null in what stages read."""
    arrays = []
    faults: dict[int, str] = {}
    names = {} if batch is None else {name: index for index, name in enumerate(batch.schema.names)}
    for column in wanted:
        if batch is None or column.name not in names:
            arrays.append(pa.nulls(rows, column.type))
            continue
        array = batch.column(names[column.name])
        large = _too_large(array, limit) if limit is not None and column.metadata in jsonl.READ else None
        if large is not None:
            faults |= dict.fromkeys(np.flatnonzero(large).tolist(), TOO_LARGE)
            index = np.arange(len(array))
            array = array.take(pa.array(index, mask=large))
        arrays.append(array if array.type == column.type else _cast(array, column))
    return pa.RecordBatch.from_arrays(arrays, schema=wanted), faults


def _too_large(array: pa.Array, limit: int) -> np.ndarray | None:
    """Which rows (bool [n]) have more bytes than `limit`; None where none has."""
    if weight(array) <= limit:
        return None
    if stringlike(array.type) or binary(array.type):
        large = np.asarray(pc.fill_null(pc.greater(pc.binary_length(array), limit), False)).astype(bool)
    else:
        large = np.array([weight(array.slice(row, 1)) > limit for row in range(len(array))])
    return large if large.any() else None


def _cast(array: pa.Array, column: pa.Field) -> pa.Array:
    if column.type != TEXT:
        return fitted(array, column.type)
    kind = plain(array.type)
    if nested(kind):
        return as_json(array, sparse=column.metadata == jsonl.PARTS)
    array = fitted(array, kind)
    if binary(kind):
        return array.cast(pa.large_binary()).view(TEXT)  # a cast would refuse the batch for one invalid document
    return pc.cast(array, TEXT)
