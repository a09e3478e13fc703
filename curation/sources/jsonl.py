"""JSON lines, plain or compressed. A line is a document, so a bad line is one errored document and not a bad file.

Lines are parsed one at a time in Python, by orjson: a block parser fails the whole block on one bad line.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

import orjson
import pyarrow as pa
import xxhash
import zstandard

from curation.store import StoreError, remote

STRICT = {b"strict": b"text"}
NESTED = {b"strict": b"text, lists and objects"}
"""Metadata of a wanted field that takes strings alone, or beside them lists and objects as JSON. Any other string
column takes all values."""
UNREADABLE = (OSError, EOFError, zlib.error, zstandard.ZstdError)
"""What reading a damaged file raises."""
_BOM = b"\xef\xbb\xbf"
_BLOCK = 1 << 16
_WINDOW = 1 << 31
"""Bytes: the largest that `zstd --long=31` makes. Memory is taken only where a file asks for it."""


@dataclass(frozen=True)
class Facts:
    fingerprint: str
    rows: int
    bytes: int
    schema: pa.Schema | None
    error: str | None


class _Hashed(io.RawIOBase):
    """Hashes the file's own bytes while a decompressor reads them."""

    def __init__(self, path: str) -> None:
        self.source = remote.open_binary(path)
        self.state = xxhash.xxh3_128()
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = self.source.readinto(buffer) or 0
        self.state.update(memoryview(buffer)[:count])
        self.size += count
        return count

    def drain(self) -> str:
        while self.read(1 << 20):
            pass
        return self.state.hexdigest()

    def close(self) -> None:
        self.source.close()
        super().close()


class _Zstandard(io.RawIOBase):
    """Decompresses frame after frame. The library's own reader takes a truncated file for a whole one."""

    def __init__(self, source: BinaryIO) -> None:
        self.source = source
        self.frame: Any = None
        self.ready = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self.ready:
            block = self.source.read(_BLOCK)
            if not block:
                if self.frame is not None:
                    raise EOFError("the file ends inside a compressed frame")
                return 0
            self.ready = memoryview(b"".join(self._frames(block)))
        count = min(len(buffer), len(self.ready))
        buffer[:count] = self.ready[:count]
        self.ready = self.ready[count:]
        return count

    def _frames(self, block: bytes) -> Iterator[bytes]:
        while block:
            if self.frame is None:
                self.frame = zstandard.ZstdDecompressor(max_window_size=_WINDOW).decompressobj()
            yield self.frame.decompress(block)
            block = self.frame.unused_data
            if self.frame.eof:
                self.frame = None


def inspect(path: str, name: str) -> Facts:
    """Hash a file, count its lines and type its columns by all of their values, in one pass.

    Blank lines are no documents.
    """
    hashed = _Hashed(path)
    source = io.BufferedReader(hashed, 1 << 20)  # named, since it closes what it reads when nobody holds it
    rows = size = 0
    seen: dict[str, set[str]] = {}
    error = None
    try:
        try:
            for line in _lines(source, name):
                rows += 1
                size += len(line)
                _note(line, seen)
        except StoreError:
            raise
        except UNREADABLE as failure:
            error = f"cannot be decompressed: {failure}"
        fingerprint = hashed.drain()
        if not hashed.size:
            error = "is empty (0 bytes)"
    finally:
        source.close()
    schema = pa.schema([pa.field(column, _type(kinds)) for column, kinds in seen.items()])
    return Facts(fingerprint, 0 if error else rows, size, schema, error)


def read(path: str, name: str, batch_bytes: int) -> Iterator[list[bytes]]:
    """Lines in batches of about `batch_bytes`, blank ones left out."""
    with io.BufferedReader(remote.open_binary(path), 1 << 20) as source:
        batch: list[bytes] = []
        size = 0
        for line in _lines(source, name):
            batch.append(line)
            size += len(line)
            if size >= batch_bytes or len(batch) >= 16_384:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch


def columns(lines: list[bytes], wanted: pa.Schema) -> tuple[pa.RecordBatch, dict[int, str]]:
    """Parse lines into the wanted columns. Returns the batch, and by row what is wrong with bad lines (all null)."""
    faults: dict[int, str] = {}
    values: list[list[Any]] = [[None] * len(lines) for _ in wanted]
    for row, line in enumerate(lines):
        try:
            document = orjson.loads(line)
        except orjson.JSONDecodeError:
            faults[row] = "line is not valid JSON" if _is_utf8(line) else "line is not valid UTF-8"
            continue
        if not isinstance(document, dict):
            faults[row] = "line is not a JSON object"
            continue
        for place, field in enumerate(wanted):
            try:
                values[place][row] = _fit(document.get(field.name), field)
            except TypeError:
                kind = "text" if field.metadata in (STRICT, NESTED) else field.type
                faults[row] = f"column '{field.name}' is not of type {kind}"
    for row in faults:
        for column in values:
            column[row] = None
    arrays = [pa.array(column, type=field.type) for column, field in zip(values, wanted, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=wanted), faults


def _lines(source: BinaryIO, name: str) -> Iterator[bytes]:
    stream: Any = source
    if name.endswith(".gz"):
        stream = io.BufferedReader(gzip.GzipFile(fileobj=source), 1 << 20)
    elif name.endswith(".zst"):
        stream = io.BufferedReader(_Zstandard(source), 1 << 20)
    for number, line in enumerate(stream):
        if number == 0:
            line = line.removeprefix(_BOM)
        if line and not line.isspace():
            yield line


def _note(line: bytes, seen: dict[str, set[str]]) -> None:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError:
        return
    if isinstance(document, dict):
        for column, value in document.items():
            kinds = seen.setdefault(column, set())
            if value is not None:
                kinds.add(type(value).__name__ if type(value) is not int or -(2**63) <= value < 2**63 else "bigint")


def _type(kinds: set[str]) -> pa.DataType:
    if not kinds:
        return pa.null()
    if kinds == {"str"}:
        return pa.large_string()
    if kinds == {"bool"}:
        return pa.bool_()
    if kinds == {"int"}:
        return pa.int64()
    if kinds <= {"int", "float"}:
        return pa.float64()
    return pa.large_string()


def _fit(value: Any, field: pa.Field) -> Any:
    """A JSON value as the column's type; nested values become JSON text. Raises TypeError where it does not fit."""
    kind = field.type
    if value is None:
        return None
    if pa.types.is_large_string(kind) or pa.types.is_string(kind):
        if isinstance(value, str):
            return value
        if field.metadata == STRICT or (field.metadata == NESTED and not isinstance(value, dict | list)):
            raise TypeError
        return orjson.dumps(value).decode()
    if pa.types.is_large_binary(kind):
        return value.encode() if isinstance(value, str) else orjson.dumps(value)
    if pa.types.is_boolean(kind):
        fits = isinstance(value, bool)
    elif pa.types.is_integer(kind):
        fits = isinstance(value, int) and not isinstance(value, bool) and -(2**63) <= value < 2**63
    else:
        fits = isinstance(value, int | float) and not isinstance(value, bool)
        value = float(value) if fits else value
    if not fits:
        raise TypeError
    return value


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
