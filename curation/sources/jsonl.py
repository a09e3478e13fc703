"""JSON, a document a line or the elements of an array, plain or packed. A bad line is one errored document and not a
bad file.

Lines are parsed one at a time in Python, by orjson: a block parser fails the whole block on one bad line. What orjson
refuses or would round is read again by `json_values`.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson
import pyarrow as pa

from curation.sources import json_values
from curation.sources.column_types import TOO_LARGE, Seen, note, schema_of
from curation.sources.json_array import MalformedError, elements
from curation.sources.json_values import LOSSY, BrokenText, Numeral, Raw, replaced
from curation.sources.streams import MAX_DOCUMENT_BYTES, UNREADABLE, Hashed, lines, opened, text_stream
from curation.store import StoreError

__all__ = ["NESTED", "PARTS", "READ", "STRICT", "UNREADABLE", "Facts", "columns", "inspect", "read"]

STRICT = {b"strict": b"text"}
NESTED = {b"strict": b"text, lists and objects"}
"""Metadata of a wanted field that takes strings alone, or beside them lists and objects as JSON. Any other string
column takes all values."""
PARTS = {b"strict": b"text, lists and objects of a format"}
"""The same of what a format reads: in JSON, what is null is left out of objects."""
READ = (STRICT, NESTED, PARTS)
"""Metadata of what stages read: what is wrong there is wrong with the document."""
BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Facts:
    fingerprint: str
    rows: int
    bytes: int
    schema: pa.Schema | None
    error: str | None


def inspect(path: str, name: str, limit: int = MAX_DOCUMENT_BYTES) -> Facts:
    """Hash a file, count its documents and type its columns by all of their values, in one pass.

    Blank lines are no documents. Lines beyond `limit` bytes count, and type nothing.
    """
    hashed = Hashed(path)
    source = io.BufferedReader(hashed, 1 << 20)  # named, since it closes what it reads when nobody holds it
    rows = size = longest = 0
    seen: Seen = {}
    error = None
    try:
        try:
            for number, line, count in _documents(text_stream(source, name), name, limit):
                rows += 1
                size += count
                longest = max(longest, count)
                if line is not None:
                    _note(line, seen, number)
        except StoreError:
            raise
        except MalformedError as failure:
            error = f"cannot be read: {failure}"
        except UNREADABLE as failure:
            error = f"cannot be decompressed: {failure}"
        fingerprint = hashed.drain()
        if not hashed.size:
            error = "is empty (0 bytes)"
    finally:
        source.close()
    return Facts(fingerprint, 0 if error else rows, size, schema_of(seen, longest, limit), error)


def read(path: str, name: str, batch_bytes: int, limit: int = MAX_DOCUMENT_BYTES) -> Iterator[list[bytes | None]]:
    """Documents in batches of about `batch_bytes`, blank lines left out; None for one beyond `limit` bytes."""
    for _, batch in numbered(path, name, batch_bytes, limit):
        yield batch


def numbered(
    path: str, name: str, batch_bytes: int, limit: int = MAX_DOCUMENT_BYTES
) -> Iterator[tuple[list[int], list[bytes | None]]]:
    """As `read`, with the number of each line, or of each element of an array, from 1."""
    with opened(path, name) as stream:
        numbers: list[int] = []
        batch: list[bytes | None] = []
        size = 0
        for number, line, _ in _documents(stream, name, limit):
            numbers.append(number)
            batch.append(line)
            size += 0 if line is None else len(line)
            if size >= batch_bytes or len(batch) >= BATCH_ROWS:
                yield numbers, batch
                numbers, batch, size = [], [], 0
        if batch:
            yield numbers, batch


def columns(
    lines: list[bytes | None], wanted: pa.Schema, replacements: dict[int, int] | None = None
) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Parse documents into the wanted columns. Returns the batch, and by row what is wrong with bad ones (all null).

    In `replacements` is counted, by row, how many halves of surrogate pairs in its text became U+FFFD.
    """
    faults: dict[int, str] = {}
    values: list[list[Any]] = [[None] * len(lines) for _ in wanted]
    fields = list(enumerate(wanted))
    for row, line in enumerate(lines):
        if line is None:
            faults[row] = TOO_LARGE
            continue
        try:
            document = orjson.loads(line)
            if not isinstance(document, dict):
                faults[row] = "line is not a JSON object"
                continue
            for place, field in fields:
                values[place][row] = _fit(document.get(field.name), field)
        except orjson.JSONDecodeError:
            _slowly(line, row, wanted, values, faults, replacements)
        except _LossyError:
            _slowly(line, row, wanted, values, faults, replacements)
        except TypeError:
            faults[row] = f"column '{field.name}' is not of type {_wants(field)}"
    for row in faults:
        for column in values:
            column[row] = None
    arrays = [pa.array(column, type=field.type) for column, field in zip(values, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted), faults


def objects(path: str, name: str, limit: int = MAX_DOCUMENT_BYTES) -> Iterator[tuple[int, Any]]:
    """Number of the line, or of the element of an array, and its JSON value. Raises ValueError where there is none."""
    with opened(path, name) as stream:
        for number, line, _ in _documents(stream, name, limit):
            if line is None:
                raise ValueError(f"line {number} is longer than {limit:,} bytes")
            try:
                yield number, json_values.loads(line)[0]
            except ValueError as failure:
                raise ValueError(f"line {number} is not valid JSON") from failure


class _LossyError(Exception):
    """orjson read a number otherwise than it is written."""


def _documents(stream: io.BufferedReader[Any], name: str, limit: int) -> Iterator[tuple[int, bytes | None, int]]:
    return elements(stream, limit) if name.partition(".")[0] == "json" else lines(stream, limit)


def _slowly(
    line: bytes,
    row: int,
    wanted: pa.Schema,
    values: list[list[Any]],
    faults: dict[int, str],
    replacements: dict[int, int] | None,
) -> None:
    """Read what orjson refuses, or does not hold exactly."""
    try:
        document = json_values.members(line)
    except ValueError:
        faults[row] = "line is not valid JSON" if _is_utf8(line) else "line is not valid UTF-8"
        return
    except TypeError:
        faults[row] = "line is not a JSON object"
        return
    for index, field in enumerate(wanted):
        value = document.get(field.name)
        if isinstance(value, BrokenText) and field.metadata in READ:
            faults[row] = "line is not valid UTF-8"
            return
        if type(value) is str or isinstance(value, BrokenText):
            value, count = replaced(value)
            if count and replacements is not None and field.metadata in READ:
                replacements[row] = replacements.get(row, 0) + count
        try:
            values[index][row] = _fit(value, field, exact=True)
        except TypeError:
            faults[row] = f"column '{field.name}' is not of type {_wants(field)}"
            return


def _note(line: bytes, seen: Seen, number: int) -> None:
    try:
        document = orjson.loads(line)
        if isinstance(document, dict) and any(
            type(value) is float and not -LOSSY < value < LOSSY for value in document.values()
        ):
            document = json_values.members(line)
    except orjson.JSONDecodeError:
        try:
            document = json_values.members(line)
        except (ValueError, TypeError):
            return
    if isinstance(document, dict):
        for column, value in document.items():
            note(seen, column, value, number)


def _wants(field: pa.Field) -> str:
    return "text" if field.metadata in READ else str(field.type)


def _fit(value: Any, field: pa.Field, exact: bool = False) -> Any:
    """A JSON value as the column's type; nested values become JSON text. Raises TypeError where it does not fit, and
    _LossyError unless `exact`, where orjson may have read another number than is written."""
    kind = field.type
    if value is None:
        return None
    if pa.types.is_large_string(kind) or pa.types.is_string(kind):
        if type(value) is str:
            return value
        nested = isinstance(value, dict | list | Raw)
        if field.metadata == STRICT or (field.metadata in READ and not nested):
            raise TypeError
        return _as_json(value, exact)
    if pa.types.is_large_binary(kind):
        return value.encode() if type(value) is str else _as_json(value, exact).encode()
    if isinstance(value, str) and not isinstance(value, Numeral):
        raise TypeError
    if pa.types.is_boolean(kind):
        fits = isinstance(value, bool)
    elif pa.types.is_integer(kind):
        fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    else:
        fits = isinstance(value, int | float | Numeral) and not isinstance(value, bool)
        value = float(value) if fits else value
    if not fits:
        raise TypeError
    return value


def _as_json(value: Any, exact: bool) -> str:
    if isinstance(value, str):
        return str(value)
    if type(value) is float:
        if not exact and not -LOSSY < value < LOSSY:
            raise _LossyError
        return orjson.dumps(value).decode() if math.isfinite(value) else json.dumps(value)
    try:
        dumped = orjson.dumps(value)
    except TypeError:  # nested deeper than orjson writes
        raise _LossyError from None
    if isinstance(value, dict | list) and json_values.is_lossy(dumped):
        raise _LossyError
    return dumped.decode()


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
