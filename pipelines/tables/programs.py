"""Results for programs: JSON, JSON lines, CSV and Parquet. Nothing in them is shortened or rounded."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any, BinaryIO, TextIO

import pyarrow as pa

from curation import parquet
from curation.escape import terminal
from pipelines.streams import plain
from pipelines.tables.values import Rows, batches, python_values, rows, unique_names
from schemas.errors import CurationError, Finding

SCHEMA_VERSION = 1
"""Of the JSON form of a result."""

_STEERING = re.compile(
    "[\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)


def write_json(table: Rows, stream: TextIO) -> None:
    names = unique_names(table.schema)
    stream.write(_spelt(f'{{"schema_version": {SCHEMA_VERSION}, "columns": {dumps(names)}, "rows": [', stream))
    for index, row in enumerate(rows(table)):
        stream.write(("\n" if index == 0 else ",\n") + _spelt(_object(names, row), stream))
    stream.write("\n]}\n")


def write_jsonl(table: Rows, stream: TextIO) -> None:
    names = unique_names(table.schema)
    for row in rows(table):
        stream.write(_spelt(_object(names, row), stream) + "\n")


def write_csv(table: Rows, stream: TextIO) -> None:
    shown = terminal if stream.isatty() else str
    stream.write(",".join(_csv_field(shown(name)) for name in unique_names(table.schema)) + "\n")
    for row in rows(table):
        stream.write(",".join(_csv_field(shown(cell(value))) for value in row) + "\n")


def write_parquet(table: Rows, stream: BinaryIO) -> None:
    """Intervals, which Parquet has not, are texts, as in the other formats. Raises C004 for another such type."""
    names = unique_names(table.schema)
    texts = [field.type == pa.month_day_nano_interval() for field in table.schema]
    schema = pa.schema(
        [
            pa.field(name, pa.string()) if text else field.with_name(name)
            for name, text, field in zip(names, texts, table.schema, strict=True)
        ]
    )
    for field in schema:
        _require_parquet(field)
    with parquet.writer(stream, schema) as writer:
        for batch in batches(table):
            columns = [
                pa.array(python_values(column), pa.string()) if text else column
                for column, text in zip(batch.columns, texts, strict=True)
            ]
            writer.write_batch(pa.record_batch(columns, schema))


def _require_parquet(field: pa.Field) -> None:
    try:
        with parquet.writer(io.BytesIO(), pa.schema([field])):
            pass
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        message = f"column '{field.name}' is of the type {field.type}, which Parquet has not"
        hint = "cast it in the query, such as to VARCHAR, or use -f jsonl"
        raise CurationError(Finding("C004", message, hint)) from None


def dumps(value: Any) -> str:
    """JSON whose strings hold no character that steers a terminal or ends a line: the escapes mean the same."""
    return _STEERING.sub(_escaped, json.dumps(value, ensure_ascii=False, allow_nan=False))


def _escaped(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]


def _spelt(text: str, stream: TextIO) -> str:
    """JSON as the stream can hold it: in JSON's own escapes where it is not UTF-8."""
    if utf8(stream):
        return text
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in text)


def utf8(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def _object(names: Sequence[str], row: Sequence[Any]) -> str:
    return dumps({name: plain(value) for name, value in zip(names, row, strict=True)})


def _csv_field(text: str) -> str:
    # Not the csv module: with "\n" between lines it leaves a lone "\r" bare, which readers take for a line's end.
    return '"' + text.replace('"', '""') + '"' if any(char in text for char in ',"\n\r') else text


def cell(value: Any) -> str:
    """A value in full, as text; null is empty, and so is what is no number, which is null in JSON."""
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case float():
            return repr(value) if math.isfinite(value) else ""
        case Decimal():
            return str(value)
        case dict() | list() | tuple():
            return dumps(plain(value))
    return str(plain(value))
