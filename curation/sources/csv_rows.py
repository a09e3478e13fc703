"""CSV and TSV: a header, then a document a record, with line ends inside quoted cells. A bad record is one errored
document."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Generator, Iterator
from typing import Any

import pyarrow as pa

from curation.sources.column_types import EXACT, TOO_LARGE, Seen, kind_of, schema_of
from curation.sources.identity import MARK, identity
from curation.sources.json_array import MalformedError
from curation.sources.json_values import Numeral, replaced
from curation.sources.jsonl import BATCH_ROWS, READ, Facts
from curation.sources.streams import MAX_DOCUMENT_BYTES, UNREADABLE, Hashed, opened, text_stream
from curation.store import StoreError

SEPARATORS = ",;\t|"
"""Of which the header has most is the one; of equals the first."""
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_FLOAT = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?|[-+]?(?:[nN]a[nN]|inf|Infinity)")
_BOOLEANS = {"true": True, "false": False, "True": True, "False": False, "TRUE": True, "FALSE": False}
Record = list[str] | str
"""Cells, or why there are none."""


def records(
    stream: io.BufferedReader[Any], limit: int, separator: str | None = None
) -> Generator[tuple[int, Record, int]]:
    """The line on which each record begins, its cells, and about its bytes; blank lines left out, the header not.

    A line `sep=;` ahead of the header, as Excel knows it, names the separator. Bytes that are no UTF-8 come as
    surrogates. Raises MalformedError where the file cannot be divided into records.
    """
    csv.field_size_limit(2**31 - 1)  # what is too long is told below
    feed = _Feed(io.TextIOWrapper(stream, encoding="utf-8", errors="surrogateescape", newline=""), limit)
    head = feed.peek()
    named = re.fullmatch(r'"?sep=(.)"?\r?\n?', head)
    if named:
        feed.skip()
        separator = named[1]
    plain = re.sub(r'"[^"]*"', "", feed.peek())
    reader = csv.reader(feed, delimiter=separator or max(SEPARATORS, key=plain.count))
    try:
        for cells in reader:
            line, size, large, cut = feed.taken()
            if large:
                yield line, TOO_LARGE, size
            elif cut:
                yield line, "the file ends inside a quoted cell", size
            elif cells:
                yield line, cells, size
    except csv.Error as failure:
        raise MalformedError(f"line {feed.number}: {failure}") from failure
    finally:
        feed.stream.detach()


def rows(
    stream: io.BufferedReader[Any], name: str, limit: int
) -> tuple[list[str], Iterator[tuple[int, dict[str, str] | str, int]]]:
    """The header, and behind it line, cells by column or a fault, and bytes of each record."""
    lines = records(stream, limit, "\t" if name.partition(".")[0] == "tsv" else None)
    _, header, _ = next(lines, (0, [], 0))
    if isinstance(header, str):
        lines.close()  # while its stream is open
        raise MalformedError(f"the header cannot be read: {header}")
    header = [replaced(name.strip())[0] or f"column_{place}" for place, name in enumerate(header)]
    twice = next((name for place, name in enumerate(header) if name in header[:place]), None)
    if twice is not None:
        lines.close()
        raise MalformedError(f"has two columns named '{twice}'")

    def by_column() -> Iterator[tuple[int, dict[str, str] | str, int]]:
        for line, cells, size in lines:
            if isinstance(cells, str):
                yield line, cells, size
            elif len(cells) != len(header):
                yield line, f"row has {len(cells)} cells, and the header {len(header)}", size
            else:
                yield line, dict(zip(header, cells, strict=True)), size

    return header, by_column()


def inspect(path: str, name: str, limit: int = MAX_DOCUMENT_BYTES) -> Facts:
    """Hash a file, count its records and type its columns by all of their cells, in one pass."""
    hashed = Hashed(path)
    source = io.BufferedReader(hashed, 1 << 20)
    count = size = longest = 0
    seen: Seen = {}
    error = None
    try:
        try:
            header, found = rows(text_stream(source, name), name, limit)
            seen = {column: {} for column in header}
            for line, cells, length in found:
                count += 1
                size += length
                longest = max(longest, length)
                if not isinstance(cells, str):
                    _note(cells, seen, line)
        except StoreError:
            raise
        except MalformedError as failure:
            error = str(failure) if str(failure).startswith("has ") else f"cannot be read: {failure}"
        except UNREADABLE as failure:
            error = f"cannot be decompressed: {failure}"
        fingerprint = hashed.drain()
        if not hashed.size:
            error = "is empty (0 bytes)"
    finally:
        source.close()
    schema = schema_of(seen, longest, limit)
    schema = schema.with_metadata({**(schema.metadata or {}), **MARK})
    return Facts(identity(fingerprint, name), 0 if error else count, size, schema, error)


def numbered(
    path: str, name: str, batch_bytes: int, limit: int = MAX_DOCUMENT_BYTES
) -> Iterator[tuple[list[int], list[dict[str, str] | str]]]:
    """Records in batches of about `batch_bytes`: the line on which each begins; its cells by column, or a fault."""
    with opened(path, name) as stream:
        numbers: list[int] = []
        batch: list[dict[str, str] | str] = []
        size = 0
        _, found = rows(stream, name, limit)
        for number, cells, length in found:
            numbers.append(number)
            batch.append(cells)
            size += 0 if isinstance(cells, str) else length
            if size >= batch_bytes or len(batch) >= BATCH_ROWS:
                yield numbers, batch
                numbers, batch, size = [], [], 0
        if batch:
            yield numbers, batch


def columns(records: list[dict[str, str] | str], wanted: pa.Schema) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Records as the wanted columns. Returns the batch, and by row what is wrong with bad ones (all null)."""
    faults = {row: cells for row, cells in enumerate(records) if isinstance(cells, str)}
    arrays = []
    for field in wanted:
        values: list[Any] = [None] * len(records)
        for row, cells in enumerate(records):
            cell = None if isinstance(cells, str) else cells.get(field.name)
            if cell is None:
                continue
            try:
                values[row] = _fit(cell, field)
            except ValueError as failure:
                faults.setdefault(row, str(failure))
        arrays.append(values)
    for row in faults:
        for column in arrays:
            column[row] = None
    made = [pa.array(column, type=field.type) for column, field in zip(arrays, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(made, schema=wanted), faults


class _Feed:
    """Lines for `csv.reader`, which asks for another one while a quoted cell is open: no record grows beyond `limit`
    characters."""

    def __init__(self, stream: io.TextIOWrapper, limit: int) -> None:
        self.stream = stream
        self.limit = limit
        self.number = 0
        self.waiting: str | None = None
        self._next()

    def _next(self) -> None:
        self.first = 0
        self.size = 0
        self.large = self.cut = False

    def peek(self) -> str:
        if self.waiting is None:
            self.waiting = self.stream.readline(self.limit + 1)
        return self.waiting

    def skip(self) -> None:
        self.waiting = None
        self.number += 1

    def taken(self) -> tuple[int, int, bool, bool]:
        """Of the record that was just read: its first line, its size, whether it was too large, or is cut off."""
        found = self.first, self.size, self.large, self.cut
        self._next()
        return found

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line, self.waiting = self.peek(), None
        began = self.size > 0
        if not line:
            self.cut = began
            raise StopIteration
        self.number += 1
        self.first = self.first or self.number
        self.size += len(line)
        if self.size <= self.limit:
            return line
        self.large = True
        inside = began ^ (line.count('"') % 2 == 1)
        while inside or not line.endswith(("\n", "\r")):
            line = self.stream.readline(1 << 20)
            if not line:
                break
            self.number += line.endswith(("\n", "\r"))
            self.size += len(line)
            inside ^= line.count('"') % 2 == 1
        return '"\n' if began else "-\n"


def _note(cells: dict[str, str], seen: Seen, line: int) -> None:
    for column, cell in cells.items():
        kinds = seen[column]
        if cell and "str" not in kinds:
            kinds.setdefault(_kind(cell), line)


def _kind(cell: str) -> str:
    if _INTEGER.fullmatch(cell):
        return "str" if cell == "-0" else "int" if len(cell) < 16 else kind_of(_integer(cell))
    if _FLOAT.fullmatch(cell):  # one that would be printed otherwise keeps its digits as text
        return "float" if repr(float(cell)) == cell or not cell[-1].isdigit() else "numeral"
    return "bool" if cell in _BOOLEANS else "str"


def _integer(cell: str) -> Any:
    return int(cell) if len(cell) < 20 and abs(int(cell)) < 2**63 else Numeral(cell)


def _fit(cell: str, field: pa.Field) -> Any:
    """A cell as the column's type; an empty one is null but in a column of texts. Raises ValueError where it does not
    fit."""
    kind = field.type
    if pa.types.is_large_string(kind) or pa.types.is_string(kind) or pa.types.is_large_binary(kind):
        shown, broken = replaced(cell)
        if broken and field.metadata in READ:
            raise ValueError("row is not valid UTF-8")
        return shown.encode() if pa.types.is_large_binary(kind) else shown
    if not cell:
        return None
    if pa.types.is_boolean(kind) and cell in _BOOLEANS:
        return _BOOLEANS[cell]
    if pa.types.is_integer(kind) and _INTEGER.fullmatch(cell) and abs(int(cell)) < 2**63:
        return int(cell)
    if pa.types.is_floating(kind) and (_INTEGER.fullmatch(cell) or _FLOAT.fullmatch(cell)):
        return float(cell)
    raise ValueError(f"column '{field.name}' is not of type {kind}")


assert EXACT < 10**16  # what `_kind` takes for a small integer is one
