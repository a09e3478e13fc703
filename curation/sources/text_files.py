"""Text files: a document a file, or a line, in the one column `text`. What is no UTF-8 is a document without a text."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa

from curation.sources.column_types import READER, TOO_LARGE, UNREAD
from curation.sources.identity import MARK, identity
from curation.sources.jsonl import BATCH_ROWS, Facts
from curation.sources.streams import MAX_DOCUMENT_BYTES, UNREADABLE, Hashed, lines, opened, text_stream
from curation.store import StoreError
from schemas.documents import TEXT

FORMATS = {"file": "txt", "line": "txt-line"}
"""By what `input.txt` says is a document."""
_PIECE = 1 << 20
Content = bytes | None
"""Of a document; None of one that is too large."""


def inspect(path: str, name: str, limit: int = MAX_DOCUMENT_BYTES) -> Facts:
    """Hash a file and count its documents, in one pass. An empty file is an empty document, or no line."""
    hashed = Hashed(path)
    source = io.BufferedReader(hashed, 1 << 20)
    rows = size = 0
    error = None
    try:
        try:
            stream = text_stream(source, name)
            if _is_whole(name):
                rows = 1
                while piece := stream.read(_PIECE):
                    size += len(piece)
            else:
                for _, _, length in lines(stream, limit):
                    rows, size = rows + 1, size + length
        except StoreError:
            raise
        except UNREADABLE as failure:
            error = f"cannot be decompressed: {failure}"
        fingerprint = hashed.drain()
    finally:
        source.close()
    fingerprint = identity(fingerprint, name)
    schema = pa.schema([pa.field("text", pa.large_string())], READER | MARK | {UNREAD: b"0"})
    return Facts(fingerprint, 0 if error else rows, size, schema, error)


def read(path: str, name: str, batch_bytes: int, limit: int) -> Iterator[list[Content]]:
    """Documents in batches of about `batch_bytes`; blank lines left out, line ends too."""
    with opened(path, name) as stream:
        if _is_whole(name):
            content = stream.read(limit + 1)
            yield [content if len(content) <= limit else None]
            return
        batch: list[Content] = []
        size = 0
        for _, line, _ in lines(stream, limit):
            batch.append(None if line is None else line.rstrip(b"\r\n"))
            size += 0 if line is None else len(line)
            if size >= batch_bytes or len(batch) >= BATCH_ROWS:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def columns(documents: list[Content], wanted: pa.Schema) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Documents as the wanted columns, and by row what is wrong; bytes are taken as they are, and judged as those of a
    Parquet file."""
    faults = {row: TOO_LARGE for row, content in enumerate(documents) if content is None}
    text = pa.array(documents, pa.large_binary()).view(TEXT)
    arrays: list[Any] = [
        _as(text, field) if field.name == "text" else pa.nulls(len(text), field.type) for field in wanted
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted), faults


def _as(text: pa.Array, field: pa.Field) -> pa.Array:
    return text if field.type == TEXT else text.view(pa.large_binary()).cast(pa.binary()).view(field.type)


def _is_whole(name: str) -> bool:
    return name.partition(".")[0] == FORMATS["file"]


def _is_by_line(name: str) -> bool:
    return name.partition(".")[0] == FORMATS["line"]
