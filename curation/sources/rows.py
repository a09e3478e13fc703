"""Rows of the small files that a recipe names: seeds, targets, lists, evaluation sets, labels. They are read as input
is: the same endings, packings, encodings and types; and what is wrong is said with file and line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from curation import parquet
from curation.sources import csv_rows, jsonl
from curation.sources.column_types import TOO_LARGE
from curation.sources.files import ENDINGS, first_line, format_of, inspect
from curation.sources.reading import read_batches
from curation.sources.shapes import plain
from curation.sources.shards import cut_shards
from curation.sources.streams import MAX_DOCUMENT_BYTES, PACKED, UNREADABLE, opened
from curation.store import StoreError
from schemas.errors import CurationError, Refusal

_BATCH_BYTES = 1 << 23
_DAMAGED = (pa.ArrowException, UnicodeDecodeError, *UNREADABLE)


class UnusableError(Refusal):
    """A file that a setting names cannot be used: one line, and what to do, if that is not plain."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)

    def __str__(self) -> str:
        return super().__str__() if self.hint else self.message


class FileRows(NamedTuple):
    """Some rows of a file."""

    columns: pa.RecordBatch
    faults: dict[int, str]
    """By row of the batch, why it cannot be read; its columns are null."""
    places: Sequence[str]
    """Where each row stands: file and line, or row."""


FROM_THE_RECIPE = "relative paths count from the recipe's folder"


def check(path: Path, what: str = "", hint: str = FROM_THE_RECIPE) -> None:
    """Raise UnusableError unless `path` is a file. `what` it is stands before its name: "the list "; `hint` is for one
    that is not there."""
    if not path.exists():
        raise UnusableError(f"{what}{path} does not exist", hint)
    if not path.is_file():
        raise UnusableError(f"{what}{path} is no file but {_kind(path)}", "name a file")


def names(path: Path, what: str = "") -> list[str] | None:
    """Columns of a file that declares them, Parquet or CSV; None for any other. Raises UnusableError."""
    try:
        kind = format_of(path.name)
        if kind == "parquet":
            return list(parquet.schema_of(path).names)
        if _is_csv(kind):
            with opened(str(path), str(kind)) as stream:
                return csv_rows.rows(stream, str(kind), MAX_DOCUMENT_BYTES)[0]
    except _DAMAGED as failure:
        raise damaged(path, failure, what) from failure
    return None


def batches(path: Path, wanted: pa.Schema, what: str = "") -> Iterator[FileRows]:
    """All rows of Parquet, JSON or CSV, with the columns `wanted`, null where the file has none of a name.

    Raises UnusableError for a file that cannot be read as a whole.
    """
    kind = format_of(path.name)
    if kind is None:
        raise UnusableError(f"{what}{path} is of no known format", f"known endings: {ENDINGS}")
    try:
        if kind == "parquet":
            yield from _parquet(path, wanted, what)
        elif _is_csv(kind):
            for numbers, records in csv_rows.numbered(str(path), kind, _BATCH_BYTES):
                yield _rows(*csv_rows.columns(records, wanted), _Places(path, numbers))
        else:
            for numbers, lines in jsonl.numbered(str(path), kind, _BATCH_BYTES):
                yield _rows(*jsonl.columns(lines, wanted), _Places(path, numbers))
    except StoreError:
        raise
    except _DAMAGED as failure:
        raise damaged(path, failure, what) from failure


def objects(path: Path, what: str = "") -> Iterator[dict[str, Any]]:
    """All rows as Python has them, texts and what holds texts; of Parquet no other columns. Raises UnusableError, with
    the line of a row that is none."""
    kind = format_of(path.name)
    if kind is None:
        raise UnusableError(f"{what}{path} is of no known format", f"known endings: {ENDINGS}")
    try:
        if kind == "parquet":
            schema = parquet.schema_of(path)
            wanted = pa.schema([field.with_type(plain(field.type)) for field in schema if textual(field.type)])
            for rows in _parquet(path, wanted, what):
                yield from rows.columns.to_pylist()
        elif _is_csv(kind):
            for numbers, records in csv_rows.numbered(str(path), kind, _BATCH_BYTES):
                for number, record in zip(numbers, records, strict=True):
                    if isinstance(record, str):
                        raise UnusableError(f"{what}{path}, line {number}: {_reason(record)}")
                    yield record
        else:
            for number, value in jsonl.objects(str(path), kind):
                if not isinstance(value, dict):
                    raise UnusableError(f"{what}{path}, line {number}: line is not a JSON object")
                yield value
    except UnusableError:
        raise
    except (*_DAMAGED, ValueError) as failure:
        raise damaged(path, failure, what) from failure


def text(path: Path, what: str = "") -> str:
    """A file of text as a whole, packed or not, line ends as they are. Raises UnusableError."""
    try:
        with opened(str(path), _packing(path)) as stream:
            return stream.read().decode()
    except UnicodeDecodeError as failure:
        line = failure.object[: failure.start].count(b"\n") + 1
        raise UnusableError(f"{what}{path}, line {line}: cannot be read: not UTF-8", "convert it to UTF-8") from failure
    except _DAMAGED as failure:
        raise damaged(path, failure, what) from failure


def is_text(path: Path) -> bool:
    """Whether the name ends as that of a file of texts, one a line."""
    name = path.name.lower()
    packed = next((end for end in PACKED if name.endswith(end)), "")
    return name.removesuffix(packed).endswith(".txt")


def textual(kind: pa.DataType) -> bool:
    """Whether values of a type hold text: strings, and lists and structs of them."""
    kind = plain(kind)
    if pa.types.is_struct(kind):
        return any(textual(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind):
        return textual(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def damaged(path: Path, failure: Exception, what: str = "") -> UnusableError:
    reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else first_line(failure)
    return UnusableError(f"{what}{path} cannot be read: {reason}", "mend it, or name another file")


class _Places(Sequence[str]):
    """Made when one is asked for."""

    def __init__(self, path: Path, numbers: Sequence[int], unit: str = "line") -> None:
        self.path = path
        self.numbers = numbers
        self.unit = unit

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, row: Any) -> Any:
        return f"{self.path}, {self.unit} {self.numbers[row]}"


def _parquet(path: Path, wanted: pa.Schema, what: str) -> Iterator[FileRows]:
    file = inspect(str(path))
    if file.error:
        raise UnusableError(f"{what}{path} cannot be read: {file.error}", "mend it, or name another file")
    try:
        for shard in cut_shards([file], 1 << 62):
            for batch in read_batches(shard, wanted):
                numbers = range(batch.start + 1, batch.start + 1 + batch.columns.num_rows)
                yield _rows(batch.columns, batch.faults, _Places(path, numbers, "row"))
    except CurationError as failure:
        raise UnusableError(f"{what}{failure.findings[0].message}", failure.findings[0].hint or "") from failure


def _rows(columns: pa.RecordBatch, faults: dict[int, str], places: Sequence[str]) -> FileRows:
    return FileRows(columns, {row: _reason(fault) for row, fault in sorted(faults.items())}, places)


def _is_csv(kind: str | None) -> bool:
    return (kind or "").partition(".")[0] in ("csv", "tsv")


def _packing(path: Path) -> str:
    return next((PACKED[end] for end in PACKED if path.name.lower().endswith(end)), "")


def _reason(fault: str) -> str:
    return f"longer than {MAX_DOCUMENT_BYTES:,} bytes" if fault == TOO_LARGE else fault


def _kind(path: Path) -> str:
    return "a folder" if path.is_dir() else "something else"
