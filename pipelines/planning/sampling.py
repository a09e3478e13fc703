"""A bounded sample of rows of input files, whatever their size: what is told of data before any recipe exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from curation import parquet
from curation.sources import csv_rows, jsonl, stamp, text_files
from curation.sources.column_types import TOO_LARGE
from curation.sources.files import first_line, format_of, input_format
from curation.sources.json_texts import as_json
from curation.sources.json_values import loads
from curation.sources.shapes import plain
from curation.sources.streams import MAX_DOCUMENT_BYTES
from curation.sources.texts import nested, repaired, stringlike, valid_text
from curation.store import is_url, remote
from schemas.documents import TEXT

ROWS = 1000
"""Rows of a sample, unless another number is asked for."""
MOST_FILES, MOST_GROUPS = 8, 8
"""Files, and row groups of each, that rows are taken from: spread evenly."""
MOST_BYTES = 16 * 1024 * 1024
"""Bytes that are read of one file, or decoded of one row group."""
MOST_FOOTERS = 512
"""Parquet files of which rows are counted; of more, the others are taken to be like them."""
_NUMBER = re.compile(r"[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
_BOOLEANS = {"true": True, "false": False}
Row = dict[str, Any]
Faulty = str
"""Why a row cannot be read."""


@dataclass
class RowSample:
    """Some rows of some files."""

    rows: list[Row] = field(default_factory=list)
    """Values as Python has them; cells of CSV that are numbers or booleans as such."""
    seen: int = 0
    """Rows that were looked at."""
    faults: list[str] = field(default_factory=list)
    """Of those that cannot be read, why; some are rows all the same, with what can be read of them."""
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """Files that cannot be read, and why."""
    types: dict[str, str] = field(default_factory=dict)
    """By column, the type that a Parquet file declares."""
    total: int | None = 0
    """Rows of all files; None where nothing says how many."""
    exact: bool = True
    """Whether `total` was counted, not reckoned from a part."""


def sample_rows(paths: list[str], sizes: list[int], count: int = ROWS, unit: str = "file") -> RowSample:
    """About `count` rows: evenly spread over at most MOST_FILES files, of a long one its beginning.
    `sizes` are the files' bytes; `unit`: whether in a text file a document is the `file` or a `line`.

    Raises StoreError for a store that does not answer.
    """
    sample = RowSample()
    chosen = _spread(len(paths), MOST_FILES)
    each = -(-count // max(1, len(chosen)))
    sampled_bytes, sampled_total = 0, 0
    for number in chosen:
        path = paths[number]
        try:
            total, exact = _sampled_file(path, each, sample, unit)
        except (pa.ArrowException, *jsonl.UNREADABLE, ValueError) as failure:
            sample.unreadable.append((path, first_line(failure)))
            continue
        sample.exact &= exact
        if total is None:
            sample.total = None
        else:
            sampled_bytes, sampled_total = sampled_bytes + sizes[number], sampled_total + total
    left = [number for number in range(len(paths)) if number not in chosen]
    rest = [paths[number] for number in left]
    if sample.total is None:
        return sample
    counted = 0
    for path in rest[:MOST_FOOTERS] if all(format_of(path) == "parquet" for path in rest) else []:
        sampled_total, counted = sampled_total + _footer_rows(path), counted + 1
    if counted < len(rest):
        waiting = sum(sizes[number] for number in left[counted:])
        sample.exact = False
        sampled_total += round(waiting * sampled_total / max(1, sampled_bytes))
    sample.total = sampled_total
    return sample


def _sampled_file(path: str, count: int, sample: RowSample, unit: str) -> tuple[int | None, bool]:
    """Take rows of a file; how many it has, and whether they were counted."""
    kind = input_format(path, unit) or ""
    if kind == "parquet":
        return _sampled_parquet(path, count, sample), True
    rows: list[Row | Faulty] = []
    total = size = 0
    for row, length in _records(path, kind):
        total, size = total + 1, size + length
        rows.append(row)
        if size > MOST_BYTES:
            break
    for number in _spread(len(rows), count):
        row = rows[number]
        sample.seen += 1
        if isinstance(row, str):
            sample.faults.append(row)
        else:
            sample.rows.append(row)
    if size <= MOST_BYTES:
        return total, True
    packed = "." in kind
    return (None, False) if packed else (round(total * stamp(path).size / size), False)


def _sampled_parquet(path: str, count: int, sample: RowSample) -> int:
    source: Any = pa.PythonFile(remote.Reader(path), mode="r") if is_url(path) else path
    with parquet.opened(source) as file:
        meta = file.metadata
        for column in file.schema_arrow:
            sample.types.setdefault(column.name, str(plain(column.type)))
        chosen = _spread(meta.num_row_groups, MOST_GROUPS)
        each = -(-count // max(1, len(chosen)))
        for group in chosen:
            facts = meta.row_group(group)
            if facts.total_byte_size <= MOST_BYTES:
                table = file.read_row_group(group)
                _take(table.take(pa.array(_spread(table.num_rows, each), pa.int64())), sample)
                continue
            taken = weight = 0
            for batch in file.iter_batches(batch_size=min(32, each), row_groups=[group]):
                _take(batch, sample)
                taken, weight = taken + batch.num_rows, weight + batch.nbytes
                if taken >= each or weight > MOST_BYTES:
                    break
        return int(meta.num_rows)


def _take(table: pa.Table | pa.RecordBatch, sample: RowSample) -> None:
    """Rows as Python has them; of a text that is no UTF-8 what can be read, and a fault more."""
    sample.seen += table.num_rows
    try:
        sample.rows += table.to_pylist()
        return
    except (ValueError, OverflowError):  # Python has no such text, or no such date
        pass
    columns: dict[str, list[Any]] = {}
    broken = set()
    for name in table.schema.names:
        column = pa.chunked_array(table.column(name)).combine_chunks()
        if nested(plain(column.type)):
            columns[name] = [None if text is None else loads(text)[0] for text in as_json(column).to_pylist()]
        elif stringlike(column.type):
            broken |= set(np.flatnonzero(valid_text(column.cast(TEXT))[1]).tolist())
            columns[name] = repaired(column).to_pylist()
        else:
            columns[name] = column.cast(pa.string()).to_pylist()
    sample.rows += [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    sample.faults += ["row is not valid UTF-8"] * len(broken)


def _records(path: str, kind: str) -> Iterator[tuple[Row | Faulty, int]]:
    """Rows, or why they cannot be read, and about their bytes."""
    if kind.partition(".")[0] in ("csv", "tsv"):
        for _, records in csv_rows.numbered(path, kind, 1 << 20):
            for record in records:
                size = len(record) if isinstance(record, str) else sum(map(len, record.values()))
                yield (record if isinstance(record, str) else _cells(record)), size
        return
    if kind.partition(".")[0] in text_files.FORMATS.values():
        for contents in text_files.read(path, kind, 1 << 20, MAX_DOCUMENT_BYTES):
            for content in contents:
                try:
                    yield TOO_LARGE if content is None else {"text": content.decode()}, len(content or b"")
                except UnicodeDecodeError:
                    yield "text is not valid UTF-8", len(content or b"")
        return
    for _, lines in jsonl.numbered(path, kind, 1 << 20):
        for line in lines:
            if line is None:
                yield TOO_LARGE, MAX_DOCUMENT_BYTES
                continue
            try:
                value = loads(line.decode())[0]
                yield (value if isinstance(value, dict) else "line is not a JSON object"), len(line)
            except UnicodeDecodeError:
                yield "line is not valid UTF-8", len(line)
            except ValueError:
                yield "line is not valid JSON", len(line)


def _cells(record: dict[str, str]) -> Row | Faulty:
    try:
        "".join(record.values()).encode()
    except UnicodeEncodeError:  # bytes that are no UTF-8 came as surrogates
        return "row is not valid UTF-8"
    return {name: _typed(cell) for name, cell in record.items()}


def _typed(cell: str) -> Any:
    if _NUMBER.fullmatch(cell):
        return float(cell) if not cell.lstrip("+-").isdigit() else int(cell) if len(cell) < 19 else cell
    return _BOOLEANS.get(cell.lower(), cell if cell else None)


def _footer_rows(path: str) -> int:
    source: Any = pa.PythonFile(remote.Reader(path), mode="r") if is_url(path) else path
    try:
        with parquet.opened(source) as file:
            return int(file.metadata.num_rows)
    except (pa.ArrowException, OSError):
        return 0


def _spread(length: int, count: int) -> list[int]:
    """At most `count` of the numbers below `length`, evenly spread."""
    if length <= count:
        return list(range(length))
    return [number * length // count for number in range(count)]
